//! The stages of making an atlas, by their names in the manifest.

/// The pass over the corpus, and what is derived from it alone: records, excerpts, token means.
pub(crate) const RECORD: &str = "record";
/// Logit weights of the output directions.
pub(crate) const LOGIT_WEIGHTS: &str = "logit_weights";
/// Nearest output directions.
pub(crate) const NEIGHBOURS: &str = "neighbours";
/// The database.
pub(crate) const DATABASE: &str = "database";

/// All stages in order; an atlas is complete when it has them all.
pub(crate) const ALL: [&str; 4] = [RECORD, LOGIT_WEIGHTS, NEIGHBOURS, DATABASE];
