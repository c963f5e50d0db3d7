//! Embedding: row `token` of a table, for every token of a batch.

/// Copies row `indices[i]` of `table` `[rows, width]` to row `i` of `out` `[indices, width]`.
///
/// # Panics
/// If `out` is not `indices.len() · width` long or an index lies outside the table.
pub fn gather_rows(table: &[f32], width: usize, indices: &[u32], out: &mut [f32]) {
    assert_eq!(out.len(), indices.len() * width, "gather_rows: out has the wrong length");
    for (row, &index) in out.chunks_exact_mut(width).zip(indices) {
        row.copy_from_slice(&table[index as usize * width..][..width]);
    }
}
