//! An excerpt: one window of tokens with one unit's activations, and the part it plays in scoring.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Nominal quantiles of the window maximum that bound the quantile intervals (Bills et al. 2023).
pub const QUANTILES: [f64; 6] = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0];

/// Number of quantile intervals.
pub const INTERVALS: usize = QUANTILES.len() - 1;

/// Why a window is shown for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ExcerptKind {
    /// Among the windows with the largest maximum of the unit.
    Top,
    /// From an interval of the distribution of the window maximum.
    Quantile {
        /// Index of the interval in [`crate::UnitRecord::intervals`], lowest values first.
        interval: u8,
    },
    /// One of the random windows, which are the same for all units of an atlas.
    Random,
}

impl ExcerptKind {
    /// `top`, `quantile` or `random`, as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top => "top",
            Self::Quantile { .. } => "quantile",
            Self::Random => "random",
        }
    }
}

/// Who may see an excerpt. A window has one split per unit, whatever lists it is on, so that an
/// explainer never sees what an explanation is scored on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// For explainers.
    Train,
    /// For fitting how an explanation's predictions map to activations.
    Calibration,
    /// For scores.
    Valid,
    /// For final scores, kept apart from all choices.
    Test,
}

impl Split {
    /// The split of rank `rank` on the top list: train, calibration, valid, test in turn.
    pub fn of_top(rank: usize) -> Self {
        [Self::Train, Self::Calibration, Self::Valid, Self::Test][rank % 4]
    }

    /// The split of place `rank` on the random list: calibration, valid, test in turn.
    pub fn of_random(rank: usize) -> Self {
        [Self::Calibration, Self::Valid, Self::Test][rank % 3]
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Calibration => "calibration",
            Self::Valid => "valid",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "train" => Ok(Self::Train),
            "calibration" => Ok(Self::Calibration),
            "valid" => Ok(Self::Valid),
            "test" => Ok(Self::Test),
            other => Err(format!("`{other}` is not a split (train, calibration, valid or test)")),
        }
    }
}

/// A window of tokens with a unit's activations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excerpt {
    /// Why it is shown.
    #[serde(flatten)]
    pub kind: ExcerptKind,
    /// Place on its list (top, random, or its quantile interval), from 0.
    pub rank: u32,
    /// Who may see it.
    pub split: Split,
    /// The window's number in the run's order.
    pub window: u32,
    /// Where the window comes from, for people: source file and document.
    pub document: String,
    /// Position of the first token in its document.
    pub offset: u32,
    /// `[position]` token ids.
    pub tokens: Vec<u32>,
    /// `[position]` activations, exactly as recorded.
    pub activations: Vec<f32>,
    /// The largest activation at a counted position (see [`crate::RunSummary::ignored_positions`]).
    pub max: f32,
}
