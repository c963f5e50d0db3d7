//! Tile products on the AMX matrix unit.
//!
//! A tile register holds 16 rows of 64 bytes. `tdpbf16ps` adds to a 16 × 16 f32 tile the product of a tile of x (16
//! rows, 32 values of k) with a tile of the packed weight (16 pairs of k, 16 columns). Four result tiles (32 rows by
//! two blocks) reuse each loaded tile twice. The weight streams through with the `tileloaddt1` hint, so that the rows of
//! x, which every panel of the weight reads again, stay in the first-level cache.
//!
//! The intrinsics are not stable Rust yet; this is inline assembly. Every element sums over k in steps of 32 in
//! ascending order, the same for 1 row and for 1000.

use std::arch::asm;

use half::bf16;

use super::tile::{LANES, RowBlock, TILE_ROWS, Tile};
use crate::detect::Backend;

/// Rows of a tile register, and bytes in each.
const REGISTER_ROWS: usize = 16;
const REGISTER_BYTES: usize = 64;
/// Values of k in a tile of x.
const STEP: usize = 32;

/// The operand of `ldtilecfg`: palette 1, then the row length in bytes and the row count of each register.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Every register with 16 rows of 64 bytes.
static FULL_TILES: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Runs `work` with the tile registers of this thread configured; the configuration is per thread.
pub(super) fn with_tiles(work: impl FnOnce()) {
    assert!(Backend::Amx.is_available(), "this processor does not run AMX");
    // SAFETY: AMX was detected and permitted; the operand is a valid configuration. The instruction clears the tile
    // registers, which nothing else in this program uses.
    unsafe {
        asm!(
            "ldtilecfg [{}]", in(reg) &raw const FULL_TILES,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly)
        );
    }
    work();
    // SAFETY: AMX is available. Releasing the tiles spares the kernel their 8 KiB at a context switch.
    unsafe {
        asm!(
            "tilerelease",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, nomem)
        );
    }
}

/// Products of `rows`, padded to whole 16, with two blocks. Only inside [`with_tiles`].
pub(super) fn multiply(rows: RowBlock<'_, bf16>, blocks: [&[bf16]; 2], tile: &mut Tile) {
    let padded = rows.count.next_multiple_of(REGISTER_ROWS);
    assert!(padded <= TILE_ROWS && rows.values.len() >= padded * rows.stride, "tile: rows too short");
    assert!(
        blocks.iter().all(|block| block.len() == LANES * rows.stride),
        "tile: block has the wrong length"
    );
    assert!(rows.stride.is_multiple_of(STEP), "tile: depth is no multiple of 32");
    if rows.stride == 0 || padded == 0 {
        return;
    }
    let [left, right] = blocks.map(<[bf16]>::as_ptr);
    // SAFETY: `with_tiles` detected AMX and configured the registers (without it the instructions fault, they do no
    // harm). The assertions above bound every address that the kernels compute.
    unsafe {
        if padded == TILE_ROWS {
            multiply_32_rows(rows.values.as_ptr(), rows.stride, left, right, tile);
        } else {
            multiply_16_rows(rows.values.as_ptr(), rows.stride, left, right, tile);
        }
    }
}

/// # Safety
/// AMX is configured with full tiles; `x` holds 32 rows of `stride` values, a positive multiple of 32, and each block
/// 16 columns of as many.
unsafe fn multiply_32_rows(
    x: *const bf16,
    stride: usize,
    left: *const bf16,
    right: *const bf16,
    tile: &mut Tile,
) {
    let [left_out, right_out] = tile.0.each_mut().map(|block| block.as_mut_ptr());
    // SAFETY: the caller's promise. Each step reads 16 rows of 64 bytes from both halves of x and 1 KiB from each
    // block, `stride / 32` times; the stores fill the two blocks of the tile.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {row_bytes}*1]",
            "tileloaddt1 tmm6, [{left} + {line}*1]",
            "tileloaddt1 tmm7, [{right} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{lower} + {row_bytes}*1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {left}, 1024",
            "add {right}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{left_out} + {line}*1], tmm0",
            "tilestored [{left_out} + {line}*1 + 1024], tmm2",
            "tilestored [{right_out} + {line}*1], tmm1",
            "tilestored [{right_out} + {line}*1 + 1024], tmm3",
            upper = inout(reg) x => _,
            lower = inout(reg) x.add(REGISTER_ROWS * stride) => _,
            left = inout(reg) left => _,
            right = inout(reg) right => _,
            steps = inout(reg) stride / STEP => _,
            row_bytes = in(reg) stride * size_of::<bf16>(),
            line = in(reg) REGISTER_BYTES,
            left_out = in(reg) left_out,
            right_out = in(reg) right_out,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack)
        );
    }
}

/// # Safety
/// As for [`multiply_32_rows`], with 16 rows.
unsafe fn multiply_16_rows(
    x: *const bf16,
    stride: usize,
    left: *const bf16,
    right: *const bf16,
    tile: &mut Tile,
) {
    let [left_out, right_out] = tile.0.each_mut().map(|block| block.as_mut_ptr());
    // SAFETY: the caller's promise; as above with one half of x.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm4, [{upper} + {row_bytes}*1]",
            "tileloadd tmm6, [{left} + {line}*1]",
            "tileloadd tmm7, [{right} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {upper}, 64",
            "add {left}, 1024",
            "add {right}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{left_out} + {line}*1], tmm0",
            "tilestored [{right_out} + {line}*1], tmm1",
            upper = inout(reg) x => _,
            left = inout(reg) left => _,
            right = inout(reg) right => _,
            steps = inout(reg) stride / STEP => _,
            row_bytes = in(reg) stride * size_of::<bf16>(),
            line = in(reg) REGISTER_BYTES,
            left_out = in(reg) left_out,
            right_out = in(reg) right_out,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack)
        );
    }
}

/// Multiplies tiles that stay in registers, `rounds` times, for measuring the processor's peak. Returns the
/// operations made.
pub(crate) fn multiply_registers(rounds: usize) -> usize {
    const PRODUCTS: usize = 4;
    if rounds > 0 {
        // SAFETY: `with_tiles` detects AMX and configures the registers; `rounds` is positive.
        with_tiles(|| unsafe {
            asm!(
                "2:",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) rounds => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem)
            );
        });
    }
    2 * REGISTER_ROWS * LANES * STEP * PRODUCTS * rounds
}
