//! Multi-TopK (Gao et al. 2024, section 5.1): a second reconstruction from four times as many latents.
//!
//! ```text
//! L = N(f_k) + N(f_4k) / 8 + L_aux
//! ```
//!
//! f_k consists of the largest entries of f_4k, so that both come of one selection.

use glossator_kernels::sparse_coding::SparseRows;
use rayon::prelude::*;

/// How many times more latents the second reconstruction has.
pub(super) const WIDER: usize = 4;
/// What the second reconstruction weighs.
pub(super) const WEIGHT: f32 = 1.0 / 8.0;

/// The `k` largest entries of every row of `wide`.
pub(super) fn narrow(wide: &SparseRows, k: usize, out: &mut SparseRows) {
    out.reset_to((0..wide.rows()).map(|row| wide.room(row)));
    out.par_rows_mut().enumerate().for_each(|(row, mut narrow)| {
        let wide = wide.row(row);
        let count = wide.indices.len();
        *narrow.count = count as u32;
        narrow.indices[..count].copy_from_slice(wide.indices);
        narrow.values[..count].copy_from_slice(wide.values);
        narrow.keep_largest(k);
    });
}
