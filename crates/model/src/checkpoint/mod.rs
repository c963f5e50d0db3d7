//! A model on disk: its architecture, its tokenizer and its weights, whatever the file format.

mod weights;

pub use weights::{LayerWeights, Linear, Matrix, NormWeights};
