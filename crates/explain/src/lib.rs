//! Explanations that predict activations, and the scores they earn.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod score;
