//! Tile products in plain Rust, vectorised by the compiler for AVX2, AVX-512 or whatever the build targets.
//!
//! Every element sums over k in ascending order, one product at a time.

use half::bf16;

use super::tile::{Element, LANES, RowBlock, Tile};
use crate::detect::Backend;

/// Rows that share one pass over a block: 4 rows of two 256-bit accumulators fit 16 registers.
const GROUP: usize = 4;

/// How x and the packed block yield f32 factors.
pub(super) trait Widen: Element {
    /// Elements of x, and lines of 16 lanes in the block, consumed per step.
    const STEP: usize;

    /// Factor `part` of lane `lane` in a step of the block.
    fn weight(step: &[Self], lane: usize, part: usize) -> f32;

    /// An element of x.
    fn wide(self) -> f32;
}

impl Widen for f32 {
    const STEP: usize = 1;

    #[inline(always)]
    fn weight(step: &[Self], lane: usize, _: usize) -> f32 {
        step[lane]
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

impl Widen for bf16 {
    const STEP: usize = 2;

    #[inline(always)]
    fn weight(step: &[Self], lane: usize, part: usize) -> f32 {
        step[2 * lane + part].wide()
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// Multiplies on any backend up to AVX-512.
pub(super) fn multiply<T: Widen>(
    backend: Backend,
    rows: RowBlock<'_, T>,
    blocks: [&[T]; 2],
    tile: &mut Tile,
) {
    assert!(backend.is_available(), "this processor does not run {backend}");
    match backend {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 | Backend::Avx512Bf16 | Backend::Amx => {
            // SAFETY: the backend is available, so AVX-512 F, BW, DQ, VL, AVX2 and FMA were detected.
            unsafe { multiply_avx512(rows, blocks, tile) }
        }
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => {
            // SAFETY: the backend is available, so AVX2 and FMA were detected.
            unsafe { multiply_avx2(rows, blocks, tile) }
        }
        _ => multiply_blocks::<T, false>(rows, blocks, tile),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn multiply_avx512<T: Widen>(rows: RowBlock<'_, T>, blocks: [&[T]; 2], tile: &mut Tile) {
    multiply_blocks::<T, true>(rows, blocks, tile);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_avx2<T: Widen>(rows: RowBlock<'_, T>, blocks: [&[T]; 2], tile: &mut Tile) {
    multiply_blocks::<T, true>(rows, blocks, tile);
}

#[inline(always)]
fn multiply_blocks<T: Widen, const FUSED: bool>(rows: RowBlock<'_, T>, blocks: [&[T]; 2], tile: &mut Tile) {
    for (block, results) in blocks.into_iter().zip(&mut tile.0) {
        let mut row = 0;
        while row + GROUP <= rows.count {
            multiply_rows::<T, FUSED, GROUP>(rows, row, block, results);
            row += GROUP;
        }
        while row < rows.count {
            multiply_rows::<T, FUSED, 1>(rows, row, block, results);
            row += 1;
        }
    }
}

#[inline(always)]
fn multiply_rows<T: Widen, const FUSED: bool, const ROWS: usize>(
    rows: RowBlock<'_, T>,
    first: usize,
    block: &[T],
    results: &mut [[f32; LANES]],
) {
    let x: [&[T]; ROWS] = std::array::from_fn(|r| &rows.values[(first + r) * rows.stride..][..rows.stride]);
    let mut sums = [[0.0_f32; LANES]; ROWS];
    for (step, weights) in block.chunks_exact(T::STEP * LANES).enumerate() {
        for part in 0..T::STEP {
            let weights: [f32; LANES] = std::array::from_fn(|lane| T::weight(weights, lane, part));
            for (sums, x) in sums.iter_mut().zip(&x) {
                let factor = x[step * T::STEP + part].wide();
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = if FUSED { factor.mul_add(weight, *sum) } else { factor * weight + *sum };
                }
            }
        }
    }
    results[first..first + ROWS].copy_from_slice(&sums);
}
