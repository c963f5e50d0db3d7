//! From gradients to new weights, latent by latent: constraint, clipping, Adam, constraint.

use glossator_kernels::sparse_coding::{AdamStep, normalise, remove_parallel};
use rayon::prelude::*;

use super::gradients::{Gradients, LatentGradient};
use super::parameters::{LatentChunk, Parameters, Tensor};

/// Latents that one task updates.
const CHUNK: usize = 64;

/// How weights follow gradients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    pub(super) adam: AdamStep,
    pub(super) unit_decoder: bool,
    /// Multiplies all gradients.
    pub(super) scale: f32,
}

impl Update {
    /// Updates one latent of `chunk`, the `index`-th.
    pub(super) fn latent(&self, chunk: &mut LatentChunk<'_>, index: usize, gradient: &mut LatentGradient) {
        let (d_input, d_output) = (gradient.encoder.len(), gradient.decoder.len());
        let mut decoder = chunk.decoder.part(index * d_output, d_output);
        if self.unit_decoder {
            remove_parallel(&mut gradient.decoder, decoder.weights);
        }
        self.clip(&mut gradient.decoder);
        self.clip(&mut gradient.encoder);
        decoder.apply(&self.adam, &gradient.decoder);
        if self.unit_decoder {
            normalise(decoder.weights);
        }
        chunk.encoder.part(index * d_input, d_input).apply(&self.adam, &gradient.encoder);
        chunk.encoder_bias.part(index, 1).apply(&self.adam, &[gradient.encoder_bias * self.scale]);
    }

    /// Updates the decoder bias.
    pub(super) fn decoder_bias(&self, parameters: &mut Parameters, gradient: &mut [f32]) {
        self.clip(gradient);
        parameters.decoder_bias.all().apply(&self.adam, gradient);
    }

    /// Updates a tensor that has no constraint.
    pub(super) fn tensor(&self, tensor: &mut Tensor, gradient: &mut [f32]) {
        self.clip(gradient);
        tensor.all().apply(&self.adam, gradient);
    }

    /// Updates the variant's own parameters of all latents: thresholds, or the gate's scales and biases.
    pub(super) fn own(&self, parameters: &mut Parameters, [mut first, mut second]: [Vec<f32>; 2]) {
        if !parameters.log_threshold.weights.is_empty() {
            self.tensor(&mut parameters.log_threshold, &mut first);
        } else if !parameters.log_magnitude_scale.weights.is_empty() {
            self.tensor(&mut parameters.log_magnitude_scale, &mut first);
            self.tensor(&mut parameters.magnitude_bias, &mut second);
        }
    }

    fn clip(&self, gradient: &mut [f32]) {
        if self.scale != 1.0 {
            gradient.iter_mut().for_each(|g| *g *= self.scale);
        }
    }
}

/// Updates all latents. Returns Σ ∂/∂bᵢ · eᵢ `[d_input]` over the weights eᵢ before the update: what the encoder asks
/// of a bias that is subtracted from its input, but for the sign.
pub(super) fn update_latents(
    parameters: &mut Parameters,
    gradients: Gradients<'_>,
    update: Update,
) -> Vec<f64> {
    let Parameters { latents, d_input, d_output, .. } = *parameters;
    let chunks = parameters.latent_chunks(CHUNK);
    let through_input: Vec<Vec<f32>> = chunks
        .into_par_iter()
        .map_init(
            || LatentGradient::new(d_input, d_output),
            |gradient, mut chunk| {
                let mut through_input = vec![0.0; d_input];
                for index in 0..chunk.encoder_bias.weights.len() {
                    let latent = chunk.first + index;
                    let decoder = &chunk.decoder.weights[index * d_output..][..d_output];
                    gradients.of(latent, latent + 1 == latents, decoder, gradient);
                    if gradient.encoder_bias != 0.0 {
                        let weights = &chunk.encoder.weights[index * d_input..][..d_input];
                        add_scaled(&mut through_input, gradient.encoder_bias, weights);
                    }
                    update.latent(&mut chunk, index, gradient);
                }
                through_input
            },
        )
        .collect();
    let mut total = vec![0.0; d_input];
    for chunk in through_input {
        total.iter_mut().zip(chunk).for_each(|(total, value)| *total += f64::from(value));
    }
    total
}

/// The sum of all latents' squared gradients, without their parts along decoder rows if these keep their norm, and
/// Σ ∂/∂bᵢ · eᵢ as in [`update_latents`].
pub(super) fn squared_norm(
    parameters: &Parameters,
    gradients: Gradients<'_>,
    unit_decoder: bool,
) -> (f64, Vec<f64>) {
    let Parameters { latents, d_input, d_output, .. } = *parameters;
    let chunks: Vec<usize> = (0..latents).step_by(CHUNK).collect();
    let sums: Vec<(f64, Vec<f32>)> = chunks
        .into_par_iter()
        .map_init(
            || LatentGradient::new(d_input, d_output),
            |gradient, first| {
                let mut through_input = vec![0.0; d_input];
                let mut sum = 0.0;
                for latent in first..latents.min(first + CHUNK) {
                    let row = &parameters.decoder.weights[latent * d_output..][..d_output];
                    gradients.of(latent, latent + 1 == latents, row, gradient);
                    let weights = &parameters.encoder.weights[latent * d_input..][..d_input];
                    add_scaled(&mut through_input, gradient.encoder_bias, weights);
                    if unit_decoder {
                        remove_parallel(&mut gradient.decoder, row);
                    }
                    let values =
                        gradient.encoder.iter().chain(&gradient.decoder).chain([&gradient.encoder_bias]);
                    sum += values.map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
                }
                (sum, through_input)
            },
        )
        .collect();
    let mut total = vec![0.0; d_input];
    for (_, chunk) in &sums {
        total.iter_mut().zip(chunk).for_each(|(total, value)| *total += f64::from(*value));
    }
    (sums.iter().map(|(sum, _)| sum).sum(), total)
}

/// sum += factor · values.
pub(super) fn add_scaled(sum: &mut [f32], factor: f32, values: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}
