//! A stretch of tokens of one document.

use crate::origin::DocumentId;

/// Exactly `context` tokens of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Rank in the global order, the same in every shard.
    pub id: u32,
    /// The document that the tokens are from.
    pub document: DocumentId,
    /// Position in the document of the first token that is of the document.
    pub offset: u32,
    /// `context` token ids, the first of them BOS where the policy says so.
    pub tokens: Vec<u32>,
}
