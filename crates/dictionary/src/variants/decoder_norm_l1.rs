//! ReLU with an L1 penalty weighted by decoder norms (Anthropic, "Circuits Updates – April 2024").
//!
//! ```text
//! f = max(z, 0)
//! L = (1/B) Σ_x [ ‖e‖² + λ Σ_i f_i ‖D_i‖ ]
//! ```
//!
//! Decoder rows are free: what a row gains in length its latent loses in activation, at the same cost. Inputs are read
//! as they are, and no latent is resampled.

use super::linear::{encode, encode_backward, squared_error, where_active};
use super::{Batch, Loss, Parameters};

/// The loss with coefficient λ, and its gradient.
pub fn loss(parameters: &Parameters, batch: &Batch<'_>, coefficient: f64) -> (Loss, Parameters) {
    let rows = batch.rows(parameters) as f64;
    let mut gradient = parameters.zeros();
    let norms = parameters.decoder_norms();
    let latents: Vec<f64> = encode(parameters, batch.inputs).into_iter().map(|z| z.max(0.0)).collect();
    let (reconstruction, mut bar) = squared_error(parameters, batch, &latents, 1.0 / rows, &mut gradient);
    let scale = coefficient / rows;
    let mut sparsity = 0.0;
    for (row, bar) in latents.chunks_exact(parameters.latents).zip(bar.chunks_exact_mut(parameters.latents)) {
        for (latent, &f) in row.iter().enumerate() {
            sparsity += scale * f * norms[latent];
            bar[latent] += scale * norms[latent];
            add_norm_gradient(parameters, latent, scale * f / norms[latent], &mut gradient);
        }
    }
    encode_backward(parameters, batch.inputs, &where_active(&latents, &bar), &mut gradient);
    (Loss { reconstruction, sparsity, auxiliary: 0.0 }, gradient)
}

/// Adds c · D_i to the gradient of D_i: that of c ‖D_i‖² / 2, and of c ‖D_i‖ with c divided by the norm.
pub(super) fn add_norm_gradient(parameters: &Parameters, latent: usize, c: f64, gradient: &mut Parameters) {
    let range = latent * parameters.d_output..(latent + 1) * parameters.d_output;
    let direction = &parameters.decoder[range.clone()];
    gradient.decoder[range].iter_mut().zip(direction).for_each(|(gradient, d)| *gradient += c * d);
}
