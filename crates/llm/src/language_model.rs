//! The seam: what a language model is to this program.

use serde::{Deserialize, Serialize};

use crate::answer::{Failure, Outcome};
use crate::request::{Request, Want};

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

    /// As [`Self::answer`], for models whose attempts cost money or may stop altogether: they announce every attempt.
    fn answer_watched(&self, requests: &[Request], oversight: &dyn Oversight) {
        self.answer(requests, &|index, outcome| oversight.answered(index, outcome));
    }

    /// About how many tokens the request reads, for estimates before a run.
    fn estimate_prompt_tokens(&self, request: &Request) -> u64;

    /// More tokens than the request can possibly read, for budgets. A token has at least one byte, and templates add a
    /// few to every message.
    fn most_prompt_tokens(&self, request: &Request) -> u64 {
        let messages: usize = request.messages.iter().map(|message| message.content.len() + 16).sum();
        let wanted = match &request.want {
            Want::Text(generation) => generation.json_schema.as_ref().map_or(0, |it| it.to_string().len()),
            Want::Grades(grading) => grading.text.iter().map(|piece| piece.as_str().len()).sum(),
        };
        (messages + wanted + 64) as u64
    }
}

/// Watches over a run of requests: counts, allows and records attempts.
pub trait Oversight: Sync {
    /// Asked before every attempt at the request of this index.
    fn begin(&self, index: usize) -> Permit;

    /// An attempt came to nothing, and the request is going to be tried again. `perhaps_paid` if the provider may have
    /// done the work before the connection was lost.
    fn lost(&self, index: usize, failure: &Failure, perhaps_paid: bool);

    /// The request has its outcome. False asks to begin nothing more.
    fn answered(&self, index: usize, outcome: Outcome) -> bool;

    /// The model gives up the rest of the run.
    fn stopped(&self, stop: Stop);
}

/// Whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Granted,
    /// Not before something that is under way has ended.
    Wait,
    /// It may not, nor may any other.
    Denied,
}

/// Why a model gives up a run, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What happened.
    pub reason: String,
    /// What the user can do.
    pub advice: String,
}
