//! Subject models: configuration, weights, tokenizer, and a forward pass with hook points.
//!
//! A model is one decoder described by an [`Architecture`]; a forward pass is driven by what is asked
//! for: an [`Observer`] sees the wanted [`HookPoint`]s, and nothing else is kept.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod architecture;
mod batch;
pub mod checkpoint;
pub mod error;
mod hook;
mod hook_pattern;
mod intervention;
pub mod location;
mod tensor;
pub mod tokenizer;
mod unit;

pub use architecture::{
    ActivationFunction, Architecture, Family, LayerSpec, MlpSpec, NormKind, NormSpec, QkNorm, RotarySpec,
};
pub use batch::{Activation, Batch, Observer, Run};
pub use error::ModelError;
pub use hook::{BlockSite, HookPoint};
pub use hook_pattern::HookPattern;
pub use intervention::{Change, Intervention, Positions, RowContext, RowFunction, Units};
pub use tensor::Tensor;
pub use tokenizer::Tokenizer;
pub use unit::UnitId;
