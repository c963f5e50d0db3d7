//! What can go wrong with a run of requests, as against with one request ([`crate::Failure`]).

use std::path::PathBuf;

use thiserror::Error;

use crate::prices::Money;

/// A run of requests that cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
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
    /// The model gave up the run.
    #[error("{model}: {reason}; {left} of {asked} requests are left: {advice}")]
    Stopped {
        /// The model.
        model: String,
        /// What happened.
        reason: String,
        /// What the user can do.
        advice: String,
        /// Requests without an outcome.
        left: usize,
        /// Requests in all.
        asked: usize,
    },
    /// The next request could pass the budget.
    #[error(
        "the budget of {budget} could be passed by the next request (spent {spent}{uncertain}); {left} of {asked} requests \
         are left, and what is answered is kept: run the same command again with a larger --budget to go on"
    )]
    Budget {
        /// What may be spent in this run.
        budget: Money,
        /// What has been spent in this run.
        spent: Money,
        /// What lost attempts may have cost besides, in words.
        uncertain: String,
        /// Requests without an outcome.
        left: usize,
        /// Requests in all.
        asked: usize,
    },
    /// A budget for a model without a price.
    #[error(
        "there is no price for {model}, so that a budget cannot be kept: print the table with `glossator llm prices`, add the \
         model, and give the file with --prices, or leave --budget out"
    )]
    NoPrice {
        /// The model.
        model: String,
    },
    /// A price file that cannot be used.
    #[error("{path}: {message}")]
    Prices {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The settings of an endpoint cannot be used.
    #[error("{message}")]
    Endpoint {
        /// What is wrong and what to do.
        message: String,
    },
    /// An endpoint did not answer the first question.
    #[error("{url} cannot be used: {message}")]
    Probe {
        /// The endpoint.
        url: String,
        /// Why, and what to do.
        message: String,
    },
    /// The ledger could not be read or written.
    #[error("the ledger {path}: {source}")]
    Ledger {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: rusqlite::Error,
    },
    /// Another process writes to the ledger.
    #[error(
        "another process is using the ledger {path}: let it finish or stop it, then run this again; or give this run a ledger \
         of its own with --ledger"
    )]
    LedgerBusy {
        /// The file.
        path: PathBuf,
    },
    /// The ledger is no ledger, or has been damaged.
    #[error("{path}: {message}")]
    LedgerInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file could not be read or written.
    #[error("cannot access {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A recording that cannot be used.
    #[error("{path}: {message}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// Attaches a path to the errors of the libraries below.
pub(crate) trait AtPath<T> {
    /// The same result, the error naming `path`.
    fn at(self, path: &std::path::Path) -> Result<T, LlmError>;
}

impl<T> AtPath<T> for Result<T, rusqlite::Error> {
    fn at(self, path: &std::path::Path) -> Result<T, LlmError> {
        self.map_err(|source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                let message = format!("not a ledger, or damaged ({source})");
                LlmError::LedgerInvalid { path: path.to_owned(), message }
            }
            _ => LlmError::Ledger { path: path.to_owned(), source },
        })
    }
}

impl<T> AtPath<T> for Result<T, std::io::Error> {
    fn at(self, path: &std::path::Path) -> Result<T, LlmError> {
        self.map_err(|source| LlmError::Io { path: path.to_owned(), source })
    }
}
