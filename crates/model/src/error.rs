//! Everything that can go wrong between a location and a finished forward pass.

use std::path::PathBuf;

use crate::hook::HookPoint;

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
    /// No hook point has this name.
    #[error("no hook point `{name}`{near} (`glossator inspect MODEL` lists all)")]
    UnknownHook {
        /// The name or pattern that was given.
        name: String,
        /// A continuation of the sentence with near names, or nothing.
        near: String,
    },
    /// A unit is not written as `hook:index`.
    #[error("`{text}` is not a unit: write a hook point and a coordinate, as in blocks.15.mlp.hook_post:99")]
    UnknownUnit {
        /// What was given.
        text: String,
    },
    /// A coordinate lies outside its hook point.
    #[error("unit {unit} does not exist: the hook point has {width} units")]
    UnitOutOfRange {
        /// The unit.
        unit: String,
        /// The number of units there.
        width: usize,
    },
    /// Scores and patterns belong to pairs of positions.
    #[error("hook point `{hook}` has values for pairs of positions, none for a single one")]
    PairwiseHook {
        /// The hook point.
        hook: HookPoint,
    },
    /// A sequence without tokens.
    #[error("sequence {sequence} of the batch is empty: a forward pass needs at least one token")]
    EmptySequence {
        /// Index in the batch.
        sequence: usize,
    },
    /// A token that the model does not have.
    #[error(
        "token {token} at position {position} of sequence {sequence} is outside the vocabulary of {vocab_size}"
    )]
    TokenOutOfVocabulary {
        /// The token.
        token: u32,
        /// Index in the batch.
        sequence: usize,
        /// Position in the sequence.
        position: usize,
        /// Number of tokens the model has.
        vocab_size: usize,
    },
    /// A sequence longer than the learned positions.
    #[error("sequence {sequence} has {length} tokens, but the model has learned positions for {limit} only")]
    SequenceTooLong {
        /// Index in the batch.
        sequence: usize,
        /// Its length.
        length: usize,
        /// The model's limit.
        limit: usize,
    },
    /// The keys and values of one sequence do not fit into the cache.
    #[error(
        "{positions} positions need {needed} bytes of keys and values, and the cache may hold {limit}: shorten the prompt \
         or give the cache more memory"
    )]
    CacheTooSmall {
        /// Positions of the sequence.
        positions: usize,
        /// Bytes that they take.
        needed: usize,
        /// Bytes that the cache may take.
        limit: usize,
    },
    /// A job that the runtime cannot run.
    #[error("{message}")]
    Runtime {
        /// What is wrong.
        message: String,
    },
    /// An intervention cannot be read, or does not fit its hook point.
    #[error("intervention `{spec}`: {message}")]
    Intervention {
        /// The intervention as text.
        spec: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A dictionary cannot be spliced in at a hook point.
    #[error("the dictionary does not fit {hook}: {message}")]
    Splice {
        /// The place it would read.
        hook: String,
        /// Why it cannot.
        message: String,
    },
    /// A direction or vector of the wrong width.
    #[error("{what} has {found} values, but {expected} are needed")]
    Width {
        /// What was given.
        what: String,
        /// Its width.
        found: usize,
        /// The right width.
        expected: usize,
    },
    /// A unit that reads from or writes to no direction of the residual stream.
    #[error("unit {unit} has no {what} direction in the residual stream")]
    NoDirection {
        /// The unit.
        unit: String,
        /// `input` or `output`.
        what: &'static str,
    },
}
