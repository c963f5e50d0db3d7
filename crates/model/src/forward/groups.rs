//! Groups of whole sequences: the portions in which a batch goes through the layers.
//!
//! A group's activations stay in the cache of the core that computes it, so it is a few hundred tokens
//! wide: enough rows for the matrix products to run at full speed, few enough to stay near.

use std::ops::Range;

use super::prefixes::SharedRows;
use crate::batch::Batch;

/// Tokens of a group, unless one sequence alone is longer.
pub(super) const GROUP_TOKENS: usize = 256;

/// Whole sequences that go through the layers together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Which sequences of the batch.
    pub(super) sequences: Range<usize>,
    /// Their tokens in the batch.
    pub(super) tokens: Range<usize>,
    /// The first row of each sequence in the group, and the end.
    pub(super) starts: Vec<usize>,
    /// Present when sequences continue rows of others; then each has only rows of its own from `starts` on.
    pub(super) shared: Option<SharedRows>,
}

impl Group {
    pub(super) fn new(batch: &Batch, sequences: Range<usize>) -> Self {
        let starts = &batch.starts()[sequences.start..=sequences.end];
        let tokens = starts[0]..starts[starts.len() - 1];
        let starts = starts.iter().map(|start| start - tokens.start).collect();
        Self { sequences, tokens, starts, shared: None }
    }

    /// Number of tokens.
    pub(super) fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Rows of the `index`-th sequence of the group.
    pub(super) fn sequence_rows(&self, index: usize) -> Range<usize> {
        self.starts[index]..self.starts[index + 1]
    }
}

/// Cuts a batch into groups of neighbouring sequences.
pub(super) fn groups(batch: &Batch, threads: usize) -> Vec<Group> {
    let limit = batch.tokens().len().div_ceil(threads).clamp(1, GROUP_TOKENS);
    let starts = batch.starts();
    let mut groups = Vec::new();
    let mut first = 0;
    for sequence in 0..batch.len() {
        let next_is_too_much = sequence + 1 == batch.len() || starts[sequence + 2] - starts[first] > limit;
        if next_is_too_much {
            groups.push(Group::new(batch, first..sequence + 1));
            first = sequence + 1;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_the_batch_in_order() {
        let sequences: Vec<Vec<u32>> = [3, 300, 100, 100, 100, 1].map(|n| vec![0; n]).to_vec();
        let batch = Batch::from_sequences(&sequences);
        let groups = groups(&batch, 1);
        let ranges: Vec<_> = groups.iter().map(|group| group.sequences.clone()).collect();
        assert_eq!(ranges, [0..1, 1..2, 2..4, 4..6]);
        assert_eq!(groups[2].starts, [0, 100, 200]);
        assert_eq!(groups[3].tokens, 503..604);
    }

    #[test]
    fn a_small_batch_is_spread_over_the_threads() {
        let batch = Batch::from_sequences(&[[1, 2], [3, 4], [5, 6], [7, 8]]);
        assert_eq!(groups(&batch, 2).len(), 2);
        assert_eq!(groups(&batch, 8).len(), 4);
    }
}
