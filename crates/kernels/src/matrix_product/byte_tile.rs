//! Tiles of products of bytes q of x with signed bytes p of the weight, cut into groups of terms with a scale each:
//!
//! ```text
//! y = Σ_g (Σₖ qₖ pₖ + offset[g]) · (sₓ[g] · s_w[g])
//! ```
//!
//! The inner sums are exact integers, the outer one is f32 in ascending order of g, so that every backend gives the same
//! bits. Layout of a group: of a row of x its bytes, then sₓ as f32; of a block of the weight `[quad][16][4]` bytes, then 16
//! scales as f32 and 16 offsets as i32. With offset −128 Σ p the bytes q stand for q − 128: the dot product instruction
//! wants x unsigned.

use super::tile::{LANES, RowBlock, TILE_ROWS, Tile};
use crate::detect::Backend;
use crate::multiversion::multiversion;

/// Values that one dot product instruction adds in a lane.
pub(crate) const QUAD: usize = 4;

/// The shape of a group of terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteGroups {
    /// Terms of a group, a multiple of 4.
    pub(crate) terms: usize,
    /// Bytes from one group of a row to the next. Those of a block are 16 times as far apart.
    pub(crate) row_bytes: usize,
}

impl ByteGroups {
    /// Bytes from one group of a block to the next.
    pub(crate) fn block_bytes(self) -> usize {
        LANES * self.row_bytes
    }

    /// Where the scales of a group of a block lie; offsets follow.
    pub(crate) fn scales(self) -> usize {
        LANES * self.terms
    }

    /// Where the offsets of a group of a block lie.
    pub(crate) fn offsets(self) -> usize {
        self.scales() + LANES * size_of::<f32>()
    }

    /// Products of up to 32 rows with two blocks.
    pub(crate) fn multiply(
        self,
        backend: Backend,
        rows: RowBlock<'_, u8>,
        blocks: [&[u8]; 2],
        tile: &mut Tile,
    ) {
        assert!(
            rows.count <= TILE_ROWS && rows.values.len() >= rows.count * rows.stride,
            "tile: rows too short"
        );
        assert!(
            self.terms.is_multiple_of(QUAD)
                && self.row_bytes >= self.terms + 2 * size_of::<f32>()
                && rows.stride.is_multiple_of(self.row_bytes)
                && blocks.iter().all(|block| block.len() == LANES * rows.stride),
            "tile: block has the wrong length"
        );
        #[cfg(target_arch = "x86_64")]
        if multiplies_bytes(backend) {
            return super::avx512_bytes::multiply(self, rows, blocks, tile);
        }
        let _ = backend;
        self.multiply_portable(rows, blocks, tile);
    }

    fn multiply_portable(self, rows: RowBlock<'_, u8>, blocks: [&[u8]; 2], tile: &mut Tile) {
        for (block, results) in blocks.into_iter().zip(&mut tile.0) {
            for (row, result) in results.iter_mut().enumerate().take(rows.count) {
                let x = &rows.values[row * rows.stride..][..rows.stride];
                *result = [0.0; LANES];
                let groups = x.chunks_exact(self.row_bytes).zip(block.chunks_exact(self.block_bytes()));
                groups.for_each(|(x, weights)| add_group(self, x, weights, result));
            }
        }
    }
}

/// Whether dot products of bytes are instructions of this processor, and the backend may use them.
pub(crate) fn multiplies_bytes(backend: Backend) -> bool {
    #[cfg(target_arch = "x86_64")]
    return backend >= Backend::Avx512 && is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = backend;
        false
    }
}

multiversion! {
    /// Adds one group of a row of x times a block.
    fn add_group(groups: ByteGroups, x: &[u8], weights: &[u8], result: &mut [f32; LANES]) {
        let mut sums: [i32; LANES] =
            std::array::from_fn(|lane| f32_at(weights, groups.offsets() + 4 * lane).to_bits().cast_signed());
        let lines = weights[..groups.scales()].chunks_exact(LANES * QUAD);
        for (x, line) in x[..groups.terms].as_chunks::<QUAD>().0.iter().zip(lines) {
            for (sum, weights) in sums.iter_mut().zip(line.as_chunks::<QUAD>().0) {
                for (x, weight) in x.iter().zip(weights) {
                    *sum += i32::from(*x) * i32::from(weight.cast_signed());
                }
            }
        }
        let scale = f32_at(x, groups.terms);
        for (lane, (result, sum)) in result.iter_mut().zip(sums).enumerate() {
            *result += sum as f32 * (scale * f32_at(weights, groups.scales() + 4 * lane));
        }
    }
}

/// The f32 at a byte offset.
#[inline(always)]
fn f32_at(bytes: &[u8], offset: usize) -> f32 {
    f32::from_ne_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}
