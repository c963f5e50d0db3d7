//! What goes back to the explainer with its explanation: sentences that test it, or one of the published baselines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ExplainError;

/// What the names of explainers get, before the model's, when their explanations are revised.
pub(super) const REVISED: &str = "+revised";

/// What an explanation is revised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// Sentences of the explainer's own, run through the subject model.
    Tests,
    /// As many texts that were drawn at random: what any further evidence would bring.
    Random,
    /// Nothing: what asking again would bring.
    Nothing,
}

impl Feedback {
    /// All of them.
    const ALL: [Self; 3] = [Self::Tests, Self::Random, Self::Nothing];

    /// The name by which it is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tests => "tests",
            Self::Random => "random",
            Self::Nothing => "nothing",
        }
    }

    /// The name under which explanations of `explainer` are stored when they are revised by it: `llm:max-act@MODEL` becomes
    /// `llm:max-act+revised@MODEL`, by a baseline `llm:max-act+revised-random@MODEL`.
    pub fn revised(self, explainer: &str) -> String {
        let baseline = match self {
            Self::Tests => String::new(),
            baseline => format!("-{baseline}"),
        };
        match explainer.split_once('@') {
            Some((method, model)) => format!("{method}{REVISED}{baseline}@{model}"),
            None => format!("{explainer}{REVISED}{baseline}"),
        }
    }
}

impl fmt::Display for Feedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Feedback {
    type Err = ExplainError;

    fn from_str(text: &str) -> Result<Self, ExplainError> {
        let found = Self::ALL.into_iter().find(|feedback| feedback.name() == text);
        found.ok_or_else(|| ExplainError::UnknownFeedback { name: text.to_owned() })
    }
}
