//! ReLU with an L1 penalty (Bricken et al. 2023, "Towards Monosemanticity", appendix).
//!
//! ```text
//! f = max(z, 0)
//! L = (1/B) Σ_x [ ‖e‖² / d_output + λ Σ_i f_i ]
//! ```
//!
//! The squared error is a mean over coordinates, the penalty a sum over latents. The decoder bias is subtracted from
//! inputs, decoder rows have norm 1, and the part of their gradient that would change the norm is taken out before the
//! optimiser sees it: g ← g − (g·d) d.

use super::linear::{encode, encode_backward, squared_error, where_active};
use super::{Batch, Loss, Parameters};

/// The loss with coefficient λ, and its gradient.
pub fn loss(parameters: &Parameters, batch: &Batch<'_>, coefficient: f64) -> (Loss, Parameters) {
    let rows = batch.rows(parameters) as f64;
    let mut gradient = parameters.zeros();
    let latents: Vec<f64> = encode(parameters, batch.inputs).into_iter().map(|z| z.max(0.0)).collect();
    let scale = 1.0 / (rows * parameters.d_output as f64);
    let (reconstruction, mut bar) = squared_error(parameters, batch, &latents, scale, &mut gradient);
    let sparsity = coefficient / rows * latents.iter().sum::<f64>();
    bar.iter_mut().for_each(|bar| *bar += coefficient / rows);
    encode_backward(parameters, batch.inputs, &where_active(&latents, &bar), &mut gradient);
    (Loss { reconstruction, sparsity, auxiliary: 0.0 }, gradient)
}

/// Takes the part of the decoder's gradient out that is parallel to its rows, which have norm 1.
pub fn project_decoder_gradient(parameters: &Parameters, gradient: &mut Parameters) {
    let width = parameters.d_output;
    let rows = parameters.decoder.chunks_exact(width).zip(gradient.decoder.chunks_exact_mut(width));
    for (direction, gradient) in rows {
        let parallel: f64 = direction.iter().zip(&*gradient).map(|(d, g)| d * g).sum();
        gradient.iter_mut().zip(direction).for_each(|(g, d)| *g -= parallel * d);
    }
}
