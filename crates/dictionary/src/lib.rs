//! Sparse dictionaries over activations: sparse autoencoders and transcoders of every published variant.
//!
//! A [`Dictionary`] is data: weights, an [`Activation`], an [`InputConvention`] and [`Metadata`]. A [`Coder`] is the
//! same dictionary packed for use: it encodes rows of activations to [`SparseLatents`] and reconstructs them, in the
//! space of the original activations. Files of other programs are translated into this one form.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod activation;
mod coder;
mod dictionary;
mod error;
pub mod evaluation;
mod fit;
pub mod formats;
mod metadata;
mod normalisation;
mod random;
mod sparse_latents;
mod splice;
#[cfg(test)]
mod testing;
pub mod training;
pub mod variants;

pub use activation::{Activation, Sign};
pub use coder::Coder;
pub use dictionary::{Dictionary, InputConvention};
pub use error::DictionaryError;
pub use fit::Fit;
pub use metadata::Metadata;
pub use normalisation::{Normalisation, RowMap};
pub use sparse_latents::SparseLatents;
pub use splice::{HeadSlice, SplicedDictionary};
