//! Subject models: configuration, weights, tokenizer, and a forward pass with hook points.
//!
//! A model is one decoder described by an [`Architecture`]; a forward pass is driven by what is asked
//! for: an [`Observer`] sees the wanted [`HookPoint`]s, and nothing else is kept.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod architecture;
mod batch;
pub mod checkpoint;
mod dictionary;
mod directions;
pub mod error;
mod forward;
mod generate;
mod hook;
mod hook_pattern;
mod hub;
mod intervention;
mod intervention_spec;
pub mod location;
mod model;
pub mod runtime;
mod sampling;
mod similar_tokens;
mod tensor;
pub mod tokenizer;
mod unit;
mod weight_memory;

pub use architecture::{
    ActivationFunction, Architecture, DictionarySpec, Family, LayerSpec, MlpSpec, NormKind, NormSpec, QkNorm,
    RotarySpec,
};
pub use batch::{Activation, Batch, Observer, Run, SparseFeatures, SparseRows};
pub use dictionary::FeatureDictionary;
pub use error::ModelError;
pub use generate::{Generation, GenerationOptions, StopReason};
pub use hook::{BlockSite, HookPoint};
pub use hook_pattern::HookPattern;
pub use intervention::{Change, Intervention, Positions, RowContext, RowFunction, Units};
pub use model::{Model, Precision};
pub use sampling::Sampling;
pub use similar_tokens::SimilarTokens;
pub use tensor::Tensor;
pub use tokenizer::Tokenizer;
pub use unit::UnitId;
