//! Dictionaries as other programs keep them on disk.
//!
//! | format | what lies there |
//! |---|---|
//! | SAELens | a directory with `cfg.json` and `sae_weights.safetensors` |
//! | sparsify | a directory with `cfg.json` and `sae.safetensors` |
//! | dictionary_learning | a directory with `ae.pt` and `config.json` |
//! | OpenAI | a file `*.pt` |
//! | Gemma Scope | a file `params.npz`, or a directory with `params.safetensors` (Gemma Scope 2) |
//! | circuit-tracer | a file `layer_N.safetensors`, with `config.yaml` beside it |
//! | Glossator | a directory with `dictionary.json` and `dictionary.safetensors` |
//!
//! Reading never runs anything that a file brings along, and takes no memory for sizes that the file only claims.
//! Writing folds what the format has no word for into the weights where that changes no latent and no
//! reconstruction, and refuses otherwise.

mod circuit_tracer;
mod dictionary_learning;
mod files;
mod fold;
mod gemma_scope;
mod glossator;
mod npy;
mod openai;
mod saelens;
mod safetensors_file;
mod source;
mod sparsify;
mod tensors;
mod torch;
mod zip_file;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::dictionary::Dictionary;
use crate::error::DictionaryError;
use files::{io_error, malformed, unsupported};

/// A program's way of keeping dictionaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// SAELens, with the configuration of version 6; older ones are read.
    SaeLens,
    /// EleutherAI's sparsify.
    Sparsify,
    /// dictionary_learning (saprmarks, Karvonen).
    DictionaryLearning,
    /// OpenAI's sparse_autoencoder.
    OpenAi,
    /// Google DeepMind's Gemma Scope.
    GemmaScope,
    /// circuit-tracer, and the transcoders published for it.
    CircuitTracer,
    /// Glossator's own, which can express every dictionary.
    Glossator,
}

impl Format {
    /// Every format with its name.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::SaeLens, "saelens"),
        (Self::Sparsify, "sparsify"),
        (Self::DictionaryLearning, "dictionary-learning"),
        (Self::OpenAi, "openai"),
        (Self::GemmaScope, "gemma-scope"),
        (Self::CircuitTracer, "circuit-tracer"),
        (Self::Glossator, "glossator"),
    ];

    /// The format of what lies at a path, by the files that are there.
    pub fn detect(path: &Path) -> Result<Self, DictionaryError> {
        std::fs::metadata(path).map_err(|source| io_error(path, source))?;
        let has = |name: &str| path.join(name).is_file();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if has(saelens::WEIGHTS) {
            Ok(Self::SaeLens)
        } else if has(sparsify::WEIGHTS) {
            Ok(Self::Sparsify)
        } else if has(glossator::WEIGHTS) {
            Ok(Self::Glossator)
        } else if has(dictionary_learning::WEIGHTS) || path.ends_with(dictionary_learning::WEIGHTS) {
            Ok(Self::DictionaryLearning)
        } else if has(gemma_scope::WEIGHTS)
            || has(gemma_scope::WEIGHTS_2)
            || path.ends_with(gemma_scope::WEIGHTS_2)
        {
            Ok(Self::GemmaScope)
        } else {
            match extension {
                "npz" => Ok(Self::GemmaScope),
                "safetensors" => Ok(Self::CircuitTracer),
                "pt" if openai::is_one(path)? => Ok(Self::OpenAi),
                "pt" => Ok(Self::DictionaryLearning),
                _ => Err(malformed(
                    path,
                    "this is no dictionary: expected a directory with sae_weights.safetensors (SAELens), \
                     sae.safetensors (sparsify), ae.pt (dictionary_learning), params.npz (Gemma Scope) or \
                     dictionary.safetensors (Glossator), or a file .pt (OpenAI), .npz (Gemma Scope) or .safetensors \
                     (circuit-tracer)",
                )),
            }
        }
    }

    /// Reads the dictionary at a path, and checks that it is one.
    pub fn read(self, path: &Path) -> Result<Dictionary, DictionaryError> {
        let dictionary = match self {
            Self::SaeLens => saelens::read(path),
            Self::Sparsify => sparsify::read(path),
            Self::DictionaryLearning => dictionary_learning::read(path),
            Self::OpenAi => openai::read(path),
            Self::GemmaScope => gemma_scope::read(path),
            Self::CircuitTracer => circuit_tracer::read(path),
            Self::Glossator => glossator::read(path),
        }?;
        dictionary.check().map_err(|error| malformed(path, &error.to_string()))?;
        Ok(dictionary)
    }

    /// Writes a dictionary: a directory for SAELens, sparsify, dictionary_learning and Glossator, a file for the others.
    ///
    /// Fails with [`DictionaryError::Unsupported`] when the format cannot say what the dictionary computes.
    pub fn write(self, dictionary: &Dictionary, path: &Path) -> Result<(), DictionaryError> {
        dictionary.check()?;
        match self {
            Self::SaeLens => saelens::write(dictionary, path),
            Self::Sparsify => sparsify::write(dictionary, path),
            Self::DictionaryLearning => dictionary_learning::write(dictionary, path),
            Self::OpenAi => openai::write(dictionary, path),
            Self::GemmaScope => gemma_scope::write(dictionary, path),
            Self::CircuitTracer => circuit_tracer::write(dictionary, path),
            Self::Glossator => glossator::write(dictionary, path),
        }
    }

    /// That this format cannot express something.
    fn cannot(self, what: &str) -> DictionaryError {
        unsupported(&format!("the format {self}"), &format!("cannot express {what}"))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL[*self as usize].1)
    }
}

impl FromStr for Format {
    type Err = DictionaryError;

    fn from_str(text: &str) -> Result<Self, DictionaryError> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(format, _)| *format).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(_, name)| *name).collect();
            unsupported(text, &format!("not a format; known are {}", names.join(", ")))
        })
    }
}

/// Reads the dictionary at a path in whatever format it is.
pub fn read(path: &Path) -> Result<(Dictionary, Format), DictionaryError> {
    let format = Format::detect(path)?;
    Ok((format.read(path)?, format))
}
