//! Passes over the rows of one block between its products; each runs over all rows in one call.

use super::HeadView;
use crate::matrix_product::{LANES, TILE_ROWS, Tile};
use crate::multiversion::multiversion;

/// The rows of a block: the queries of the heads that share a key-value head, query by query.
///
/// Sharing one block serves short sequences, whose queries would fill a tile of their own badly.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockRows {
    /// Query and head (within the group) of the first row, as `query · group + head`.
    pub(super) first: usize,
    /// At most 32.
    pub(super) count: usize,
    /// Heads that share the key-value head.
    pub(super) group: usize,
    /// The first of these heads.
    pub(super) first_head: usize,
}

impl BlockRows {
    /// Query and head of a row.
    #[inline(always)]
    pub(super) fn place(&self, row: usize) -> (usize, usize) {
        let index = self.first + row;
        (index / self.group, self.first_head + index % self.group)
    }
}

multiversion! {
    /// Writes the scaled queries of a block as rows of `depth`, zero-padded.
    pub(super) fn gather_queries(q: HeadView<'_>, rows: BlockRows, scale: f32, depth: usize, target: &mut [f32]) {
        for (row, target) in target.chunks_exact_mut(depth).take(rows.count).enumerate() {
            let (query, head) = rows.place(row);
            let source = q.head(query, head);
            let (values, padding) = target.split_at_mut(source.len());
            values.iter_mut().zip(source).for_each(|(value, q)| *value = scale * q);
            padding.fill(0.0);
        }
    }
}

multiversion! {
    /// Copies `count` rows of both blocks to rows of `stride`.
    pub(super) fn copy_rows(tile: &Tile, count: usize, rows: &mut [f32], stride: usize) {
        let [left, right] = &tile.0;
        for (row, (left, right)) in rows.chunks_mut(stride).zip(left.iter().zip(right)).take(count) {
            row[..LANES].copy_from_slice(left);
            row[LANES..2 * LANES].copy_from_slice(right);
        }
    }
}

multiversion! {
    /// z := z · `rescale` + tile for `count` rows.
    pub(super) fn add_rows(
        tile: &Tile,
        rescale: &[f32; TILE_ROWS],
        count: usize,
        z: &mut [[[f32; LANES]; TILE_ROWS]],
    ) {
        for (z, block) in z.iter_mut().zip(&tile.0) {
            for ((z, lanes), factor) in z.iter_mut().zip(block).zip(rescale).take(count) {
                z.iter_mut().zip(lanes).for_each(|(z, value)| *z = z.mul_add(*factor, *value));
            }
        }
    }
}

multiversion! {
    /// Divides the rows of z by their `sums`, into rows of 16 values for each block of z.
    pub(super) fn divide_rows(
        z: &[[[f32; LANES]; TILE_ROWS]],
        sums: &[f32; TILE_ROWS],
        count: usize,
        target: &mut [f32],
    ) {
        for (row, target) in target.chunks_exact_mut(z.len() * LANES).take(count).enumerate() {
            let factor = 1.0 / sums[row];
            for (target, block) in target.as_chunks_mut::<LANES>().0.iter_mut().zip(z) {
                target.iter_mut().zip(&block[row]).for_each(|(target, z)| *target = factor * z);
            }
        }
    }
}
