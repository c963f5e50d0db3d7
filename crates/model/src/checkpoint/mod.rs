//! A model on disk: its architecture, its tokenizer and its weights, whatever the file format.

mod chat;
mod fields;
mod gguf;
mod huggingface;
mod layout;
mod names;
mod rope;
mod shuffle;
mod source;
mod validate;
mod weights;

pub(crate) use fields::Fields;
pub(crate) use gguf::{Metadata, Value};
pub use weights::{LayerWeights, Linear, Matrix, NormWeights};

use std::path::{Path, PathBuf};

use layout::{Layout, Reader};
use shuffle::Place;
use source::TensorSource;

use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::tokenizer::Tokenizer;

/// An opened model. Headers are read on opening; weights are read and converted to f32 when they are asked for.
pub struct Checkpoint {
    architecture: Architecture,
    name: String,
    format: Format,
    layout: Layout,
    /// The seed of [`Checkpoint::with_shuffled_weights`].
    shuffled: Option<u64>,
}

enum Format {
    HuggingFace { directory: PathBuf, tensors: huggingface::SafetensorsDirectory },
    Gguf(gguf::GgufFile),
}

impl Checkpoint {
    /// Opens a Hugging Face directory or a `.gguf` file.
    pub fn open(location: &Path) -> Result<Self, ModelError> {
        let metadata = std::fs::metadata(location)
            .map_err(|source| ModelError::Io { path: location.to_owned(), source })?;
        if metadata.is_dir() { Self::open_directory(location) } else { Self::open_gguf(location) }
    }

    fn open_directory(directory: &Path) -> Result<Self, ModelError> {
        let configuration = huggingface::configuration(directory)?;
        let tensors = huggingface::SafetensorsDirectory::open(directory)?;
        Ok(Self {
            architecture: configuration.architecture,
            name: directory_name(directory),
            format: Format::HuggingFace { directory: directory.to_owned(), tensors },
            layout: configuration.layout,
            shuffled: None,
        })
    }

    fn open_gguf(path: &Path) -> Result<Self, ModelError> {
        let file = gguf::GgufFile::open(path)?;
        let (architecture, layout) = gguf::configuration(path, file.metadata(), &file)?;
        // `general.name` is often the name of a training run; the file's own is the one that users know.
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { architecture, name, format: Format::Gguf(file), layout, shuffled: None })
    }

    /// The same model with the entries of every weight matrix in a random order: one that has learned nothing. Biases
    /// and gains of norms stay. The same seed gives the same order.
    #[must_use]
    pub fn with_shuffled_weights(self, seed: u64) -> Self {
        Self { shuffled: Some(seed), ..self }
    }

    /// What the decoder computes.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The model's name: that of its `.gguf` file, or of its directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files that hold the weights.
    pub fn files(&self) -> Vec<PathBuf> {
        self.source().files()
    }

    /// Number of parameters; tied weights count once.
    pub fn parameter_count(&self) -> u64 {
        self.reader().parameter_count()
    }

    /// The tokenizer beside or inside the model's files.
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        match &self.format {
            Format::HuggingFace { directory, .. } => Tokenizer::from_directory(directory),
            Format::Gguf(file) => Tokenizer::from_gguf(file.path(), file.metadata()),
        }
    }

    /// `[vocab, d_model]`
    pub fn embedding(&self) -> Result<Matrix, ModelError> {
        let mut matrix = self.reader().embedding()?;
        self.shuffle(&mut matrix, Place::Embedding);
        Ok(matrix)
    }

    fn shuffle(&self, matrix: &mut Matrix, place: Place) {
        if let Some(seed) = self.shuffled {
            shuffle::shuffle(matrix, seed, place);
        }
    }

    /// `[context_length, d_model]`, where positions are learned.
    pub fn position_embedding(&self) -> Result<Option<Matrix>, ModelError> {
        let mut matrix = self.reader().position_embedding()?;
        if let Some(matrix) = &mut matrix {
            self.shuffle(matrix, Place::Positions);
        }
        Ok(matrix)
    }

    /// All weights of one layer.
    pub fn layer(&self, layer: usize) -> Result<LayerWeights, ModelError> {
        let mut weights = self.reader().layer(layer)?;
        if let Some(seed) = self.shuffled {
            shuffle::shuffle_layer(&mut weights, seed, layer);
        }
        Ok(weights)
    }

    /// The norm before the unembedding.
    pub fn final_norm(&self) -> Result<NormWeights, ModelError> {
        self.reader().final_norm()
    }

    /// `[vocab, d_model]`; none when it is the embedding.
    pub fn unembedding(&self) -> Result<Option<Linear>, ModelError> {
        let mut linear = self.reader().unembedding()?;
        if let Some(linear) = &mut linear {
            self.shuffle(&mut linear.weight, Place::Unembedding);
        }
        Ok(linear)
    }

    fn source(&self) -> &dyn TensorSource {
        match &self.format {
            Format::HuggingFace { tensors, .. } => tensors,
            Format::Gguf(file) => file,
        }
    }

    fn reader(&self) -> Reader<'_> {
        Reader { layout: &self.layout, architecture: &self.architecture, source: self.source() }
    }
}

/// The directory's own name; inside the Hugging Face cache, the repository's.
fn directory_name(directory: &Path) -> String {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mut parts = directory.iter().rev().map(|part| part.to_string_lossy());
    let own = parts.next().unwrap_or_default().into_owned();
    let repository =
        parts.nth(1).filter(|_| directory.parent().is_some_and(|parent| parent.ends_with("snapshots")));
    match repository.as_deref().and_then(|name| name.strip_prefix("models--")) {
        Some(name) => name.replace("--", "/"),
        None => own,
    }
}
