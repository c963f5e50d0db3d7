//! Sums of which most are 0, by cell of the table they stand for.

use std::collections::HashMap;

/// A cell's share of the table's memory when sums lie in a map: entries and free places.
const COST: usize = 8;

/// Sums that are not 0.
#[derive(Debug, Default)]
pub(super) struct SparseSums(HashMap<u32, f64>);

impl SparseSums {
    /// Adds to a cell.
    pub(super) fn add(&mut self, cell: usize, term: f64) {
        // A block has at most 256 units, and there are fewer than 2²² tokens.
        *self.0.entry(cell as u32).or_insert(0.0) += term;
    }

    /// The sum of a cell.
    pub(super) fn get(&self, cell: usize) -> f64 {
        self.0.get(&(cell as u32)).copied().unwrap_or(0.0)
    }

    /// All sums with their cells, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.0.iter().map(|(cell, sum)| (*cell as usize, *sum))
    }

    /// Whether a table of so many cells would take less memory.
    pub(super) fn is_dense(&self, cells: usize) -> bool {
        self.0.len() * COST > cells
    }
}
