//! Counts what a language model was asked and what came of it, for the record.

use std::collections::BTreeMap;

use glossator_atlas::Calls;
use glossator_llm::prices::Price;
use glossator_llm::{Failure, FailureKind, Outcome, Usage};
use glossator_model::UnitId;

/// Requests, tokens and failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests.
    pub requests: u64,
    /// Tokens read and written. Tokens from a cache count as read too, so that what is stored of them does not depend on what
    /// was asked before.
    pub usage: Usage,
    /// Requests without an answer that can be used, by what is wrong.
    pub failures: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a request; `failure` is what is wrong with its outcome, if anything is.
    pub fn count(&mut self, outcome: &Outcome, failure: Option<&Failure>) {
        self.requests += 1;
        let usage = match outcome {
            Ok(answer) => answer.usage,
            Err(failure) => failure.usage,
        };
        self.usage += usage;
        if let Some(failure) = failure {
            *self.failures.entry(name(failure.kind)).or_default() += 1;
        }
    }

    /// Adds other requests.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.usage += other.usage;
        for (kind, count) in &other.failures {
            *self.failures.entry(kind.clone()).or_default() += count;
        }
    }

    /// As it is stored for a unit's explanation, of a model with that price.
    pub fn calls(&self, unit: UnitId, explainer: &str, price: Option<Price>) -> Calls {
        Calls {
            unit,
            explainer: explainer.to_owned(),
            scorer: None,
            requests: self.requests,
            prompt_tokens: self.usage.prompt_tokens,
            completion_tokens: self.usage.completion_tokens,
            failures: self.failures.clone(),
            cost: price.and_then(|price| u64::try_from(price.cost(self.usage).nanodollars()).ok()),
            seconds: None,
        }
    }
}

/// The name of a kind of failure, as in its JSON form.
pub(crate) fn name(kind: FailureKind) -> String {
    let value = serde_json::to_value(kind).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(|| format!("{kind:?}"))
}
