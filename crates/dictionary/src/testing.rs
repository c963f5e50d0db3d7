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

/// A dictionary that reconstructs everything: a latent for each coordinate and sign.
pub(crate) fn identity(width: usize) -> Dictionary {
    let mut dictionary = example(width, width, 2 * width, Activation::Relu);
    for latent in 0..2 * width {
        for coordinate in 0..width {
            let sign = if latent < width { 1.0 } else { -1.0 };
            let value = if latent % width == coordinate { sign } else { 0.0 };
            dictionary.encoder[latent * width + coordinate] = value;
            dictionary.decoder[latent * width + coordinate] = value;
        }
    }
    dictionary.encoder_bias.fill(0.0);
    dictionary.decoder_bias.fill(0.0);
    dictionary
}
