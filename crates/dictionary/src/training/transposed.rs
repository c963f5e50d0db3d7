//! Matrices turned round.

use rayon::prelude::*;

/// `rows` `[rows, width]` as `[width, rows]`, in square blocks that fit the first-level cache.
pub(super) fn transposed(rows: &[f32], width: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let count = rows.len() / width;
    let mut out = vec![0.0; rows.len()];
    out.par_chunks_mut(BLOCK * count).enumerate().for_each(|(strip, out)| {
        let first_column = strip * BLOCK;
        for first_row in (0..count).step_by(BLOCK) {
            for (column, out) in out.chunks_exact_mut(count).enumerate() {
                for row in first_row..count.min(first_row + BLOCK) {
                    out[row] = rows[row * width + first_column + column];
                }
            }
        }
    });
    out
}
