//! What can go wrong between an atlas and another program's files.

use std::path::PathBuf;

use glossator_atlas::AtlasError;

/// An error while exporting or importing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The atlas could not be read or written.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// A file could not be read or written.
    #[error("cannot access {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file does not hold what its format demands.
    #[error("{path}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field.
        message: String,
    },
    /// A table could not be written.
    #[error("{path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: parquet::errors::ParquetError,
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
    pub(crate) fn invalid(path: &std::path::Path, message: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), message: message.into() }
    }
}
