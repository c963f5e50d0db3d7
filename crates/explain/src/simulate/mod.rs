//! Simulators: a language model reads an explanation in words and predicts the unit's activation on every token of a
//! text that it is shown without activations (Bills et al. 2023, "Simulate").
//!
//! | simulator | asks | a text costs | needs |
//! |---|---|---|---|
//! | [`grades`] | all tokens at once: every activation stands as `unknown`, and the probabilities of the numbers at its place are read | one request that writes nothing | grades |
//! | [`one_at_a_time`] | for each token, the text up to it | a request a token | grades or log-probabilities |
//! | [`json`] | an answer by index | one request that writes a number a token | text |
//!
//! The activation is the expected number over the scale, as a share of the unit's maximum. What cannot be read is a
//! failure and no prediction.

pub mod grades;
pub mod json;
pub mod one_at_a_time;
mod scale;

use std::fmt;
use std::str::FromStr;

use glossator_atlas::Distributions;
use glossator_llm::{Capabilities, Client, Failure, FailureKind, Outcome, Request, Usage};

pub use scale::Scale;
pub(crate) use scale::discretised;

use crate::ExplainError;
use crate::prompts::{PromptError, Prompts};

/// What is predicted for a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// `[token]` the expected activation as a share of the unit's maximum.
    pub shares: Vec<f32>,
    /// `[token]` the distributions that it is expected from, over numbers that stand for shares; `None` where the model wrote a
    /// single number for each.
    pub distributions: Option<Distributions>,
}

impl Predicted {
    /// The same after `ignored` positions of which nothing is asked: 0 is predicted there.
    pub(crate) fn after(self, ignored: usize) -> Self {
        let shares = std::iter::repeat_n(0.0, ignored).chain(self.shares).collect();
        Self { shares, distributions: self.distributions.map(|one| one.after(ignored)) }
    }
}

/// Who predicts activations from words, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Simulator {
    /// [`grades`]
    Grades,
    /// [`one_at_a_time`]
    OneAtATime,
    /// [`json`]
    Json,
}

impl Simulator {
    /// The name by which it is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grades => "grades",
            Self::OneAtATime => "one-at-a-time",
            Self::Json => "json",
        }
    }

    /// The name under which its scores and simulations are stored.
    pub fn scorer(self, model: &str) -> String {
        format!("{}{}@{model}", glossator_atlas::SIMULATION, self.name())
    }

    /// The best that a model can do.
    pub fn best(capabilities: Capabilities) -> Self {
        if capabilities.grades { Self::Grades } else { Self::Json }
    }

    /// Refuses a model that cannot do it.
    pub fn check(self, client: &Client) -> Result<(), ExplainError> {
        let offers = client.capabilities();
        let missing = match self {
            Self::Grades if !offers.grades => "probabilities at places of a given text; use --simulator json",
            Self::OneAtATime if !offers.grades && !offers.logprobs => {
                "log-probabilities; use --simulator json"
            }
            _ => return Ok(()),
        };
        let simulator = self.name().to_owned();
        Err(ExplainError::Simulator {
            simulator,
            model: client.name().to_owned(),
            missing: missing.to_owned(),
        })
    }

    /// The requests that simulate one text, given its `tokens`, in the order that [`Simulator::read`] expects.
    pub fn requests(
        self,
        prompts: &Prompts,
        capabilities: Capabilities,
        explanation: &str,
        tokens: &[&str],
    ) -> Result<Vec<Request>, PromptError> {
        match self {
            Self::Grades => Ok(vec![grades::request(prompts, Scale::of(capabilities), explanation, tokens)?]),
            Self::OneAtATime => one_at_a_time::requests(prompts, capabilities, explanation, tokens),
            Self::Json => Ok(vec![json::request(prompts, explanation, tokens)?]),
        }
    }

    /// How many requests a text of `tokens` tokens takes.
    pub fn calls(self, tokens: usize) -> usize {
        if self == Self::OneAtATime { tokens } else { 1 }
    }

    /// What is predicted at each of a text's `tokens` tokens.
    ///
    /// # Errors
    /// The first failure among the outcomes, or what is wrong with an answer.
    pub fn read(
        self,
        capabilities: Capabilities,
        tokens: usize,
        outcomes: &[Outcome],
    ) -> Result<Predicted, Failure> {
        match self {
            Self::Grades => grades::read(Scale::of(capabilities), tokens, outcomes),
            Self::OneAtATime => one_at_a_time::read(capabilities, outcomes),
            Self::Json => json::read(tokens, outcomes),
        }
    }

    /// What is worth remarking on scores by this simulator and model.
    pub fn remark(self, capabilities: Capabilities) -> Option<String> {
        let scale = Scale::of(capabilities);
        (self != Self::Json && scale != Scale::TEN).then(|| {
            format!("on a scale from 0 to {}: the model writes numbers digit by digit", scale.most())
        })
    }
}

impl fmt::Display for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Simulator {
    type Err = ExplainError;

    fn from_str(text: &str) -> Result<Self, ExplainError> {
        [Self::Grades, Self::OneAtATime, Self::Json]
            .into_iter()
            .find(|simulator| simulator.name() == text)
            .ok_or_else(|| ExplainError::UnknownSimulator { name: text.to_owned() })
    }
}

/// A failure to make sense of an answer.
pub(crate) fn malformed(message: impl Into<String>, usage: Usage) -> Failure {
    Failure { kind: FailureKind::Malformed, message: message.into(), usage }
}

/// The only outcome of a text that takes one request.
fn only(outcomes: &[Outcome]) -> Result<&glossator_llm::Answer, Failure> {
    match outcomes {
        [Ok(answer)] => Ok(answer),
        [Err(failure)] => Err(failure.clone()),
        _ => Err(malformed(format!("{} outcomes for one request", outcomes.len()), Usage::default())),
    }
}

#[cfg(test)]
mod tests;
