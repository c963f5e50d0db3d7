//! Detection: which texts activate the unit, told from the explanation alone (Paulo et al. 2024, section 4).
//!
//! Nothing in the texts is marked. Balanced accuracy and AUROC say how well the explanation separates texts on which the
//! unit fires from random ones, from its neighbours' and from near misses.

use glossator_llm::{Outcome, Request};

use super::example::Example;
use super::question::{Subject, Way, judgements};
use crate::prompts::{PromptError, Prompts};
use crate::score::Judgement;

/// The requests that ask about `examples`, in order.
pub fn requests(
    prompts: &Prompts,
    way: Way,
    explanation: &str,
    examples: &[Example],
) -> Result<Vec<Request>, PromptError> {
    let texts: Vec<String> = examples.iter().map(|example| example.shown(&[])).collect();
    Subject { scorer: "detection", prompts, explanation }.requests(way, &texts)
}

/// The judgements on `examples`, from the outcomes of [`requests`].
pub fn judge(way: Way, examples: &[Example], outcomes: &[Outcome]) -> Vec<Judgement> {
    let truths: Vec<bool> = examples.iter().map(|example| example.fires).collect();
    judgements(way, &truths, outcomes)
}
