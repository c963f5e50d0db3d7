//! The tile kernel of [`super::int8`] with 512-bit dot products of bytes (`vpdpbusd`).
//!
//! 11 rows by two blocks keep 22 integer sums in registers, which begin with the offsets of the weights; 8 rows reach
//! four fifths of this speed on Zen 4.

use std::arch::x86_64::{
    _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_ps,
};

use super::int8::{QUAD, TAIL, is_fast};
use crate::matrix_product::{LANES, RowBlock, TILE_ROWS, Tile};

/// Rows whose sums are in registers together.
const REGISTER_ROWS: usize = 11;

/// Products of up to 32 rows with two blocks; the processor must offer AVX-512 VNNI.
pub(super) fn multiply(rows: RowBlock<'_, u8>, blocks: [&[u8]; 2], tile: &mut Tile) {
    assert!(is_fast(), "this processor does not run AVX-512 VNNI");
    assert!(rows.count <= TILE_ROWS && rows.values.len() >= rows.count * rows.stride, "tile: rows too short");
    assert!(
        rows.stride > TAIL
            && (rows.stride - TAIL).is_multiple_of(QUAD)
            && blocks.iter().all(|block| block.len() == LANES * rows.stride),
        "tile: block has the wrong length"
    );
    for first in (0..rows.count).step_by(REGISTER_ROWS) {
        let part = Part {
            x: rows.values[first * rows.stride..].as_ptr(),
            stride: rows.stride,
            blocks: blocks.map(<[u8]>::as_ptr),
            results: tile.0.each_mut().map(|block| block[first..].as_mut_ptr().cast()),
        };
        // SAFETY: AVX-512 VNNI was detected; the assertions made sure that rows and blocks hold what is read.
        unsafe {
            match REGISTER_ROWS.min(rows.count - first) {
                1 => group::<1>(part),
                2 => group::<2>(part),
                3 => group::<3>(part),
                4 => group::<4>(part),
                5 => group::<5>(part),
                6 => group::<6>(part),
                7 => group::<7>(part),
                8 => group::<8>(part),
                9 => group::<9>(part),
                10 => group::<10>(part),
                _ => group::<11>(part),
            }
        }
    }
}

/// Where the operands and results of one group of rows lie.
#[derive(Clone, Copy)]
struct Part {
    x: *const u8,
    stride: usize,
    blocks: [*const u8; 2],
    results: [*mut f32; 2],
}

/// # Safety
/// `x` holds `ROWS` rows and each block 16 rows of `stride` bytes, in the layout of [`super::int8`]; each result has
/// room for `ROWS` vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn group<const ROWS: usize>(part: Part) {
    let width = part.stride - TAIL;
    // SAFETY: scales and offsets follow the values of a block.
    let scales = part.blocks.map(|block| unsafe { _mm512_loadu_ps(block.add(LANES * width).cast()) });
    // SAFETY: as above.
    let offsets =
        part.blocks.map(|block| unsafe { _mm512_loadu_si512(block.add(LANES * width + TAIL).cast()) });
    let mut sums = [offsets; ROWS];
    for quad in 0..width / QUAD {
        // SAFETY: quad < width / 4, so both vectors lie inside the values of their blocks.
        let weights =
            part.blocks.map(|block| unsafe { _mm512_loadu_si512(block.add(quad * QUAD * LANES).cast()) });
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row < ROWS, and the quad lies inside the row; it need not be aligned.
            let x = unsafe { part.x.add(row * part.stride + QUAD * quad).cast::<i32>().read_unaligned() };
            let x = _mm512_set1_epi32(x);
            sums[0] = _mm512_dpbusd_epi32(sums[0], x, weights[0]);
            sums[1] = _mm512_dpbusd_epi32(sums[1], x, weights[1]);
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: the scale follows the values of the row.
        let scale = unsafe { part.x.add(row * part.stride + width).cast::<f32>().read_unaligned() };
        for ((result, sum), weight_scale) in part.results.iter().zip(sums).zip(scales) {
            let scale = _mm512_mul_ps(_mm512_set1_ps(scale), weight_scale);
            let product = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale);
            // SAFETY: row < ROWS.
            unsafe { _mm512_storeu_ps(result.add(row * LANES), product) };
        }
    }
}
