//! Atlases in the forms of other programs.
//!
//! [`openai`] writes and reads the files of "Language models can explain neurons in language models"; [`neuronpedia`]
//! and [`delphi`] write what those programs import and show; [`dataset`] writes tables with a card for people.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod dataset;
pub mod delphi;
mod error;
mod files;
mod group;
pub mod neuronpedia;
pub mod openai;

pub use error::ExchangeError;
pub use group::{Group, groups};
