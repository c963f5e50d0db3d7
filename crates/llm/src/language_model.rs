//! The seam: what a language model is to this program.

use serde::{Deserialize, Serialize};

use crate::answer::Outcome;
use crate::request::Request;

/// What a model offers beside text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts about a provider")]
pub struct Capabilities {
    /// Grades: probabilities at places of a text that is given ([`crate::Want::Grades`]).
    pub grades: bool,
    /// Log-probabilities of the tokens that it writes.
    pub logprobs: bool,
    /// Answers that follow a JSON schema.
    pub json_schema: bool,
    /// Sampling that repeats itself with the same seed.
    pub seed: bool,
    /// Going on with an assistant's turn that is begun.
    pub continues_turn: bool,
    /// Each of "0" to "10" begins with a token of its own, so that the published scale can be graded. Models that write
    /// numbers digit by digit are graded from 0 to 9.
    pub number_ten: bool,
}

/// Answers requests.
pub trait LanguageModel: Send + Sync {
    /// The name under which answers are kept; another model, file or quantisation must have another one.
    fn name(&self) -> &str;

    /// What it offers, found out by asking.
    fn capabilities(&self) -> Capabilities;

    /// Answers `requests` in any order, several at once where that is faster, and shows each outcome with the index of
    /// its request to `answered` as soon as it is there. Every request is answered once. An `answered` that returns
    /// false asks to stop: what has not been begun may then be left out.
    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync));

    /// About how many tokens the request reads, for estimates before a run.
    fn estimate_prompt_tokens(&self, request: &Request) -> u64;
}
