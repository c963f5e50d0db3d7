//! Tile products with 512-bit vectors: fused multiply-add for f32, dot products of pairs for bf16.
//!
//! 8 rows by two blocks keep 16 accumulators, two weight vectors and a broadcast in registers. Every element sums
//! over k in ascending order (bf16: one pair at a time).

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::hint::black_box;
use std::mem::transmute;

use bytemuck::Pod;
use half::bf16;

use super::tile::{LANES, RowBlock, TILE_ROWS, Tile};
use crate::detect::Backend;

/// Rows that share one pass over the blocks.
const GROUP: usize = 8;

/// Products in f32; the processor must offer AVX-512.
pub(super) fn multiply_f32(rows: RowBlock<'_, f32>, blocks: [&[f32]; 2], tile: &mut Tile) {
    assert!(Backend::Avx512.is_available(), "this processor does not run AVX-512");
    check(rows, blocks);
    for first in (0..rows.count).step_by(GROUP) {
        let group = Group::new(rows, first, blocks, tile);
        // SAFETY: AVX-512 was detected; `check` made sure that the rows and blocks hold what the group reads.
        unsafe {
            match GROUP.min(rows.count - first) {
                1 => group_f32::<1>(group),
                2 => group_f32::<2>(group),
                3 => group_f32::<3>(group),
                4 => group_f32::<4>(group),
                5 => group_f32::<5>(group),
                6 => group_f32::<6>(group),
                7 => group_f32::<7>(group),
                _ => group_f32::<8>(group),
            }
        }
    }
}

/// Products of bf16 pairs; the processor must offer AVX-512 BF16.
pub(super) fn multiply_bf16(rows: RowBlock<'_, bf16>, blocks: [&[bf16]; 2], tile: &mut Tile) {
    assert!(Backend::Avx512Bf16.is_available(), "this processor does not run AVX-512 BF16");
    check(rows, blocks);
    for first in (0..rows.count).step_by(GROUP) {
        let group = Group::new(rows, first, blocks, tile);
        // SAFETY: AVX-512 BF16 was detected; `check` made sure that the rows and blocks hold what the group reads.
        unsafe {
            match GROUP.min(rows.count - first) {
                1 => group_bf16::<1>(group),
                2 => group_bf16::<2>(group),
                3 => group_bf16::<3>(group),
                4 => group_bf16::<4>(group),
                5 => group_bf16::<5>(group),
                6 => group_bf16::<6>(group),
                7 => group_bf16::<7>(group),
                _ => group_bf16::<8>(group),
            }
        }
    }
}

/// Panics unless rows and blocks are as long as the kernels read.
fn check<T: Pod>(rows: RowBlock<'_, T>, blocks: [&[T]; 2]) {
    assert!(rows.count <= TILE_ROWS && rows.values.len() >= rows.count * rows.stride, "tile: rows too short");
    assert!(
        blocks.iter().all(|block| block.len() == LANES * rows.stride),
        "tile: block has the wrong length"
    );
}

/// Where the operands and results of one group of rows lie.
#[derive(Clone, Copy)]
struct Group<T> {
    x: *const T,
    depth: usize,
    blocks: [*const T; 2],
    results: [*mut f32; 2],
}

impl<T: Pod> Group<T> {
    fn new(rows: RowBlock<'_, T>, first: usize, blocks: [&[T]; 2], tile: &mut Tile) -> Self {
        Self {
            x: rows.values[first * rows.stride..].as_ptr(),
            depth: rows.stride,
            blocks: blocks.map(<[T]>::as_ptr),
            results: tile.0.each_mut().map(|block| block[first..].as_mut_ptr().cast()),
        }
    }
}

/// # Safety
/// `x` holds `ROWS` rows and each block 16 columns of `depth` values; each result has room for `ROWS` vectors.
#[target_feature(enable = "avx512f")]
unsafe fn group_f32<const ROWS: usize>(group: Group<f32>) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    for k in 0..group.depth {
        // SAFETY: k < depth, so both vectors lie inside their blocks.
        let weights = group.blocks.map(|block| unsafe { _mm512_loadu_ps(block.add(k * LANES)) });
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row < ROWS and k < depth.
            let x = _mm512_set1_ps(unsafe { *group.x.add(row * group.depth + k) });
            sums[0] = _mm512_fmadd_ps(x, weights[0], sums[0]);
            sums[1] = _mm512_fmadd_ps(x, weights[1], sums[1]);
        }
    }
    // SAFETY: the caller gave room for ROWS vectors in each result.
    unsafe { store(&sums, group.results) };
}

/// # Safety
/// As for [`group_f32`], with an even `depth`.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn group_bf16<const ROWS: usize>(group: Group<bf16>) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    for pair in 0..group.depth / 2 {
        // SAFETY: pair < depth / 2, so both vectors lie inside their blocks.
        let weights = group.blocks.map(|block| unsafe { pairs(block.add(pair * 2 * LANES)) });
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row < ROWS and 2 · pair + 1 < depth; a pair need not be aligned.
            let x = unsafe { group.x.add(row * group.depth + 2 * pair).cast::<i32>().read_unaligned() };
            let x = as_pairs(_mm512_set1_epi32(x));
            sums[0] = _mm512_dpbf16_ps(sums[0], x, weights[0]);
            sums[1] = _mm512_dpbf16_ps(sums[1], x, weights[1]);
        }
    }
    // SAFETY: the caller gave room for ROWS vectors in each result.
    unsafe { store(&sums, group.results) };
}

/// # Safety
/// `line` points to 32 values.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pairs(line: *const bf16) -> __m512bh {
    // SAFETY: the caller promises 64 bytes.
    as_pairs(unsafe { _mm512_loadu_si512(line.cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn as_pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both types are 512 bits without invalid patterns.
    unsafe { transmute::<__m512i, __m512bh>(bits) }
}

/// # Safety
/// Each result has room for `ROWS` vectors.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store<const ROWS: usize>(sums: &[[__m512; 2]; ROWS], results: [*mut f32; 2]) {
    for (row, sums) in sums.iter().enumerate() {
        for (result, sum) in results.iter().zip(sums) {
            // SAFETY: row < ROWS.
            unsafe { _mm512_storeu_ps(result.add(row * LANES), *sum) };
        }
    }
}

/// Adds dot products to 12 independent registers, `rounds` times, for measuring the processor's peak. Returns the
/// operations made.
pub(crate) fn dot_registers(rounds: usize) -> usize {
    assert!(Backend::Avx512Bf16.is_available(), "this processor does not run AVX-512 BF16");
    // SAFETY: AVX-512 BF16 was detected.
    unsafe { dot_chains(rounds) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn dot_chains(rounds: usize) -> usize {
    const CHAINS: usize = 12;
    let factor = as_pairs(_mm512_set1_epi32(black_box(0x3f80_3f80)));
    let mut sums = [_mm512_setzero_ps(); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, factor, factor);
        }
    }
    black_box(sums);
    // Each lane makes two multiplications and two additions.
    4 * LANES * CHAINS * rounds
}
