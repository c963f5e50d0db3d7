//! What a run will take, before it begins.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::answer::Usage;
use crate::language_model::LanguageModel;
use crate::prices::{Money, Price};
use crate::request::{Fingerprint, Request, Want};

/// What a run of requests is going to take.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Calls that have to be made.
    pub calls: u64,
    /// Requests that need no call: equal to another one, or in the ledger.
    pub saved: u64,
    /// Tokens that will be read, about.
    pub prompt_tokens: u64,
    /// Tokens that will be written, at most.
    pub completion_tokens: u64,
    /// What that costs, without discounts for what the provider remembers; `None` if the price is not known.
    pub cost: Option<Money>,
}

impl Estimate {
    pub(super) fn of(
        model: &dyn LanguageModel,
        price: Option<Price>,
        requests: &[Request],
        prints: &[Fingerprint],
        kept: &[bool],
    ) -> Self {
        let mut seen = HashSet::new();
        let mut estimate = Self::default();
        for ((request, print), kept) in requests.iter().zip(prints).zip(kept) {
            if *kept || !seen.insert(print) {
                estimate.saved += 1;
                continue;
            }
            estimate.calls += 1;
            estimate.prompt_tokens += model.estimate_prompt_tokens(request);
            estimate.completion_tokens += most_new_tokens(request);
        }
        let usage = Usage {
            prompt_tokens: estimate.prompt_tokens,
            cached_tokens: 0,
            completion_tokens: estimate.completion_tokens,
        };
        estimate.cost = price.map(|price| price.cost(usage));
        estimate
    }
}

impl std::ops::AddAssign for Estimate {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.saved += other.saved;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.cost = self.cost.zip(other.cost).map(|(ours, theirs)| ours + theirs);
    }
}

/// At most so many tokens are written. Some servers write one although none is wanted.
pub(super) fn most_new_tokens(request: &Request) -> u64 {
    match &request.want {
        Want::Text(generation) => u64::from(generation.max_tokens),
        Want::Grades(_) => 1,
    }
}

/// One line: `1,200 calls (300 more need none), about 0.9 M tokens to read and at most 72,000 to write, about $0.18`.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls", self.calls)?;
        if self.saved > 0 {
            write!(f, " ({} more are known or repeated)", self.saved)?;
        }
        write!(
            f,
            ", about {} tokens to read and at most {} to write",
            self.prompt_tokens, self.completion_tokens
        )?;
        match self.cost {
            Some(Money::ZERO) => Ok(()),
            Some(cost) => write!(f, ", about {cost}"),
            None => write!(f, "; what they cost is not known"),
        }
    }
}
