//! The log of a revision, as it is stored with the revised explanation.

use serde::{Deserialize, Serialize};

/// All rounds of one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// The explanation that was begun with.
    pub initial: String,
    /// Its correlation on the valid split, on which the best round is chosen.
    pub initial_valid: Option<f64>,
    /// What was tried.
    pub rounds: Vec<Round>,
    /// The round whose explanation is kept; `None` where the first one stays.
    pub kept: Option<usize>,
    /// The first explanation's correlation on the test split, which neither explanations nor the choice saw.
    pub initial_test: Option<f64>,
    /// The kept explanation's.
    pub kept_test: Option<f64>,
}

/// One round: sentences (none where nothing new was shown), what the subject model did on them, and what the explainer made of that.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The explanation that was tested.
    pub tested: String,
    /// The sentences with what the unit did.
    pub sentences: Vec<Tested>,
    /// The revised explanation.
    pub revised: Option<String>,
    /// Its correlation on the valid split.
    pub valid: Option<f64>,
    /// Why the round brought nothing.
    pub failure: Option<String>,
}

/// A sentence, or a piece of text, that was run through the subject model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The sentence.
    pub text: String,
    /// Whether the explanation says that the unit fires on it; `None` for a text that was not written to test it.
    pub expected: Option<bool>,
    /// The largest activation, as a share of the unit's recorded maximum.
    pub share: f32,
    /// The text of the token on which it is.
    pub token: String,
    /// Whether the unit fires: at least half of its maximum, as in all scores.
    pub fires: bool,
}

impl Log {
    /// How much better the kept explanation is on the test split, where both are defined.
    pub fn gain(&self) -> Option<f64> {
        Some(self.kept_test? - self.initial_test?)
    }
}
