//! Text sources, cut into token windows in a deterministic order.
//!
//! ```text
//! sources ─ read ─► documents ─ index (hash, size) ─► seeded order ─ tokenise ─► windows of `context` tokens
//! ```
//!
//! The sources are read twice: once to hash every document, once to tokenise only the documents that the seeded order
//! puts first. What is kept is an index of the documents (40 bytes each) and the tokens of the chosen windows (4 bytes
//! each); never the text. The set of windows and their order depend on the content of the documents, the plan and the
//! tokenizer alone: not on file names, the order of a directory listing, or the number of threads.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod corpus;
mod decompress;
mod discover;
mod error;
mod fingerprint;
mod format;
mod index;
mod jsonl;
mod origin;
mod parquet;
mod passage;
mod plan;
mod reader;
mod report;
mod selection;
mod spool;
mod tokenize;
mod window;

pub use corpus::Corpus;
pub use error::CorpusError;
pub use format::Format;
pub use origin::{DocumentId, DocumentOrigin};
pub use plan::{BosPolicy, CorpusPlan, Shard, Split};
pub use report::{BadLine, CorpusReport, InvalidUtf8};
pub use tokenize::Tokenize;
pub use window::Window;
