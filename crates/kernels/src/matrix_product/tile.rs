//! The piece of the result that one kernel call computes: up to 32 rows by two blocks of 16 columns.
//!
//! Kernels leave it in a small buffer that stays in the first-level cache; the epilogue reads it from there. The
//! two blocks need not be neighbours: a gated MLP pairs a block of gate with the same block of up.

use bytemuck::Pod;
use half::bf16;

use super::portable;
use crate::detect::Backend;

/// Columns in a block: one 512-bit vector of f32.
pub(crate) const LANES: usize = 16;
/// Rows in a tile.
pub(crate) const TILE_ROWS: usize = 32;

/// Two blocks of results, `[block][row][lane]`.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Tile(pub(crate) [[[f32; LANES]; TILE_ROWS]; 2]);

impl Tile {
    pub(crate) fn new() -> Self {
        Self([[[0.0; LANES]; TILE_ROWS]; 2])
    }
}

/// At most [`TILE_ROWS`] rows of x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowBlock<'a, T> {
    /// Row `r` is `values[r · stride..][..stride]`.
    pub(crate) values: &'a [T],
    /// The padded length of a row.
    pub(crate) stride: usize,
    /// The rows whose results count. For bf16, `values` holds them rounded up to whole 16.
    pub(crate) count: usize,
}

/// A number type that products run in.
pub(crate) trait Element: Pod + Send + Sync {
    /// The rows of x are padded to a multiple of this many.
    const ROW_STEP: usize;

    /// Computes the products of `rows` with two blocks of the packed weight.
    fn multiply(backend: Backend, rows: RowBlock<'_, Self>, blocks: [&[Self]; 2], tile: &mut Tile);

    /// Runs `work` with the processor set up for [`Element::multiply`] on this thread.
    fn prepared(backend: Backend, work: impl FnOnce());
}

impl Element for f32 {
    const ROW_STEP: usize = 1;

    fn multiply(backend: Backend, rows: RowBlock<'_, Self>, blocks: [&[Self]; 2], tile: &mut Tile) {
        match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 | Backend::Avx512Bf16 | Backend::Amx => {
                super::avx512::multiply_f32(rows, blocks, tile);
            }
            _ => portable::multiply(backend, rows, blocks, tile),
        }
    }

    fn prepared(_: Backend, work: impl FnOnce()) {
        work();
    }
}

impl Element for bf16 {
    const ROW_STEP: usize = 16;

    fn multiply(backend: Backend, rows: RowBlock<'_, Self>, blocks: [&[Self]; 2], tile: &mut Tile) {
        match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Amx => super::amx::multiply(rows, blocks, tile),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512Bf16 => super::avx512::multiply_bf16(rows, blocks, tile),
            _ => portable::multiply(backend, rows, blocks, tile),
        }
    }

    fn prepared(backend: Backend, work: impl FnOnce()) {
        match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Amx => super::amx::with_tiles(work),
            _ => work(),
        }
    }
}
