//! What goes into a forward pass and what comes out of it: ragged batches, the wanted hooks, observers.

use std::ops::Range;

use crate::hook::HookPoint;
use crate::intervention::Intervention;

/// Token sequences of any lengths, one after the other, without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    starts: Vec<usize>,
}

impl Batch {
    /// Concatenates sequences.
    pub fn from_sequences<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let mut batch = Self { tokens: Vec::new(), starts: vec![0] };
        for sequence in sequences {
            batch.tokens.extend_from_slice(sequence.as_ref());
            batch.starts.push(batch.tokens.len());
        }
        batch
    }

    /// All tokens, sequence after sequence.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The offset of each sequence in [`Batch::tokens`], and the end.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of a sequence.
    pub fn sequence(&self, index: usize) -> &[u32] {
        &self.tokens[self.starts[index]..self.starts[index + 1]]
    }
}

/// What a forward pass is asked for.
#[derive(Clone, Copy, Default)]
pub struct Run<'a> {
    /// The hook points whose values the observer wants, in any order.
    pub hooks: &'a [HookPoint],
    /// Changes made on the way, applied in the order given.
    pub interventions: &'a [Intervention],
    /// Whether the logits are computed and returned.
    pub logits: bool,
}

/// Sees activations while the forward pass runs.
///
/// Called once per wanted hook point and group of whole sequences, possibly from several threads at
/// once. Groups come in no particular order; within a group hooks come in the order of execution.
pub trait Observer: Sync {
    /// Looks at the values of one hook point for one group of sequences.
    fn observe(&self, hook: HookPoint, activation: &Activation<'_>);

    /// Whether the features of a dictionary are handed to [`Observer::observe_features`] without their zeros where that is
    /// possible: where nothing intervenes on them.
    fn takes_sparse_features(&self) -> bool {
        false
    }

    /// Looks at the features of one hook point for one group of sequences, as [`Observer::observe`].
    fn observe_features(&self, hook: HookPoint, features: &SparseFeatures<'_>) {
        let values = features.to_dense();
        let SparseFeatures { ref sequences, starts, width, .. } = *features;
        let sequences = sequences.clone();
        self.observe(hook, &Activation { sequences, starts, width, values: &values, pairwise: false });
    }
}

impl<F: Fn(HookPoint, &Activation<'_>) + Sync> Observer for F {
    fn observe(&self, hook: HookPoint, activation: &Activation<'_>) {
        self(hook, activation);
    }
}

/// Sees nothing: for runs that only want the logits.
impl Observer for () {
    fn observe(&self, _: HookPoint, _: &Activation<'_>) {}
}

/// The values of one hook point for a group of whole sequences.
#[derive(Clone, Debug)]
pub struct Activation<'a> {
    /// Which sequences of the batch these are.
    pub sequences: Range<usize>,
    /// The first row (token) of each sequence counted within this group, and the end:
    /// `sequences.len() + 1` numbers.
    pub starts: &'a [usize],
    /// Units per token; for pairwise hooks (scores, patterns) the number of heads.
    pub width: usize,
    /// `[token, width]` of all sequences one after the other; for pairwise hooks
    /// `[head, query, key]` of each sequence one after the other.
    pub values: &'a [f32],
    /// Whether `values` are `[head, query, key]` per sequence.
    pub pairwise: bool,
}

impl<'a> Activation<'a> {
    /// Number of tokens in the group.
    pub fn tokens(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The values of the `index`-th sequence of this group: `[position, width]`, or
    /// `[head, query, key]` for pairwise hooks.
    pub fn sequence(&self, index: usize) -> &'a [f32] {
        let area = |i: usize| (self.starts[i + 1] - self.starts[i]).pow(2);
        let (first, last) = if self.pairwise {
            let first = (0..index).map(area).sum::<usize>();
            (first, first + area(index))
        } else {
            (self.starts[index], self.starts[index + 1])
        };
        &self.values[first * self.width..last * self.width]
    }

    /// One row of `width` values: the activations at a token of the group. Not for pairwise hooks.
    pub fn row(&self, token: usize) -> &'a [f32] {
        &self.values[token * self.width..(token + 1) * self.width]
    }
}

/// The features of a dictionary for a group of whole sequences, without those that are 0.
#[derive(Clone, Debug)]
pub struct SparseFeatures<'a> {
    /// Which sequences of the batch these are.
    pub sequences: Range<usize>,
    /// As [`Activation::starts`].
    pub starts: &'a [usize],
    /// Features per token, zeros included.
    pub width: usize,
    /// What is not 0.
    pub rows: &'a SparseRows,
}

/// Rows of features without those that are 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseRows {
    /// `[row]`: where its values end, all rows being one after the other.
    pub ends: Vec<usize>,
    /// The feature of each value, rising within a row.
    pub indices: Vec<u32>,
    /// The values.
    pub values: Vec<f32>,
}

impl SparseRows {
    /// Of rows `[row, width]`, zeros included.
    pub fn from_dense(dense: &[f32], width: usize) -> Self {
        let mut rows = Self::default();
        for row in dense.chunks_exact(width.max(1)) {
            // What is not a number is kept as well.
            for (index, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                rows.indices.push(index as u32);
                rows.values.push(*value);
            }
            rows.ends.push(rows.values.len());
        }
        rows
    }

    /// The features and values of a row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = row.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[row];
        (&self.indices[range.clone()], &self.values[range])
    }
}

impl SparseFeatures<'_> {
    /// Number of tokens in the group.
    pub fn tokens(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// All features, zeros included: `[token, width]`.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.tokens() * self.width];
        for (row, out) in dense.chunks_exact_mut(self.width.max(1)).enumerate() {
            let (indices, values) = self.rows.row(row);
            indices.iter().zip(values).for_each(|(index, value)| out[*index as usize] = *value);
        }
        dense
    }
}
