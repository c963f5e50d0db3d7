//! A second look at rows for which the noise of a selection could have changed the result.
//!
//! A selection in int8 or bf16 leaves out latents whose noisy values are below the smallest candidate's, c. If the
//! smallest exact value that a row keeps exceeds c by several standard deviations of the noise, nothing that was left
//! out belongs among them. Rows of which that is not so are selected again in bf16: few or none when pre-activations are
//! spread as usual, all of them when some coordinates of the activations drown the rest.

use glossator_kernels::sparse_coding::{Selection, SparseRow, SparseRows};

/// Standard deviations of the noise by which what is kept must exceed what is left out.
const SURE: f32 = 3.0;

/// Rows that were selected again; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Doubtful {
    pub(super) selection: Selection,
    /// The rows, ascending.
    pub(super) rows: Vec<u32>,
    /// `[rows, d_input]`
    pub(super) inputs: Vec<f32>,
    pub(super) candidates: SparseRows,
}

impl Doubtful {
    /// Looks for rows in doubt: `noise` is the selection's, `available` the number of latents that took part, and `kept`
    /// `[rows, ≤ k]` what is left of `candidates` by exact values.
    pub(super) fn find(
        &mut self,
        noise: &[f32],
        candidates: &SparseRows,
        kept: &SparseRows,
        k: usize,
        available: usize,
    ) {
        self.rows.clear();
        for (row, noise) in noise.iter().enumerate() {
            let found = candidates.row(row);
            let left_out = found.values.len() == candidates.room(row) && found.values.len() < available;
            if left_out && *noise > 0.0 && smallest_kept(kept.row(row), k) < smallest(found) + SURE * noise {
                self.rows.push(row as u32);
            }
        }
    }

    /// Copies the rows in doubt from `inputs` `[_, width]`.
    pub(super) fn gather(&mut self, inputs: &[f32], width: usize) {
        self.inputs.clear();
        for &row in &self.rows {
            self.inputs.extend_from_slice(&inputs[row as usize * width..][..width]);
        }
    }
}

fn smallest(row: SparseRow<'_>) -> f32 {
    row.values.iter().copied().fold(f32::INFINITY, f32::min)
}

/// The smallest of `k` values; 0 if there are fewer.
fn smallest_kept(row: SparseRow<'_>, k: usize) -> f32 {
    if row.values.len() < k { 0.0 } else { smallest(row) }
}
