//! Sequences that begin alike, of which only the last position is wanted: what they share is computed once.
//!
//! In a causal decoder a position depends on what comes before it only. The sequences, in lexicographic order, are the
//! paths of a tree of tokens; each node of the tree is one row of the group, and a row attends to the rows on the way
//! from the root. Every row has the same bits as in a run of its sequence alone.

use super::groups::{GROUP_TOKENS, Group};

/// The rows that the sequences of a group read, those that they share with others included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SharedRows {
    /// For each sequence the row of each of its positions.
    pub(super) paths: Vec<Vec<u32>>,
}

/// A group under construction.
#[derive(Default)]
struct Growing {
    tokens: Vec<u32>,
    starts: Vec<usize>,
    paths: Vec<Vec<u32>>,
}

impl Growing {
    /// Adds a sequence that shares `shared` positions with the one before.
    fn push(&mut self, sequence: &[u32], shared: usize) {
        let first = self.tokens.len();
        let before = self.paths.last().map_or(&[][..], |path| &path[..shared]);
        let own = first as u32..(first + sequence.len() - shared) as u32;
        let path = before.iter().copied().chain(own).collect();
        self.tokens.extend_from_slice(&sequence[shared..]);
        self.starts.push(first);
        self.paths.push(path);
    }

    fn finish(mut self, first_sequence: usize) -> (Group, Vec<u32>) {
        self.starts.push(self.tokens.len());
        let group = Group {
            sequences: first_sequence..first_sequence + self.paths.len(),
            tokens: 0..self.tokens.len(),
            starts: self.starts,
            shared: Some(SharedRows { paths: self.paths }),
        };
        (group, self.tokens)
    }
}

/// Cuts sequences, none of them empty and neighbours alike, into groups with their tokens. Rows are shared within a
/// group.
pub(super) fn shared_groups<S: AsRef<[u32]>>(sequences: &[S], threads: usize) -> Vec<(Group, Vec<u32>)> {
    let shared_with_previous = |index: usize| {
        let (before, own) = (sequences[index - 1].as_ref(), sequences[index].as_ref());
        let alike = before.iter().zip(own).take_while(|(a, b)| a == b).count();
        // The last position is always a row of its own, of equal sequences too.
        alike.min(own.len() - 1)
    };
    let shared: Vec<usize> =
        (0..sequences.len()).map(|index| if index == 0 { 0 } else { shared_with_previous(index) }).collect();
    let rows: usize = sequences.iter().zip(&shared).map(|(own, shared)| own.as_ref().len() - shared).sum();
    let limit = rows.div_ceil(threads).clamp(1, GROUP_TOKENS);
    let mut groups = Vec::new();
    let mut growing = Growing::default();
    for (index, (sequence, shared)) in sequences.iter().zip(&shared).enumerate() {
        let sequence = sequence.as_ref();
        if !growing.paths.is_empty() && growing.tokens.len() + sequence.len() - shared > limit {
            let full = std::mem::take(&mut growing);
            let first = index - full.paths.len();
            groups.push(full.finish(first));
        }
        growing.push(sequence, if growing.paths.is_empty() { 0 } else { *shared });
    }
    if !growing.paths.is_empty() {
        let first = sequences.len() - growing.paths.len();
        groups.push(growing.finish(first));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_the_tree_of_its_sequences() {
        let sequences: [&[u32]; 5] = [&[1], &[1, 2, 3], &[1, 2, 4], &[1, 2, 4], &[5]];
        let groups = shared_groups(&sequences, 1);
        let [(group, tokens)] = &groups[..] else { panic!("one group") };
        assert_eq!(tokens, &[1, 2, 3, 4, 4, 5]);
        assert_eq!(group.starts, [0, 1, 3, 4, 5, 6]);
        let paths: [&[u32]; 5] = [&[0], &[0, 1, 2], &[0, 1, 3], &[0, 1, 4], &[5]];
        assert_eq!(group.shared.as_ref().map(|shared| &shared.paths[..]).unwrap(), paths);
    }

    #[test]
    fn every_group_begins_whole_sequences_anew() {
        let sequences: Vec<Vec<u32>> = (0..40).map(|last| (0..20).chain([last]).collect()).collect();
        let groups = shared_groups(&sequences, 4);
        assert_eq!(groups.iter().map(|(group, _)| group.sequences.len()).sum::<usize>(), 40);
        for (group, tokens) in &groups {
            assert_eq!(tokens.len(), 20 + group.sequences.len());
            assert_eq!(group.rows(), tokens.len());
        }
    }
}
