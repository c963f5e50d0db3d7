//! The tile products of [`super::byte_tile`] with 512-bit vectors (`vpdpbusd` adds four products of bytes in each lane).
//!
//! Group after group of terms: the weights of a group of both blocks and of 32 rows of x stay in the first-level cache
//! while 11 rows at a time keep 22 integer sums in registers, which begin with the offsets of the weights. The f32 sums
//! live in the tile. (8 rows reach four fifths of this speed on Zen 4.)

use std::arch::x86_64::{
    __m512i, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::hint::black_box;

use super::byte_tile::{ByteGroups, QUAD, multiplies_bytes};
use super::tile::{LANES, RowBlock, Tile};
use crate::detect::Backend;

/// Rows whose sums are in registers together.
const REGISTER_ROWS: usize = 11;

/// Products of rows with two blocks, whose lengths [`ByteGroups::multiply`] has checked; the processor must offer AVX-512
/// VNNI.
pub(super) fn multiply(groups: ByteGroups, rows: RowBlock<'_, u8>, blocks: [&[u8]; 2], tile: &mut Tile) {
    assert!(multiplies_bytes(Backend::best()), "this processor does not run AVX-512 VNNI");
    for group in 0..rows.stride / groups.row_bytes {
        for first in (0..rows.count).step_by(REGISTER_ROWS) {
            let part = Part {
                groups,
                x: rows.values[first * rows.stride + group * groups.row_bytes..].as_ptr(),
                stride: rows.stride,
                weights: blocks.map(|block| block[group * groups.block_bytes()..].as_ptr()),
                results: tile.0.each_mut().map(|block| block[first..].as_mut_ptr().cast()),
                begins: group == 0,
            };
            // SAFETY: AVX-512 VNNI was detected; the caller has made sure that rows and blocks hold this group.
            unsafe {
                match REGISTER_ROWS.min(rows.count - first) {
                    1 => add_group::<1>(part),
                    2 => add_group::<2>(part),
                    3 => add_group::<3>(part),
                    4 => add_group::<4>(part),
                    5 => add_group::<5>(part),
                    6 => add_group::<6>(part),
                    7 => add_group::<7>(part),
                    8 => add_group::<8>(part),
                    9 => add_group::<9>(part),
                    10 => add_group::<10>(part),
                    _ => add_group::<11>(part),
                }
            }
        }
    }
}

/// Where the operands and results of one group of terms and up to 11 rows lie.
#[derive(Clone, Copy)]
struct Part {
    groups: ByteGroups,
    x: *const u8,
    stride: usize,
    weights: [*const u8; 2],
    results: [*mut f32; 2],
    /// Whether nothing was summed before.
    begins: bool,
}

/// # Safety
/// `x` holds a group in each of `ROWS` rows and each of the weights a group of a block; each result has room for `ROWS`
/// vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn add_group<const ROWS: usize>(part: Part) {
    let Part { groups, x, stride, .. } = part;
    // SAFETY: scales and offsets follow the values of the group.
    let offsets = part.weights.map(|block| unsafe { _mm512_loadu_si512(block.add(groups.offsets()).cast()) });
    let mut sums: [[__m512i; 2]; ROWS] = [offsets; ROWS];
    for quad in 0..groups.terms / QUAD {
        // SAFETY: the line lies inside the values of the group.
        let weights =
            part.weights.map(|block| unsafe { _mm512_loadu_si512(block.add(quad * LANES * QUAD).cast()) });
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row < ROWS, and the four bytes lie inside the group; they need not be aligned.
            let x = unsafe { x.add(row * stride + quad * QUAD).cast::<i32>().read_unaligned() };
            let x = _mm512_set1_epi32(x);
            sums[0] = _mm512_dpbusd_epi32(sums[0], x, weights[0]);
            sums[1] = _mm512_dpbusd_epi32(sums[1], x, weights[1]);
        }
    }
    // SAFETY: as for the offsets.
    let scales = part.weights.map(|block| unsafe { _mm512_loadu_ps(block.add(groups.scales()).cast()) });
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: the scale follows the bytes of the row's group.
        let scale = unsafe { x.add(row * stride + groups.terms).cast::<f32>().read_unaligned() };
        let scale = _mm512_set1_ps(scale);
        for ((result, sum), weight_scale) in part.results.iter().zip(sums).zip(scales) {
            let result = result.wrapping_add(row * LANES);
            // SAFETY: row < ROWS.
            let before = if part.begins { _mm512_setzero_ps() } else { unsafe { _mm512_loadu_ps(result) } };
            let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), _mm512_mul_ps(scale, weight_scale));
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(result, _mm512_add_ps(before, scaled)) };
        }
    }
}

/// Adds dot products to 12 independent registers, `rounds` times, for measuring the processor's peak. Returns the
/// operations made.
pub(crate) fn byte_registers(rounds: usize) -> usize {
    assert!(multiplies_bytes(Backend::best()), "this processor does not run AVX-512 VNNI");
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
