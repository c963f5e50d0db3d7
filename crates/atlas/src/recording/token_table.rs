//! Activation sums per token and unit: `[kept token][unit]`, on the grid of
//! [`glossator_kernels::statistics::on_grid`].

use glossator_kernels::statistics::add_tokens;

use super::large_array::LargeArray;

/// The sums of a block of units.
#[derive(Debug)]
pub(crate) struct TokenTable {
    units: usize,
    sums: LargeArray,
}

impl TokenTable {
    /// No sums yet, for `kept` tokens and `units` units.
    pub(super) fn new(kept: usize, units: usize) -> Self {
        Self { units, sums: LargeArray::zeroed(kept * units) }
    }

    /// Adds the activations of tokens: `tokens` are (column, row of `values`), ordered; this block's units begin at
    /// column `first` of `values` `[row, width]`.
    pub(super) fn add(&mut self, tokens: &[(u32, u32)], values: &[f32], width: usize, first: usize) {
        add_tokens(self.sums.as_mut_slice(), self.units, tokens, values, width, first);
    }

    /// Adds the sums of other windows.
    pub(super) fn merge(&mut self, other: &Self) {
        let theirs = other.sums.as_slice();
        self.sums.as_mut_slice().iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The sums of a token, `[unit]`.
    pub(crate) fn row(&self, column: usize) -> &[f64] {
        &self.sums.as_slice()[column * self.units..][..self.units]
    }

    /// All sums, for storage.
    pub(super) fn sums_mut(&mut self) -> &mut [f64] {
        self.sums.as_mut_slice()
    }
}
