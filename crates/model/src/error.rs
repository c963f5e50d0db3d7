//! Everything that can go wrong between a location and a finished forward pass.

use std::path::PathBuf;

/// Errors of the `model` crate. Each names the file, field, tensor or hook point, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
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
    /// A field of the configuration (`config.json` or GGUF metadata) is missing or has an impossible value.
    #[error("{}: field `{field}`: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field's name as the file spells it.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The model is of a kind that is not implemented.
    #[error("{}: {what} `{name}` is not supported (supported: {supported})", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What kind of thing it is: architecture, activation, tensor type, pre-tokenizer …
        what: &'static str,
        /// Its name in the file.
        name: String,
        /// What would have been understood.
        supported: String,
    },
    /// A weight that the architecture needs is not in the files.
    #[error("{}: tensor `{tensor}` is missing (is every shard of the model there?)", path.display())]
    MissingTensor {
        /// The file or directory.
        path: PathBuf,
        /// The tensor's name in the file format's own spelling.
        tensor: String,
    },
    /// A weight does not have the shape that the configuration implies.
    #[error(
        "{}: tensor `{tensor}` has shape {found:?}, but the configuration implies {expected:?}",
        path.display()
    )]
    Shape {
        /// The file or directory.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// The tokenizer could not be built, or refused a text or a token.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A location could not be turned into files on this machine.
    #[error("{location}: {message}")]
    Location {
        /// What the user wrote.
        location: String,
        /// What went wrong and what to do.
        message: String,
    },
}
