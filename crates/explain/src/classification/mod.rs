//! Classification scores: a language model that knows an explanation tells texts that activate a unit from texts that
//! do not (the scorers of Paulo et al. 2024, "Automatically interpreting millions of features in large language models").
//!
//! | score | what is asked | what is measured |
//! |---|---|---|
//! | [`detection`] | does this text fit the explanation? | balanced accuracy, F1, AUROC |
//! | [`fuzzing`] | do the marked tokens fit the explanation? | the same |
//! | [`intruder`] | which of five texts does not belong? | accuracy; chance is 1/5 |
//! | [`logits`] | does the unit make the model say this token? | balanced accuracy, F1, AUROC |
//! | [`surprisal`] | does the explanation make the text less surprising? | AUROC |
//!
//! [`examples`] chooses the texts. Each question is a request of its own where the model gives probabilities, so that one
//! text cannot colour the judgement of another and a run that shares the beginning of its prompts reads it once; models
//! without probabilities answer for several texts at once, by a JSON list. An answer that cannot be read is a failure of
//! the texts that it was for ([`crate::score::Judgement`]), never a verdict.

pub mod detection;
pub mod example;
pub mod examples;
pub mod fuzzing;
pub mod intruder;
pub mod logits;
mod question;
pub mod surprisal;

pub use example::{Example, Source};
pub(crate) use question::TOGETHER;
pub use question::Way;

/// What stands in place of an explanation to see what a judge knows without one.
pub const NO_EXPLANATION: &str = "nothing is known about it";
