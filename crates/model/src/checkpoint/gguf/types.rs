//! Tensor types of GGUF files and their conversion to f32.
//!
//! The simple quantisations store blocks of 32 values: a scale `d` (f16), in the `_1` types also a minimum `m`,
//! and small integers. Value `i` and value `i + 16` share a byte (low and high nibble):
//!
//! | type | bytes | value |
//! |---|---|---|
//! | `Q4_0` | d, 16 × (4+4 bits) | `d·(q − 8)` |
//! | `Q4_1` | d, m, 16 × (4+4) | `d·q + m` |
//! | `Q5_0` | d, 32 fifth bits, 16 × (4+4) | `d·(q − 16)` |
//! | `Q5_1` | d, m, 32 fifth bits, 16 × (4+4) | `d·q + m` |
//! | `Q8_0` | d, 32 × i8 | `d·q` |
//!
//! Source: ggml's `ggml-common.h` and `ggml-quants.c`. The K-quants are in [`super::k_quants`].

use half::{bf16, f16};
use rayon::prelude::*;

use super::k_quants;

/// How the numbers of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TensorType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// Blocks handed to a thread at once: enough work to be worth the hand-over.
const BLOCKS_PER_TASK: usize = 4096;

impl TensorType {
    /// The type with ggml's number for it.
    pub(super) fn from_number(number: u32) -> Result<Self, String> {
        Ok(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            other => {
                return Err(format!(
                    "type {other} is not supported (supported: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, \
                     Q3_K, Q4_K, Q5_K, Q6_K); take another quantisation of the model"
                ));
            }
        })
    }

    /// Values in a block.
    pub(super) fn block_length(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => k_quants::BLOCK,
        }
    }

    /// Bytes of a block.
    fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a tensor whose dimensions are given innermost first; none if rows do not fill blocks or the
    /// product overflows.
    pub(super) fn byte_length(self, dimensions: &[usize]) -> Option<usize> {
        if !dimensions.first()?.is_multiple_of(self.block_length()) {
            return None;
        }
        let values = dimensions.iter().try_fold(1usize, |product, &size| product.checked_mul(size))?;
        (values / self.block_length()).checked_mul(self.block_bytes())
    }

    /// Converts whole blocks to f32.
    pub(super) fn dequantise(self, bytes: &[u8]) -> Vec<f32> {
        let (bytes_per_block, values_per_block) = (self.block_bytes(), self.block_length());
        let mut values = vec![0.0; bytes.len() / bytes_per_block * values_per_block];
        let convert = self.block_converter();
        values
            .par_chunks_mut(values_per_block * BLOCKS_PER_TASK)
            .zip(bytes.par_chunks(bytes_per_block * BLOCKS_PER_TASK))
            .for_each(|(values, bytes)| {
                let blocks = bytes.chunks_exact(bytes_per_block);
                for (values, block) in values.chunks_exact_mut(values_per_block).zip(blocks) {
                    convert(block, values);
                }
            });
        values
    }

    /// The function that converts one block.
    fn block_converter(self) -> fn(&[u8], &mut [f32]) {
        match self {
            Self::F32 => |block, out| out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            Self::F16 => |block, out| out[0] = half_at(block, 0),
            Self::Bf16 => |block, out| out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            Self::Q4_0 => |block, out| {
                let d = half_at(block, 0);
                nibbles(&block[2..], out, |q, _| d * (f32::from(q) - 8.0));
            },
            Self::Q4_1 => |block, out| {
                let (d, m) = (half_at(block, 0), half_at(block, 2));
                nibbles(&block[4..], out, |q, _| d * f32::from(q) + m);
            },
            Self::Q5_0 => |block, out| {
                let (d, high) = (half_at(block, 0), fifth_bits(&block[2..6]));
                nibbles(&block[6..], out, |q, i| d * (f32::from(q | fifth(high, i)) - 16.0));
            },
            Self::Q5_1 => |block, out| {
                let (d, m, high) = (half_at(block, 0), half_at(block, 2), fifth_bits(&block[4..8]));
                nibbles(&block[8..], out, |q, i| d * f32::from(q | fifth(high, i)) + m);
            },
            Self::Q8_0 => |block, out| {
                let d = half_at(block, 0);
                for (value, &q) in out.iter_mut().zip(&block[2..]) {
                    *value = d * f32::from(q as i8);
                }
            },
            Self::Q2K => k_quants::q2_k,
            Self::Q3K => k_quants::q3_k,
            Self::Q4K => k_quants::q4_k,
            Self::Q5K => k_quants::q5_k,
            Self::Q6K => k_quants::q6_k,
        }
    }
}

/// The f16 at a byte offset of a block.
pub(super) fn half_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}

/// Hands the low nibbles as values 0–15 and the high nibbles as values 16–31 to `value(nibble, index)`.
fn nibbles(packed: &[u8], out: &mut [f32], value: impl Fn(u8, usize) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for (i, &byte) in packed[..16].iter().enumerate() {
        low[i] = value(byte & 0x0f, i);
        high[i] = value(byte >> 4, i + 16);
    }
}

fn fifth_bits(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Bit 4 of value `i`.
fn fifth(bits: u32, i: usize) -> u8 {
    (((bits >> i) & 1) as u8) << 4
}
