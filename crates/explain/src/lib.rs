//! Explanations that predict activations, and the scores they earn.
//!
//! An explanation is a function from tokens to activations ([`Predictor`]). [`lookup`] predicts a unit's mean
//! activation on each token; [`neuron2graph`] finds the token patterns that make it fire; [`backoff`] is both. [`score`] says how well
//! predictions agree with the truth on excerpts that no explainer saw. [`explaining`] and [`scoring`] run them over
//! the units of an atlas.
//!
//! An explanation in words ([`words`]) predicts through a language model that reads it ([`simulate`]); both are asked with
//! [`prompts`]. [`explaining_in_words`] and [`simulating`] run them over the units of an atlas.
//!
//! Beside them stand scores by [`classification`] ([`judging`] runs them) and by [`ablation`] in the subject model
//! ([`ablating`]). [`revision`] corrects an explanation by what the subject model does on test sentences; [`puzzles`] are
//! made-up units by which judges and explainers are tested; [`comparison`] is over everything that was scored, and [`side_by_side`]
//! on the units that all have.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ablating;
pub mod ablation;
pub mod activations;
pub mod backoff;
pub mod baselines;
mod block;
pub mod classification;
pub mod comparison;
mod error;
pub mod explaining;
pub mod explaining_in_words;
pub mod judging;
pub mod lookup;
pub mod neuron2graph;
pub mod others;
pub mod pending;
pub mod prompts;
pub mod puzzles;
pub mod revision;
pub mod rows;
pub mod sample;
pub mod score;
pub mod scoring;
mod selector;
pub mod side_by_side;
pub mod simulate;
pub mod simulating;
mod tally;
mod text;
pub mod words;

pub use error::ExplainError;
pub use selector::Selector;
pub use tally::Tally;

/// An explanation as a function.
pub trait Predictor {
    /// The predicted activation on each of `tokens`, a window as recorded.
    fn predict(&self, tokens: &[u32]) -> Vec<f32>;
}

/// The empty explanation: the same activation everywhere. Its correlation is undefined, its R² about zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant(pub f32);

impl Predictor for Constant {
    fn predict(&self, tokens: &[u32]) -> Vec<f32> {
        vec![self.0; tokens.len()]
    }
}
