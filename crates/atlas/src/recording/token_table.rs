//! Activation sums per token and unit: `[kept token][unit]`, on the grid of
//! [`glossator_kernels::statistics::on_grid`].

use glossator_kernels::statistics::add_on_grid;

/// The sums of a block of units.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenTable {
    units: usize,
    sums: Vec<f64>,
}

impl TokenTable {
    /// No sums yet, for `kept` tokens and `units` units.
    pub(super) fn new(kept: usize, units: usize) -> Self {
        Self { units, sums: vec![0.0; kept * units] }
    }

    /// Adds the activations of one token: `values` `[unit]`.
    pub(super) fn add(&mut self, column: usize, values: &[f32]) {
        add_on_grid(values, &mut self.sums[column * self.units..][..self.units]);
    }

    /// Adds the sums of other windows.
    pub(super) fn merge(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The sums of a token, `[unit]`.
    pub(crate) fn row(&self, column: usize) -> &[f64] {
        &self.sums[column * self.units..][..self.units]
    }

    /// All sums, for storage.
    pub(super) fn sums_mut(&mut self) -> &mut [f64] {
        &mut self.sums
    }
}
