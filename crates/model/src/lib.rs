//! Subject models: configuration, weights, tokenizer, and a forward pass with hook points.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod checkpoint;
pub mod error;
pub mod location;
pub mod tokenizer;

pub use error::ModelError;
pub use tokenizer::Tokenizer;
