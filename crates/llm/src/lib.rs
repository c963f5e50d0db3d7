//! Language models that explain and simulate: one interface, whatever stands behind it.
//!
//! A [`Request`] says what is asked, an [`Outcome`] what came of it: an [`Answer`], or a [`Failure`] that is recorded as
//! what it is and never becomes a score. A [`LanguageModel`] answers requests in whatever order suits it; a [`Client`]
//! stands before it and is what explainers and scorers talk to: with a [`Ledger`] nothing is ever asked or paid twice.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
pub mod batch;
mod client;
mod error;
pub mod http;
mod language_model;
mod ledger;
pub mod local;
pub mod pacing;
pub mod prices;
pub mod replay;
mod request;

pub use answer::{Answer, Distribution, Failure, FailureKind, Finish, Outcome, TokenLogprob, Usage};
pub use client::{Client, Estimate, Totals};
pub use error::LlmError;
pub use language_model::{Capabilities, LanguageModel, Oversight, Permit, Stop};
pub use ledger::{Entry, Ledger, Summary};
pub use request::{Fingerprint, Generation, Grading, Message, Piece, Request, Role, Want};
