//! Many continuations and gradings at once, for language models that explain.
//!
//! A [`Runtime`] takes jobs and advances some of them together: each step is one ragged batch of prompt pieces and newest
//! tokens, in which every weight is read once (continuous batching, Yu et al. 2022). Keys and values are kept in pages of
//! 128 positions (Kwon et al. 2023); prompts that begin alike share pages, and what they share is computed once, even
//! within one step. Results have the same bits whatever else is in the batch or in the cache.

mod prefix_tree;
mod schedule;
mod sequence;

use std::sync::{Mutex, PoisonError};

use prefix_tree::PrefixTree;
use schedule::Schedule;

use crate::error::ModelError;
use crate::forward::PagePool;
use crate::generate::StopReason;
use crate::model::Model;
use crate::sampling::Sampling;

/// The limits of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeLimits {
    /// Memory for keys and values, in bytes. What no running job needs is kept for prompts that begin alike until
    /// the room is needed.
    pub cache_bytes: usize,
    /// Jobs that are advanced together.
    pub sequences: usize,
    /// Rows of a step: prompt tokens and newest tokens.
    pub rows: usize,
    /// Whether prompts that begin alike share what they have in common.
    pub share_prefixes: bool,
}

impl Default for RuntimeLimits {
    fn default() -> Self {
        Self { cache_bytes: 2 << 30, sequences: 32, rows: 256, share_prefixes: true }
    }
}

/// A token sequence and what is wanted of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The prompt.
    pub tokens: Vec<u32>,
    /// What is wanted.
    pub want: JobWant,
}

/// What is wanted of a token sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum JobWant {
    /// More tokens.
    Continuation {
        /// At most so many.
        max_tokens: usize,
        /// How each is chosen.
        sampling: Sampling,
        /// Tokens that end the continuation; they are not part of it.
        stop_tokens: Vec<u32>,
        /// How many likely tokens are wanted at each place, with their log-probabilities.
        alternatives: usize,
    },
    /// The probability of each of some tokens, given that it is one of them, at places inside the sequence.
    Choices {
        /// Positions: what is weighed is the token that would stand there, after everything before it. Ascending.
        places: Vec<usize>,
        /// The tokens.
        choices: Vec<u32>,
    },
}

/// A new token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewToken {
    /// The token.
    pub token: u32,
    /// Its natural log-probability, if alternatives were wanted.
    pub logprob: f32,
    /// The likeliest tokens at its place with their log-probabilities, likeliest first.
    pub alternatives: Vec<(u32, f32)>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The continuation.
    pub tokens: Vec<NewToken>,
    /// Why it ended.
    pub stop: StopReason,
    /// For each place, the probability of each choice; they sum to 1.
    pub choices: Vec<Vec<f32>>,
    /// Prompt tokens that were computed before, for another job.
    pub cached_tokens: usize,
}

/// Sees what happens to jobs, which are named by their index.
pub trait Listener {
    /// A new token of a job; returns whether the job goes on.
    fn token(&mut self, job: usize, token: &NewToken) -> bool;

    /// A job is done; returns whether the run goes on.
    fn done(&mut self, job: usize, result: Result<Completion, ModelError>) -> bool;
}

/// A model that advances many jobs together.
pub struct Runtime {
    model: Model,
    limits: RuntimeLimits,
    tree: Mutex<PrefixTree>,
}

impl Runtime {
    /// Takes a model, whose unembedding is packed at once.
    ///
    /// # Errors
    /// If the unembedding cannot be read.
    pub fn new(model: Model, limits: RuntimeLimits) -> Result<Self, ModelError> {
        model.pack_unembedding()?;
        let precision = model.decoder.attention_precision();
        let pool = PagePool::new(model.architecture(), precision, limits.cache_bytes);
        let tree = Mutex::new(PrefixTree::new(pool, limits.share_prefixes));
        Ok(Self { model, limits, tree })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Runs all jobs, in an order that lets neighbours share what they begin with. A second caller waits for the first.
    pub fn run(&self, jobs: &[Job], listener: &mut dyn Listener) {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        Schedule::new(&self.model, self.limits, jobs).run(&mut tree, listener);
    }
}
