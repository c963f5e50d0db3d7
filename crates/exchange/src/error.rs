//! What can go wrong between an atlas and another program's files.

use std::path::{Path, PathBuf};

use glossator_atlas::AtlasError;
use glossator_model::ModelError;
use parquet::errors::ParquetError;

/// An error while exporting or importing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The atlas, or a file of an export, could not be read or written.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// The subject model could not be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file does not hold what its format demands.
    #[error("{path}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field.
        message: String,
    },
    /// The directory holds something else.
    #[error("{path} is not empty: name a new directory")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// There is nothing to import.
    #[error("{path} holds no {what}: it should have {layout}")]
    Nothing {
        /// The directory.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Where it should be.
        layout: &'static str,
    },
    /// No unit was chosen.
    #[error("there is nothing to export: no unit was chosen")]
    NoUnits,
}

impl ExchangeError {
    /// A file with something wrong in it.
    pub(crate) fn invalid(path: &Path, message: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), message: message.into() }
    }

    /// A file that cannot be read or written.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| AtlasError::Io { path: path.clone(), source }.into()
    }

    /// A table that cannot be written.
    pub(crate) fn parquet(path: &Path) -> impl Fn(ParquetError) -> Self {
        let path = path.to_owned();
        move |source| AtlasError::Parquet { path: path.clone(), source }.into()
    }
}
