//! q, k and v of one head in the layouts of the tile kernels.
//!
//! Scores are a product with the keys as weight (16 keys to a block, summed over `d_head`); z is a product of the
//! pattern with the values as weight (16 coordinates to a block, summed over keys).

use std::ops::Range;

use half::bf16;

use super::HeadView;
use crate::convert::{narrow, round_bits};
use crate::matrix_product::{Element, LANES, pack_bf16, pack_f32};
use crate::multiversion::multiversion;

/// A number type that attention multiplies in.
pub(super) trait Operand: Element {
    /// Sums run over a multiple of this many terms, zero-padded.
    const DEPTH_STEP: usize;

    /// Stores f32 values.
    fn store(source: &[f32], target: &mut [Self]);

    /// Packs the vectors of up to 16 keys into a zeroed block `[d_head][16]` (bf16: in pairs).
    fn pack_keys(keys: &[&[f32]], block: &mut [Self]);

    /// Packs 16 coordinates of consecutive values into a zeroed block `[keys][16]` (bf16: in pairs).
    fn pack_values<'v>(values: impl Iterator<Item = &'v [f32]>, block: &mut [Self]);

    /// Writes the vector of one key, the `lane`-th of a packed block.
    fn write_key(key: &[f32], lane: usize, block: &mut [Self]);

    /// Writes up to 16 coordinates of the value of the `place`-th key of a packed block.
    fn write_value(value: &[f32], place: usize, block: &mut [Self]);
}

impl Operand for f32 {
    const DEPTH_STEP: usize = 1;

    fn store(source: &[f32], target: &mut [Self]) {
        target.copy_from_slice(source);
    }

    fn pack_keys(keys: &[&[f32]], block: &mut [Self]) {
        pack_f32(keys, block);
    }

    fn pack_values<'v>(values: impl Iterator<Item = &'v [f32]>, block: &mut [Self]) {
        for (line, value) in block.chunks_exact_mut(LANES).zip(values) {
            line[..value.len()].copy_from_slice(value);
        }
    }

    fn write_key(key: &[f32], lane: usize, block: &mut [Self]) {
        for (line, value) in block.chunks_exact_mut(LANES).zip(key) {
            line[lane] = *value;
        }
    }

    fn write_value(value: &[f32], place: usize, block: &mut [Self]) {
        block[place * LANES..][..value.len()].copy_from_slice(value);
    }
}

impl Operand for bf16 {
    const DEPTH_STEP: usize = 32;

    fn store(source: &[f32], target: &mut [Self]) {
        narrow(source, target);
    }

    fn pack_keys(keys: &[&[f32]], block: &mut [Self]) {
        pack_bf16(keys, block);
    }

    fn pack_values<'v>(mut values: impl Iterator<Item = &'v [f32]>, block: &mut [Self]) {
        for pairs in block.chunks_exact_mut(2 * LANES) {
            let Some(even) = values.next() else { break };
            interleave(even, values.next().unwrap_or(&[]), bytemuck::cast_slice_mut(pairs));
        }
    }

    fn write_key(key: &[f32], lane: usize, block: &mut [Self]) {
        for (line, pair) in block.chunks_exact_mut(2 * LANES).zip(key.chunks(2)) {
            for (part, value) in pair.iter().enumerate() {
                line[2 * lane + part] = bf16::from_bits(round_bits(*value));
            }
        }
    }

    fn write_value(value: &[f32], place: usize, block: &mut [Self]) {
        let line = &mut block[place / 2 * 2 * LANES..][..2 * LANES];
        for (lane, value) in value.iter().enumerate() {
            line[2 * lane + place % 2] = bf16::from_bits(round_bits(*value));
        }
    }
}

multiversion! {
    /// Rounds up to 16 coordinates of two values to pairs.
    fn interleave(even: &[f32], odd: &[f32], pairs: &mut [u32]) {
        let padded = |value: &[f32]| {
            let mut lanes = [0.0; LANES];
            lanes[..value.len()].copy_from_slice(value);
            lanes
        };
        for ((pair, even), odd) in pairs.iter_mut().zip(padded(even)).zip(padded(odd)) {
            *pair = u32::from(round_bits(even)) | u32::from(round_bits(odd)) << 16;
        }
    }
}

/// The shape of one packed chunk of keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkShape {
    /// Keys in a chunk, a multiple of 32.
    pub(super) keys: usize,
    /// The summed length of a key, padded.
    pub(super) depth: usize,
    /// Blocks of 16 coordinates of a value, an even number.
    pub(super) value_blocks: usize,
}

impl ChunkShape {
    /// Elements of the packed keys of a chunk.
    pub(super) fn keys_length(self) -> usize {
        self.keys * self.depth
    }

    /// Elements of the packed values of a chunk.
    pub(super) fn values_length(self) -> usize {
        self.value_blocks * LANES * self.keys
    }

    /// Packs the vectors of `keys` of one head, at most a chunk.
    pub(super) fn pack_keys<T: Operand>(
        self,
        k: HeadView<'_>,
        head: usize,
        keys: Range<usize>,
        packed: &mut [T],
    ) {
        if keys.len() < self.keys || k.d_head < self.depth {
            packed.fill(T::zeroed());
        }
        for (block, start) in packed.chunks_exact_mut(LANES * self.depth).zip(keys.clone().step_by(LANES)) {
            let mut vectors: [&[f32]; LANES] = [&[]; LANES];
            let count = LANES.min(keys.end - start);
            for (index, key) in vectors[..count].iter_mut().enumerate() {
                *key = k.head(start + index, head);
            }
            T::pack_keys(&vectors[..count], block);
        }
    }

    /// Packs the values of `keys` of one head, at most a chunk.
    pub(super) fn pack_values<T: Operand>(
        self,
        v: HeadView<'_>,
        head: usize,
        keys: Range<usize>,
        packed: &mut [T],
    ) {
        if keys.len() < self.keys || v.d_head < self.value_blocks * LANES {
            packed.fill(T::zeroed());
        }
        for (block, start) in packed.chunks_exact_mut(LANES * self.keys).zip((0..v.d_head).step_by(LANES)) {
            let width = LANES.min(v.d_head - start);
            T::pack_values(keys.clone().map(|key| &v.head(key, head)[start..][..width]), block);
        }
    }
}
