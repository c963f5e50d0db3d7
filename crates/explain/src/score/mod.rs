//! Scores: how well the activations that an explanation predicts agree with the true ones.
//!
//! Follows "Language models can explain neurons in language models" (Bills et al. 2023, "Scoring"): the true and the
//! predicted activations of the scoring excerpts are concatenated token by token, over top and random excerpts
//! together, over random excerpts alone, and over top excerpts alone.
//!
//! Every measure that is not defined (a constant prediction has no correlation; nothing predicted to fire has no
//! precision) is `None`, never a number.

mod bootstrap;
mod calibration;
mod classification;
mod divergence;
mod measures;
mod percentile;
mod sums;

pub use bootstrap::{Interval, RESAMPLES, Resampling};
pub use calibration::Calibration;
pub use classification::{ClassificationMeasures, Judgement, accuracy};
pub use divergence::{ExcerptDivergence, ablation_score, jensen_shannon};
pub use measures::{Estimate, Measures};
pub use percentile::PercentileMatching;
pub use sums::Sums;

/// One scoring excerpt: what the unit did, and what the explanation predicted, token by token.
#[derive(Debug, Clone, Copy)]
pub struct ScoredExcerpt<'a> {
    /// True activations `[token]`.
    pub truth: &'a [f32],
    /// Predicted activations `[token]`, in any units: correlation ignores the scale.
    pub prediction: &'a [f32],
    /// Where the excerpt was drawn from.
    pub stratum: Stratum,
}

/// The two kinds of scoring excerpt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stratum {
    /// One of the windows with the highest maximum.
    Top,
    /// A window drawn at random.
    Random,
}

/// The scores of one explanation on one split of one unit's excerpts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Top and random excerpts concatenated: the score.
    pub top_and_random: Measures,
    /// Only the top excerpts.
    pub top_only: Measures,
    /// Only the random excerpts.
    pub random_only: Measures,
}

impl Scores {
    /// Scores predictions on `excerpts`.
    ///
    /// `calibration` maps predictions to the unit's own scale and must have been fitted on other excerpts
    /// ([`Calibration::linear`]). `maximum` is the unit's recorded maximum: the unit fires where its activation is at
    /// least half of it, and is predicted to fire where the uncalibrated prediction is at least half of it.
    pub fn of(
        excerpts: &[ScoredExcerpt<'_>],
        calibration: Option<&Calibration>,
        maximum: f32,
        resampling: &Resampling,
    ) -> Self {
        let centre = sums::Centre::of(excerpts);
        let sums_of = |stratum| -> Vec<Sums> {
            let chosen = excerpts.iter().filter(|excerpt| excerpt.stratum == stratum);
            chosen.map(|excerpt| Sums::of(*excerpt, centre, calibration, maximum)).collect()
        };
        let (top, random) = (sums_of(Stratum::Top), sums_of(Stratum::Random));
        Self {
            top_and_random: Measures::with_intervals(&top, &random, resampling),
            top_only: Measures::with_intervals(&top, &[], resampling),
            random_only: Measures::with_intervals(&[], &random, resampling),
        }
    }
}

#[cfg(test)]
mod tests;
