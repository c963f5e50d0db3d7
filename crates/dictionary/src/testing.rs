//! Small dictionaries and activations for the tests of this crate.

use crate::{Activation, Dictionary, InputConvention, Metadata};

/// `count` numbers between −1 and 1 that depend on `seed` alone (a linear congruential generator).
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Activations `[rows, width]`.
pub(crate) fn inputs(rows: usize, width: usize) -> Vec<f32> {
    numbers(7, rows * width)
}

/// A dictionary with arbitrary weights that reads activations as they are.
pub(crate) fn example(d_input: usize, d_output: usize, latents: usize, activation: Activation) -> Dictionary {
    Dictionary {
        d_input,
        d_output,
        latents,
        encoder: numbers(1, latents * d_input),
        encoder_bias: numbers(2, latents),
        decoder: numbers(3, latents * d_output),
        decoder_bias: numbers(4, d_output),
        skip: None,
        activation,
        input: InputConvention::default(),
        metadata: Metadata::default(),
    }
}
