//! What can go wrong between a path and a window, always with the place.

use std::path::{Path, PathBuf};

/// Every error of the corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A value of the plan cannot be used.
    #[error("{field}: {reason}")]
    Plan {
        /// Name of the field as the command line spells it.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A path or pattern leads to no file.
    #[error("no text found at `{location}`: {reason}")]
    NothingFound {
        /// The path or pattern as it was given.
        location: String,
        /// Why nothing was found.
        reason: String,
    },
    /// The operating system refused to read or write.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A compressed file does not decode: truncated, damaged, or not of the format that its name says.
    #[error("{path}: damaged or truncated {compression} data: {source}")]
    Compression {
        /// The file.
        path: PathBuf,
        /// `gzip` or `zstd`.
        compression: &'static str,
        /// The decoder's reason.
        source: std::io::Error,
    },
    /// A compressed file grows beyond what text does.
    #[error(
        "{path}: {compressed} compressed bytes have grown to more than {limit} bytes; \
         this is not text (decompress the file yourself if it is)"
    )]
    Inflates {
        /// The file.
        path: PathBuf,
        /// Its size on disk, bytes.
        compressed: u64,
        /// The limit that was passed, bytes.
        limit: u64,
    },
    /// A line of a JSONL file cannot be used.
    #[error("{path}:{line}: {reason}")]
    BadLine {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with the line.
        reason: String,
    },
    /// A Parquet file cannot be used.
    #[error("{path}: {reason}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file or the column.
        reason: String,
    },
    /// The tokenizer refused a document.
    #[error("{path}, document {ordinal}: the tokenizer failed: {reason}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Position of the document in the file, from 0.
        ordinal: u64,
        /// The tokenizer's reason.
        reason: String,
    },
    /// A file was written to while it was being read.
    #[error("{path} changed while it was being read; run again when nothing writes to it")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Nothing is left to record.
    #[error("no window of {context} tokens in the {split} split: {reason}")]
    NoWindows {
        /// Window length, tokens.
        context: usize,
        /// `train` or `held-out`.
        split: &'static str,
        /// How many documents there were and why they give no window.
        reason: String,
    },
}

impl CorpusError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn plan(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Plan { field, reason: reason.into() }
    }

    pub(crate) fn parquet(path: &Path, reason: impl Into<String>) -> Self {
        Self::Parquet { path: path.to_owned(), reason: reason.into() }
    }
}
