//! Where a document lies.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Rank of a document in the seeded order of its split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(pub u32);

/// Where a document was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentOrigin {
    /// The file; `-` for standard input.
    pub path: PathBuf,
    /// Position among the documents of the file, from 0: lines of JSONL, rows of Parquet and passages of text that
    /// hold text, in file order.
    pub ordinal: u32,
}
