//! Everything that can go wrong with an atlas, with the file or field and what to do about it.

use std::path::{Path, PathBuf};

use glossator_model::ModelError;
use rusqlite::ErrorCode;

/// An error while writing, merging or reading an atlas.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AtlasError {
    /// A file could not be read or written.
    #[error("cannot access {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The directory holds no manifest.
    #[error("{path} is not an atlas: it has no manifest.json (write one with `glossator record`)")]
    NotAnAtlas {
        /// The directory.
        path: PathBuf,
    },
    /// The atlas was written under another version of the schema.
    #[error("{path} has atlas schema version {found}, this glossator reads version {supported}: {advice}")]
    SchemaVersion {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version of this build.
        supported: u32,
        /// What to do.
        advice: &'static str,
    },
    /// The recording or one of the stages after it has not finished.
    #[error(
        "{path} is not finished: stage `{stage}` is missing (run the same `glossator record` again to go on)"
    )]
    Unfinished {
        /// The atlas.
        path: PathBuf,
        /// The first stage that is missing.
        stage: &'static str,
    },
    /// A file does not hold what its format demands.
    #[error("{path}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field.
        message: String,
    },
    /// A Parquet file could not be read or written.
    #[error("{path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: parquet::errors::ParquetError,
    },
    /// The database could not be read or written.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: rusqlite::Error,
    },
    /// Another process is writing to the database.
    #[error(
        "another process is writing to this atlas ({path}): let it finish or stop it, then run this again; what has been \
         stored so far is kept"
    )]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The atlas has no such unit.
    #[error("the atlas has no unit {unit}: {advice}")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// What it does have.
        advice: String,
    },
    /// Two shards, or a checkpoint and a run, do not belong together.
    #[error("{path} does not belong to this run: {field} is {found} there and {expected} here")]
    Mismatch {
        /// The shard or checkpoint.
        path: PathBuf,
        /// The setting that differs.
        field: String,
        /// Its value in the file.
        found: String,
        /// Its value here.
        expected: String,
    },
    /// The shards of a merge do not make up the selection.
    #[error("the shards are not complete: {message}")]
    IncompleteShards {
        /// What is missing or doubled.
        message: String,
    },
    /// Activations that are no numbers.
    #[error(
        "{hook} has infinite or undefined activations in window {window}: try `--precision f32`, and check the model with `glossator doctor`"
    )]
    NonFinite {
        /// The hook point.
        hook: String,
        /// The window.
        window: u32,
    },
    /// The run would take more memory than allowed.
    #[error("recording needs {needed} of memory and --memory-limit allows {limit}: {advice}")]
    MemoryLimit {
        /// What is needed, for people.
        needed: String,
        /// What is allowed, for people.
        limit: String,
        /// What to change.
        advice: &'static str,
    },
    /// The settings of a recording do not fit together.
    #[error("{message}")]
    Settings {
        /// What is wrong and what to change.
        message: String,
    },
    /// The subject model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Attaches a path to the errors of the libraries below.
pub(crate) trait AtPath<T> {
    /// The same result, the error naming `path`.
    fn at(self, path: &Path) -> Result<T, AtlasError>;
}

impl<T> AtPath<T> for Result<T, std::io::Error> {
    fn at(self, path: &Path) -> Result<T, AtlasError> {
        self.map_err(|source| AtlasError::Io { path: path.to_owned(), source })
    }
}

impl<T> AtPath<T> for Result<T, parquet::errors::ParquetError> {
    fn at(self, path: &Path) -> Result<T, AtlasError> {
        self.map_err(|source| AtlasError::Parquet { path: path.to_owned(), source })
    }
}

impl<T> AtPath<T> for Result<T, rusqlite::Error> {
    fn at(self, path: &Path) -> Result<T, AtlasError> {
        self.map_err(|source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                AtlasError::Busy { path: path.to_owned() }
            }
            _ => AtlasError::Database { path: path.to_owned(), source },
        })
    }
}

impl<T> AtPath<T> for Result<T, serde_json::Error> {
    fn at(self, path: &Path) -> Result<T, AtlasError> {
        self.map_err(|error| AtlasError::invalid(path, format!("not the expected JSON: {error}")))
    }
}

impl AtlasError {
    /// A file whose content breaks its format.
    pub(crate) fn invalid(path: &Path, message: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), message: message.into() }
    }
}
