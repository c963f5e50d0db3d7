//! Everything that can be wrong with a dictionary or its files.

use std::path::PathBuf;

/// Errors of the `dictionary` crate. Each names the file, field or tensor, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DictionaryError {
    /// A tensor does not have the shape that the others imply.
    #[error("{tensor} has shape {found:?}, but {expected:?} is needed")]
    Shape {
        /// The tensor, in the words of [`crate::Dictionary`] or of the file.
        tensor: String,
        /// The shape that the other tensors or the configuration imply.
        expected: Vec<usize>,
        /// The shape that was found.
        found: Vec<usize>,
    },
    /// A number that no dictionary can have, such as k = 0 or a weight that is not finite.
    #[error("{what}: {message}")]
    Value {
        /// The tensor or parameter.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file does not follow its format (truncated, lying about its sizes, not JSON …).
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A dictionary of this kind is not implemented, or a format cannot express it.
    #[error("{subject}: {message}")]
    Unsupported {
        /// The file, or the format.
        subject: String,
        /// What cannot be done, and what can.
        message: String,
    },
}
