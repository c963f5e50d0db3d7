//! What comes of a request.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What came of a request.
pub type Outcome = Result<Answer, Failure>;

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The continuation; empty where grades were wanted.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// The new tokens with their alternatives, if they were wanted.
    pub tokens: Vec<TokenLogprob>,
    /// A distribution over the choices at each place, if grades were wanted.
    pub grades: Vec<Distribution>,
    /// What was used.
    pub usage: Usage,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model was done, or came to a stop text.
    #[default]
    Stop,
    /// The number of new tokens was reached: the answer is cut off.
    Length,
}

/// A new token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// Its text.
    pub text: String,
    /// Its natural log-probability.
    pub logprob: f32,
    /// The likeliest tokens at its place, likeliest first.
    pub alternatives: Vec<(String, f32)>,
}

/// Probabilities of the choices of a grading at one place, as the model gives them. They sum to 1 if only the choices were
/// weighed, as the local runtime does; else to at most 1, and what is missing went to other answers. All zero if the model
/// named none of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution(pub Vec<f32>);

impl Distribution {
    /// Σ pᵢ · valueᵢ / Σ pᵢ; `None` where no choice has any probability.
    pub fn expectation(&self, values: &[f32]) -> Option<f32> {
        let total: f32 = self.0.iter().sum();
        let weighted: f32 = self.0.iter().zip(values).map(|(probability, value)| probability * value).sum();
        (total > 0.0).then(|| weighted / total)
    }
}

/// Tokens that a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read, those from a cache included.
    pub prompt_tokens: u64,
    /// Tokens of them that the model had read before and did not read again.
    pub cached_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// A request without an answer that can be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// What the provider or the parser said.
    pub message: String,
    /// What was used all the same.
    pub usage: Usage,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The provider could not be reached, or went on failing until attempts ran out. Asking again later may help.
    Unreachable,
    /// The provider rejects the request: key, credit, model or parameters. Asking again does not help until that is mended.
    Rejected,
    /// The model does not offer what is wanted.
    Unsupported,
    /// The model declined to answer.
    Refused,
    /// The answer does not fit into the context or the tokens that were allowed.
    Truncated,
    /// The provider answered something that is no answer.
    Malformed,
}

impl Failure {
    /// A failure that used nothing.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), usage: Usage::default() }
    }
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::Rejected,
        Self::Unsupported,
        Self::Refused,
        Self::Truncated,
        Self::Malformed,
    ];

    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::Unsupported => "unsupported",
            Self::Refused => "refused",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
        }
    }

    /// Whether the same request may be answered another time; such failures are not kept as answers.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Unreachable | Self::Rejected)
    }
}
