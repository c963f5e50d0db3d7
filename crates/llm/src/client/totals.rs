//! Running totals, for progress bars and reports.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::answer::{FailureKind, Outcome, Usage};
use crate::prices::Money;

/// What a client has asked so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Requests whose outcome was in the ledger.
    pub kept: u64,
    /// Requests that the model answered.
    pub answered: u64,
    /// Requests without an answer, by kind; those that the ledger keeps among them.
    pub failed: BTreeMap<FailureKind, u64>,
    /// Attempts at the model, repeated ones included.
    pub attempts: u64,
    /// Tokens of the model's answers; those of the ledger are not in it.
    pub usage: Usage,
    /// What they cost; `None` if the price is not known.
    pub cost: Option<Money>,
    /// What attempts may have cost besides whose answer was lost on the way.
    pub uncertain_cost: Money,
}

impl Totals {
    /// Requests that have an outcome.
    pub fn done(&self) -> u64 {
        self.kept + self.answered + self.failures()
    }

    /// Requests that failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    pub(super) fn count_kept(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(_) => self.kept += 1,
            Err(failure) => *self.failed.entry(failure.kind).or_default() += 1,
        }
    }

    pub(super) fn count_answered(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(answer) => {
                self.answered += 1;
                self.usage += answer.usage;
            }
            Err(failure) => {
                *self.failed.entry(failure.kind).or_default() += 1;
                self.usage += failure.usage;
            }
        }
    }
}

/// One line: `120 answered, 30 from the ledger, 2 failed (1 refused, 1 malformed), 81,234 + 2,345 tokens, $0.0136`.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered", self.answered)?;
        if self.kept > 0 {
            write!(f, ", {} from the ledger", self.kept)?;
        }
        if self.failures() > 0 {
            let kinds: Vec<String> =
                self.failed.iter().map(|(kind, number)| format!("{number} {}", kind.name())).collect();
            write!(f, ", {} failed ({})", self.failures(), kinds.join(", "))?;
        }
        write!(f, ", {} + {} tokens", self.usage.prompt_tokens, self.usage.completion_tokens)?;
        if let Some(cost) = self.cost.filter(|cost| *cost > Money::ZERO) {
            write!(f, ", {cost}")?;
        }
        if self.uncertain_cost > Money::ZERO {
            write!(f, " and at most {} for lost answers", self.uncertain_cost)?;
        }
        Ok(())
    }
}
