//! What can go wrong with a run of requests, as against with one request ([`crate::Failure`]).

use thiserror::Error;

/// A run of requests that cannot go on.
#[derive(Debug, Error)]
pub enum LlmError {
    /// The model stopped answering although requests were left.
    #[error("{model} left {left} of {asked} requests unanswered")]
    Unanswered {
        /// The model.
        model: String,
        /// Requests without an outcome.
        left: usize,
        /// Requests in all.
        asked: usize,
    },
}
