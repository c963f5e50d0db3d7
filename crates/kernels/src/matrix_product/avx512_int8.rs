//! Tile products of 8-bit integers with 512-bit vectors (`vpdpbusd` adds four products of bytes in each lane).
//!
//! Group after group of 128 terms: the weights of a group of both blocks (4 KiB) and of 32 rows of x stay in the
//! first-level cache while 8 rows at a time keep 16 integer sums in registers. The f32 sums live in the tile.

use std::arch::x86_64::{
    __m512i, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::hint::black_box;

use super::int8::{BLOCK_GROUP_BYTES, BLOCK_VALUES, Byte, GROUP, GROUP_BYTES, QUAD};
use super::tile::{LANES, RowBlock, TILE_ROWS, Tile};
use crate::detect::Backend;

/// Rows whose sums are in registers together.
const REGISTER_ROWS: usize = 8;

/// Products of quantised rows with quantised blocks; the processor must offer AVX-512 VNNI.
pub(super) fn multiply(rows: RowBlock<'_, Byte>, blocks: [&[Byte]; 2], tile: &mut Tile) {
    assert!(Backend::Avx512Bf16.is_available(), "this processor does not run AVX-512 VNNI");
    assert!(rows.count <= TILE_ROWS && rows.values.len() >= rows.count * rows.stride, "tile: rows too short");
    assert!(
        rows.stride.is_multiple_of(GROUP_BYTES)
            && blocks.iter().all(|block| block.len() == LANES * rows.stride),
        "tile: block has the wrong length"
    );
    for group in 0..rows.stride / GROUP_BYTES {
        for first in (0..rows.count).step_by(REGISTER_ROWS) {
            let part = Part {
                x: rows.values[first * rows.stride + group * GROUP_BYTES..].as_ptr(),
                stride: rows.stride,
                weights: blocks.map(|block| block[group * BLOCK_GROUP_BYTES..].as_ptr()),
                results: tile.0.each_mut().map(|block| block[first..].as_mut_ptr().cast()),
                begins: group == 0,
            };
            // SAFETY: AVX-512 VNNI was detected; the assertions above made sure that rows and blocks hold this group.
            unsafe {
                match REGISTER_ROWS.min(rows.count - first) {
                    1 => add_group::<1>(part),
                    2 => add_group::<2>(part),
                    3 => add_group::<3>(part),
                    4 => add_group::<4>(part),
                    5 => add_group::<5>(part),
                    6 => add_group::<6>(part),
                    7 => add_group::<7>(part),
                    _ => add_group::<8>(part),
                }
            }
        }
    }
}

/// Where the operands and results of one group of terms and up to 8 rows lie.
#[derive(Clone, Copy)]
struct Part {
    x: *const Byte,
    stride: usize,
    weights: [*const Byte; 2],
    results: [*mut f32; 2],
    /// Whether nothing was summed before.
    begins: bool,
}

/// # Safety
/// `x` holds a group in each of `ROWS` rows and each of the weights a group of a block; each result has room for `ROWS`
/// vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn add_group<const ROWS: usize>(part: Part) {
    let tail = |block: *const Byte, vector: usize| block.wrapping_add(BLOCK_VALUES + 64 * vector);
    // SAFETY: scales and offsets follow the values of the group.
    let offsets = part.weights.map(|block| unsafe { _mm512_loadu_si512(tail(block, 1).cast()) });
    let mut sums: [[__m512i; 2]; ROWS] = [offsets; ROWS];
    for quad in 0..GROUP / QUAD {
        // SAFETY: the line lies inside the values of the group.
        let weights =
            part.weights.map(|block| unsafe { _mm512_loadu_si512(block.add(quad * LANES * QUAD).cast()) });
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row < ROWS, and the four bytes lie inside the group; they need not be aligned.
            let x = unsafe { part.x.add(row * part.stride + quad * QUAD).cast::<i32>().read_unaligned() };
            let x = _mm512_set1_epi32(x);
            sums[0] = _mm512_dpbusd_epi32(sums[0], x, weights[0]);
            sums[1] = _mm512_dpbusd_epi32(sums[1], x, weights[1]);
        }
    }
    // SAFETY: as for the offsets.
    let scales = part.weights.map(|block| unsafe { _mm512_loadu_ps(tail(block, 0).cast()) });
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: the scale follows the bytes of the row's group.
        let scale = unsafe { part.x.add(row * part.stride + GROUP).cast::<f32>().read_unaligned() };
        let scale = _mm512_set1_ps(scale);
        for ((result, sum), weight_scale) in part.results.iter().zip(sums).zip(scales) {
            let result = result.wrapping_add(row * LANES);
            // SAFETY: row < ROWS.
            let before = if part.begins { _mm512_setzero_ps() } else { unsafe { _mm512_loadu_ps(result) } };
            let scaled = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale), weight_scale);
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(result, _mm512_add_ps(before, scaled)) };
        }
    }
}

/// Adds dot products to 12 independent registers, `rounds` times, for measuring the processor's peak. Returns the
/// operations made.
pub(crate) fn byte_registers(rounds: usize) -> usize {
    assert!(Backend::Avx512Bf16.is_available(), "this processor does not run AVX-512 VNNI");
    // SAFETY: AVX-512 VNNI was detected.
    unsafe { byte_chains(rounds) }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn byte_chains(rounds: usize) -> usize {
    const CHAINS: usize = 12;
    let factor = _mm512_set1_epi32(black_box(0x0101_0101));
    let mut sums = [factor; CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, factor, factor);
        }
    }
    black_box(sums);
    2 * QUAD * LANES * CHAINS * rounds
}
