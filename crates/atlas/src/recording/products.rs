//! Σ f · n over tokens, for every feature f of a block and every neuron n of the layer that it may be made of: with
//! the moments of both, their correlation.
//!
//! Products are rounded to multiples of 2⁻²⁰ and summed as whole numbers of such steps, so that sums are the same in
//! any order. A feature's row of sums is touched only where the feature is active.

use glossator_kernels::statistics::{PRODUCT_LIMIT, add_products};

/// Bytes of a sum.
pub(super) const PRODUCT_BYTES: u64 = 8;

/// The activations of a layer's neurons in a group of windows, to be seen by features that come later in the pass.
#[derive(Debug)]
pub(super) struct NeuronRows {
    width: usize,
    /// `[row, neuron]`.
    values: Vec<f32>,
    /// `[row]`: the largest size.
    largest: Vec<f32>,
}

impl NeuronRows {
    /// Of values `[row, width]`.
    pub(super) fn new(values: &[f32], width: usize) -> Self {
        let rows = values.chunks_exact(width);
        let largest = rows.map(|row| row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())));
        Self { width, largest: largest.collect(), values: values.to_vec() }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

/// The sums of a block of features.
#[derive(Debug)]
pub(crate) struct Products {
    neurons: usize,
    /// `[unit, neuron]`, in steps of 2⁻²⁰.
    sums: Vec<i64>,
}

impl Products {
    /// No sums yet.
    pub(super) fn new(units: usize, neurons: usize) -> Self {
        Self { neurons, sums: vec![0; units * neurons] }
    }

    /// Adds a feature's activation times those of all neurons in a row. False if a product is too large to be summed.
    #[must_use]
    pub(super) fn add(&mut self, unit: usize, value: f32, neurons: &NeuronRows, row: usize) -> bool {
        let fits = value.abs() * neurons.largest[row] < PRODUCT_LIMIT;
        if fits {
            add_products(value, neurons.row(row), &mut self.sums[unit * self.neurons..][..self.neurons]);
        }
        fits
    }

    /// Adds the sums of other windows.
    pub(super) fn merge(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The sums of a feature, `[neuron]`.
    pub(crate) fn of(&self, unit: usize) -> impl Iterator<Item = f64> + '_ {
        let steps = &self.sums[unit * self.neurons..][..self.neurons];
        steps.iter().map(|steps| *steps as f64 / f64::from(1 << 20))
    }

    /// All sums, for storage.
    pub(super) fn sums(&self) -> &[i64] {
        &self.sums
    }

    /// All sums, to be filled from storage.
    pub(super) fn sums_mut(&mut self) -> &mut [i64] {
        &mut self.sums
    }
}
