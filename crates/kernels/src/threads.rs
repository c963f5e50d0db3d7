//! How many threads a kernel may use.

/// The threads a kernel runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread alone: for callers that already run one task per group of sequences.
    #[default]
    One,
    /// Every thread of the current rayon pool: for one long prompt, or for logits over a whole vocabulary.
    All,
}
