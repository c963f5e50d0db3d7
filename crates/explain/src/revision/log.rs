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

impl Round {
    /// A round that tests an explanation, before anything is known.
    pub(super) fn of(tested: &str) -> Self {
        Self { tested: tested.to_owned(), ..Self::default() }
    }
}

impl Log {
    /// A log before the first round.
    pub(super) fn of(initial: &str) -> Self {
        Self {
            initial: initial.to_owned(),
            initial_valid: None,
            rounds: Vec::new(),
            kept: None,
            initial_test: None,
            kept_test: None,
        }
    }

    /// The explanation that the next round tests: the last one that could be used.
    pub(super) fn current_text(&self) -> &str {
        let last = self.rounds.last();
        last.map_or(&self.initial, |round| round.revised.as_ref().unwrap_or(&round.tested))
    }

    /// Takes in how the last round's explanation correlates with the valid split. It is kept if that is better than all before.
    pub(super) fn judge_last(&mut self, valid: Option<f64>) {
        let best = self.kept.map_or(self.initial_valid, |kept| self.rounds[kept].valid);
        if let Some(last) = self.rounds.last_mut() {
            last.valid = valid;
            if valid.is_some_and(|value| best.is_none_or(|best| value > best)) {
                self.kept = Some(self.rounds.len() - 1);
            }
        }
    }

    /// The explanation that is kept.
    pub fn kept_text(&self) -> &str {
        let revised = self.kept.and_then(|round| self.rounds.get(round)?.revised.as_deref());
        revised.unwrap_or(&self.initial)
    }

    /// How much better the kept explanation is on the test split, where both are defined.
    pub fn gain(&self) -> Option<f64> {
        Some(self.kept_test? - self.initial_test?)
    }
}
