//! K-quants: blocks of 256 values in sub-blocks of 16 or 32, whose own scales (and minima) are quantised too.
//!
//! A value is `d·s·q − dmin·m` (`Q2_K`, `Q4_K`, `Q5_K`) or `d·s·(q − offset)` (`Q3_K`, `Q6_K`), with `d`, `dmin` f16 per
//! block and small integers `s`, `m` per sub-block. Source: ggml's `ggml-common.h` and `ggml-quants.c`.

use super::types::half_at;

/// Values in a block.
pub(super) const BLOCK: usize = 256;

/// `Q2_K`: 16 × (4-bit s, 4-bit m), 64 bytes of 2-bit q, d, dmin.
pub(super) fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for (sub, out) in out.chunks_exact_mut(16).enumerate() {
        let (scale, minimum) = (d * f32::from(scales[sub] & 0x0f), dmin * f32::from(scales[sub] >> 4));
        for (i, value) in out.iter_mut().enumerate() {
            *value = scale * f32::from(two_bits(quants, sub, i)) - minimum;
        }
    }
}

/// `Q3_K`: 32 bytes of third bits, 64 bytes of 2-bit q, 12 bytes of 6-bit s, d.
pub(super) fn q3_k(block: &[u8], out: &mut [f32]) {
    let (high, quants, scales, d) = (&block[..32], &block[32..96], &block[96..108], half_at(block, 108));
    for (sub, out) in out.chunks_exact_mut(16).enumerate() {
        let low = if sub < 8 { scales[sub] & 0x0f } else { scales[sub - 8] >> 4 };
        let top = (scales[8 + sub % 4] >> (2 * (sub / 4))) & 3;
        let scale = d * (f32::from(low | top << 4) - 32.0);
        for (i, value) in out.iter_mut().enumerate() {
            let third = (high[(sub % 2) * 16 + i] >> (sub / 2)) & 1;
            *value = scale * (f32::from(two_bits(quants, sub, i) | third << 2) - 4.0);
        }
    }
}

/// `Q4_K`: d, dmin, 12 bytes of 6-bit (s, m), 128 bytes of 4-bit q.
pub(super) fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, quants) = (&block[4..16], &block[16..144]);
    for (sub, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(scales, sub);
        let (scale, minimum) = (d * scale, dmin * minimum);
        for (i, value) in out.iter_mut().enumerate() {
            *value = scale * f32::from(four_bits(quants, sub, i)) - minimum;
        }
    }
}

/// `Q5_K`: d, dmin, 12 bytes of 6-bit (s, m), 32 bytes of fifth bits, 128 bytes of 4-bit q.
pub(super) fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, high, quants) = (&block[4..16], &block[16..48], &block[48..176]);
    for (sub, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(scales, sub);
        let (scale, minimum) = (d * scale, dmin * minimum);
        for (i, value) in out.iter_mut().enumerate() {
            let fifth = (high[i] >> sub) & 1;
            *value = scale * f32::from(four_bits(quants, sub, i) | fifth << 4) - minimum;
        }
    }
}

/// `Q6_K`: 128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 × i8 s, d.
pub(super) fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half_at(block, 208));
    for (sub, out) in out.chunks_exact_mut(16).enumerate() {
        let scale = d * f32::from(scales[sub] as i8);
        // Each half of the block holds four rows of 32 values.
        let (half, row, start) = (sub / 8, sub % 8 / 2, sub % 2 * 16);
        for (i, value) in out.iter_mut().enumerate() {
            let column = start + i;
            let nibble = (low[half * 64 + row % 2 * 32 + column] >> (row / 2 * 4)) & 0x0f;
            let top = (high[half * 32 + column] >> (2 * row)) & 3;
            *value = scale * (f32::from(nibble | top << 4) - 32.0);
        }
    }
}

/// Value `i` of 16-value sub-block `sub`: each half of the block has four rows of 32 values, packed as the four
/// bit pairs of the same 32 bytes.
fn two_bits(quants: &[u8], sub: usize, i: usize) -> u8 {
    let (half, row, start) = (sub / 8, sub % 8 / 2, sub % 2 * 16);
    (quants[half * 32 + start + i] >> (2 * row)) & 3
}

/// Value `i` of 32-value sub-block `sub`: two sub-blocks are the low and high nibbles of the same 32 bytes.
fn four_bits(quants: &[u8], sub: usize, i: usize) -> u8 {
    (quants[sub / 2 * 32 + i] >> (sub % 2 * 4)) & 0x0f
}

/// The 6-bit scale and minimum of sub-block `sub` (0–7), packed into 12 bytes.
fn scale_and_minimum(packed: &[u8], sub: usize) -> (f32, f32) {
    let (scale, minimum) = if sub < 4 {
        (packed[sub] & 63, packed[sub + 4] & 63)
    } else {
        let shared = packed[sub + 4];
        (shared & 0x0f | (packed[sub - 4] >> 6) << 4, shared >> 4 | (packed[sub] >> 6) << 4)
    };
    (f32::from(scale), f32::from(minimum))
}
