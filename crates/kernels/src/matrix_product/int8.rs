//! Products in 8-bit integers, of rows that are rotated first, with a scale for every 128 terms of a sum.
//!
//! A row of x and a row of the weight are cut into groups of 128 values, and each group is replaced by its Walsh–Hadamard
//! transform H, which changes no product: Σₖ xₖ wₖ = Σₖ (Hx)ₖ (Hw)ₖ / 128. Then group g of x becomes sₓ · (q − 128) with
//! bytes q, group g of the weight s_w · 128 · p with signed bytes p, both rounded to nearest and with the largest magnitude
//! at 127, for the sums of [`super::byte_tile`].
//!
//! Language models have a few coordinates that are a hundred times larger than the rest. Without H one of them would leave
//! few steps to the other 127 of its group; H spreads it over all of them. (Block-wise quantisation: Dettmers et al. 2022;
//! rotation: `QuaRot`, Ashkboos et al. 2024.)
//!
//! Layout of a group: of x 128 bytes q, sₓ as f32, 4 bytes of padding; of a block of the weight (16 columns) `[32][16][4]`
//! bytes p, 16 scales as f32, 16 offsets −128 Σ p as i32. Both take 136 bytes a row. Missing values are zeros.

use rayon::prelude::*;

use super::byte_tile::{ByteGroups, QUAD};
use super::tile::{Element, LANES, RowBlock, Tile};
use crate::detect::Backend;
use crate::multiversion::multiversion;
use crate::threads::Threads;

/// Values that share a scale.
const GROUP: usize = 128;
/// Bytes of a group of one row, of x as of the weight.
const GROUP_BYTES: usize = GROUP + 8;
const GROUPS: ByteGroups = ByteGroups { terms: GROUP, row_bytes: GROUP_BYTES };

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
        GROUPS.multiply(backend, rows, blocks, tile);
    }

    fn prepared(_: Backend, work: impl FnOnce()) {
        work();
    }
}

/// Packs up to 16 rows of a weight into a zeroed block.
pub(super) fn pack_int8(rows: &[&[f32]], block: &mut [Byte]) {
    let mut quantised = vec![0; block.len() / LANES];
    for (lane, row) in rows.iter().enumerate() {
        quantise_row(row, &mut quantised);
        let groups = quantised.as_chunks::<GROUP_BYTES>().0;
        for (group, target) in groups.iter().zip(block.chunks_exact_mut(GROUPS.block_bytes())) {
            let (bytes, tail) = group.split_at(GROUP);
            let mut sum = 0;
            for (k, byte) in bytes.iter().enumerate() {
                let value = (byte ^ 0x80).cast_signed();
                sum += i32::from(value);
                target[(k / QUAD * LANES + lane) * QUAD + k % QUAD] = value.cast_unsigned();
            }
            let scale = f32::from_ne_bytes([tail[0], tail[1], tail[2], tail[3]]) / GROUP as f32;
            target[GROUPS.scales() + 4 * lane..][..4].copy_from_slice(&scale.to_ne_bytes());
            target[GROUPS.offsets() + 4 * lane..][..4].copy_from_slice(&(-128 * sum).to_ne_bytes());
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

/// Rotates and quantises up to 128 values. A group with a value that is not finite gets the scale NaN.
#[inline(always)]
fn quantise_group(values: &[f32], target: &mut [Byte; GROUP_BYTES]) {
    let mut rotated = [[0.0_f32; LANES]; GROUP / LANES];
    rotated.as_flattened_mut()[..values.len()].copy_from_slice(values);
    rotate(&mut rotated);
    let (mut maxima, mut poison) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    for vector in &rotated {
        for ((max, poison), value) in maxima.iter_mut().zip(&mut poison).zip(vector) {
            *max = if value.abs() > *max { value.abs() } else { *max };
            *poison += value * 0.0;
        }
    }
    let largest = crate::reduce::largest(&maxima);
    let (scale, inverse) =
        if largest > SMALLEST { (largest / LARGEST, LARGEST / largest) } else { (0.0, 0.0) };
    let (bytes, tail) = target.split_at_mut(GROUP);
    for (byte, value) in bytes.iter_mut().zip(rotated.as_flattened()) {
        *byte = (value * inverse + ROUNDER).to_bits() as u8 ^ 0x80;
    }
    tail[..4].copy_from_slice(&(scale + crate::reduce::total(&poison)).to_ne_bytes());
    tail[4..].fill(0);
}

/// The Walsh–Hadamard transform of 128 values: butterflies (a, b) → (a + b, a − b) of values that are 64, 32, … 1 apart.
#[inline(always)]
fn rotate(vectors: &mut [[f32; LANES]; GROUP / LANES]) {
    let mut distance = GROUP / LANES / 2;
    while distance > 0 {
        for pair in vectors.chunks_exact_mut(2 * distance) {
            let (firsts, seconds) = pair.split_at_mut(distance);
            for (first, second) in firsts.iter_mut().zip(seconds) {
                for (a, b) in first.iter_mut().zip(second) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
        }
        distance /= 2;
    }
    for vector in vectors {
        rotate_within::<8>(vector);
        rotate_within::<4>(vector);
        rotate_within::<2>(vector);
        rotate_within::<1>(vector);
    }
}

/// Butterflies of lanes that are `DISTANCE` apart.
#[inline(always)]
fn rotate_within<const DISTANCE: usize>(vector: &mut [f32; LANES]) {
    let before = *vector;
    for (lane, value) in vector.iter_mut().enumerate() {
        let sign = if lane & DISTANCE == 0 { 1.0 } else { -1.0 };
        *value = sign * before[lane] + before[lane ^ DISTANCE];
    }
}
