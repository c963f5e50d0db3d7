//! Products in 8-bit integers, with a scale for every 128 terms of a sum.
//!
//! A row of x and a row of the weight are cut into groups of 128 values. Group g of x becomes sₓ · (q − 128) with bytes
//! q, group g of the weight s_w · p with signed bytes p, both rounded to nearest and with the largest magnitude at 127:
//!
//! ```text
//! y = Σ_g sₓ[g] · s_w[g] · (Σₖ qₖ pₖ − 128 Σₖ pₖ)
//! ```
//!
//! The inner sums are exact integers, the outer one is f32 in ascending order of g, so that every backend gives the same
//! bits. (Block-wise quantisation: Dettmers et al. 2022; the offset that makes x unsigned is what `vpdpbusd` wants.)
//!
//! Layout of a group: of x 128 bytes q, sₓ as f32, 4 bytes of padding; of a block of the weight (16 columns) `[32][16][4]`
//! bytes p, 16 scales as f32, 16 offsets −128 Σ p as i32. Both take 136 bytes a row. Missing values are zeros.

use rayon::prelude::*;

use super::tile::{Element, LANES, RowBlock, Tile};
use crate::detect::Backend;
use crate::multiversion::multiversion;
use crate::threads::Threads;

/// Values that share a scale.
pub(crate) const GROUP: usize = 128;
/// Bytes of a group of one row, of x as of the weight.
pub(crate) const GROUP_BYTES: usize = GROUP + 8;
/// Bytes of a group of a block of the weight.
pub(crate) const BLOCK_GROUP_BYTES: usize = LANES * GROUP_BYTES;
/// Values that one dot product instruction adds in a lane.
pub(crate) const QUAD: usize = 4;
/// Bytes of weights at the start of a group of a block; scales and offsets follow.
pub(crate) const BLOCK_VALUES: usize = LANES * GROUP;

/// The integer to which the largest magnitude of a group is mapped.
const LARGEST: f32 = 127.0;
/// Smaller magnitudes count as zero: their reciprocals would overflow.
const SMALLEST: f32 = 1e-30;
/// Values below which one thread quantises faster than another one wakes up.
const WORTH_SHARING: usize = 1 << 16;
/// Adding it leaves the value rounded to nearest even in the low bits of the significand: 1.5 · 2²³.
const ROUNDER: f32 = 12_582_912.0;

/// One byte of a quantised row or block.
pub(crate) type Byte = u8;

/// The length in bytes of a quantised row of `n_in` values.
pub(super) fn row_bytes(n_in: usize) -> usize {
    n_in.div_ceil(GROUP) * GROUP_BYTES
}

impl Element for Byte {
    const ROW_STEP: usize = 1;

    fn multiply(backend: Backend, rows: RowBlock<'_, Self>, blocks: [&[Self]; 2], tile: &mut Tile) {
        match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512Bf16 | Backend::Amx => super::avx512_int8::multiply(rows, blocks, tile),
            _ => multiply_portable(rows, blocks, tile),
        }
    }

    fn prepared(_: Backend, work: impl FnOnce()) {
        work();
    }
}

/// Packs up to 16 rows of a weight into a zeroed block.
pub(super) fn pack_int8(rows: &[&[f32]], block: &mut [Byte]) {
    for (lane, row) in rows.iter().enumerate() {
        for (group, values) in row.chunks(GROUP).enumerate() {
            let target = &mut block[group * BLOCK_GROUP_BYTES..][..BLOCK_GROUP_BYTES];
            let mut quantised = [0; GROUP_BYTES];
            quantise_group(values, &mut quantised);
            let mut sum = 0;
            for (k, byte) in quantised[..GROUP].iter().enumerate() {
                let value = (byte ^ 0x80).cast_signed();
                sum += i32::from(value);
                target[(k / QUAD * LANES + lane) * QUAD + k % QUAD] = value.cast_unsigned();
            }
            let (scales, offsets) = target[BLOCK_VALUES..].split_at_mut(LANES * size_of::<f32>());
            scales[4 * lane..][..4].copy_from_slice(&quantised[GROUP..][..4]);
            offsets[4 * lane..][..4].copy_from_slice(&(-128 * sum).to_ne_bytes());
        }
    }
}

