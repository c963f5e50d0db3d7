//! A model on disk: its architecture, its tokenizer and its weights, whatever the file format.

mod weights;

pub use weights::{LayerWeights, Linear, Matrix, NormWeights};

use std::path::{Path, PathBuf};

use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::tokenizer::Tokenizer;

/// An opened model. Weights are read and converted to f32 when they are asked for.
pub struct Checkpoint {
    architecture: Architecture,
    name: String,
    files: Vec<PathBuf>,
}

impl Checkpoint {
    /// Opens a Hugging Face directory or a `.gguf` file. Reads headers only.
    pub fn open(_location: &Path) -> Result<Self, ModelError> {
        todo!()
    }

    /// What the decoder computes.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The model's name: the file's own, or the directory's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files that hold the weights.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Number of parameters in the files (tied weights count once).
    pub fn parameter_count(&self) -> u64 {
        todo!()
    }

    /// The tokenizer beside or inside the model files.
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        todo!()
    }

    /// `[vocab, d_model]`
    pub fn embedding(&self) -> Result<Matrix, ModelError> {
        todo!()
    }

    /// `[context_length, d_model]`, where positions are learned.
    pub fn position_embedding(&self) -> Result<Option<Matrix>, ModelError> {
        todo!()
    }

    /// All weights of one layer.
    pub fn layer(&self, _layer: usize) -> Result<LayerWeights, ModelError> {
        todo!()
    }

    /// The norm before the unembedding.
    pub fn final_norm(&self) -> Result<NormWeights, ModelError> {
        todo!()
    }

    /// `[vocab, d_model]`; none when it is the embedding.
    pub fn unembedding(&self) -> Result<Option<Linear>, ModelError> {
        todo!()
    }
}