/// Quantises rows of `width` values.
pub(super) fn quantise_rows(rows: &[f32], width: usize, threads: Threads, target: &mut [Byte]) {
    let stride = row_bytes(width);
    match if rows.len() < WORTH_SHARING { Threads::One } else { threads } {
        Threads::One => target
            .chunks_exact_mut(stride)
            .zip(rows.chunks_exact(width))
            .for_each(|(target, row)| quantise_row(row, target)),
        Threads::All => target
            .par_chunks_exact_mut(stride)
            .zip(rows.par_chunks_exact(width))
            .with_min_len(8)
            .for_each(|(target, row)| quantise_row(row, target)),
    }
}

multiversion! {
    fn quantise_row(row: &[f32], target: &mut [Byte]) {
        for (values, target) in row.chunks(GROUP).zip(target.as_chunks_mut::<GROUP_BYTES>().0) {
            quantise_group(values, target);
        }
    }
}

/// Quantises up to 128 values. A group with a value that is not finite gets the scale NaN.
#[inline(always)]
fn quantise_group(values: &[f32], target: &mut [Byte; GROUP_BYTES]) {
    let mut padded = [0.0_f32; GROUP];
    padded[..values.len()].copy_from_slice(values);
    let (mut maxima, mut poison) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    for vector in padded.as_chunks::<LANES>().0 {
        for ((max, poison), value) in maxima.iter_mut().zip(&mut poison).zip(vector) {
            *max = if value.abs() > *max { value.abs() } else { *max };
            *poison += value * 0.0;
        }
    }
    let largest = crate::reduce::largest(&maxima);
    let (scale, inverse) =
        if largest > SMALLEST { (largest / LARGEST, LARGEST / largest) } else { (0.0, 0.0) };
    let (bytes, tail) = target.split_at_mut(GROUP);
    for (byte, value) in bytes.iter_mut().zip(&padded) {
        *byte = (value * inverse + ROUNDER).to_bits() as u8 ^ 0x80;
    }
    tail[..4].copy_from_slice(&(scale + crate::reduce::total(&poison)).to_ne_bytes());
    tail[4..].fill(0);
}

/// The f32 at a byte offset.
#[inline(always)]
pub(super) fn f32_at(bytes: &[u8], offset: usize) -> f32 {
    f32::from_ne_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}

fn multiply_portable(rows: RowBlock<'_, Byte>, blocks: [&[Byte]; 2], tile: &mut Tile) {
    for (block, results) in blocks.into_iter().zip(&mut tile.0) {
        for (row, result) in results.iter_mut().enumerate().take(rows.count) {
            let x = &rows.values[row * rows.stride..][..rows.stride];
            *result = [0.0; LANES];
            for (x, weights) in x.chunks_exact(GROUP_BYTES).zip(block.chunks_exact(BLOCK_GROUP_BYTES)) {
                add_group(x, weights, result);
            }
        }
    }
}

multiversion! {
    /// Adds one group of a row of x times a block.
    fn add_group(x: &[Byte], weights: &[Byte], result: &mut [f32; LANES]) {
        let (weights, tail) = weights.split_at(BLOCK_VALUES);
        let (scales, offsets) = tail.split_at(LANES * size_of::<f32>());
        let mut sums: [i32; LANES] = std::array::from_fn(|lane| f32_at(offsets, 4 * lane).to_bits().cast_signed());
        for (x, line) in x[..GROUP].as_chunks::<QUAD>().0.iter().zip(weights.chunks_exact(LANES * QUAD)) {
            for (sum, weights) in sums.iter_mut().zip(line.as_chunks::<QUAD>().0) {
                for (x, weight) in x.iter().zip(weights) {
                    *sum += i32::from(*x) * i32::from(weight.cast_signed());
                }
            }
        }
        let scale = f32_at(x, GROUP);
        for (lane, (result, sum)) in result.iter_mut().zip(sums).enumerate() {
            *result += (sum as f32 * scale) * f32_at(scales, 4 * lane);
        }
    }
}
