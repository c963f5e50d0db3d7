//! Gated dictionaries (Rajamanoharan et al. 2024, arXiv 2404.16014).
//!
//! ```text
//! π = E (u − s b_d),   g = π + b_e,   m = eʳ π + b_mag
//! f = H(g) max(m, 0)
//! L = (1/B) Σ_x [ ‖e‖² + λ Σ_i max(g_i, 0) + ‖⌊D⌋ᵀ max(g, 0) + ⌊b_d⌋ + S u − y‖² ]
//! ```
//!
//! H passes no gradient, so the gate learns from the last two terms alone. ⌊·⌋ is taken as given there: the decoder is
//! not to learn from the gate's own reconstruction.

use super::linear::{errors, errors_backward, project, project_backward, squared_error};
use super::{Batch, Loss, Parameters};

/// The loss with coefficient λ, and its gradient.
pub fn loss(parameters: &Parameters, batch: &Batch<'_>, coefficient: f64) -> (Loss, Parameters) {
    let rows = batch.rows(parameters) as f64;
    let latents_count = parameters.latents;
    let mut gradient = parameters.zeros();
    let projected = project(parameters, batch.inputs);
    let magnitude = |at: usize| {
        let latent = at % latents_count;
        parameters.log_magnitude_scale[latent].exp() * projected[at] + parameters.magnitude_bias[latent]
    };
    let gates: Vec<f64> = projected
        .iter()
        .enumerate()
        .map(|(at, pi)| pi + parameters.encoder_bias[at % latents_count])
        .collect();
    let open: Vec<f64> = gates.iter().map(|gate| gate.max(0.0)).collect();
    let on = |(at, gate): (usize, &f64)| if *gate > 0.0 { magnitude(at).max(0.0) } else { 0.0 };
    let latents: Vec<f64> = gates.iter().enumerate().map(on).collect();
    let (reconstruction, latents_bar) = squared_error(parameters, batch, &latents, 1.0 / rows, &mut gradient);
    let sparsity = coefficient / rows * open.iter().sum::<f64>();
    let gate_errors = errors(parameters, batch, &open);
    let auxiliary = gate_errors.iter().map(|e| e * e).sum::<f64>() / rows;
    let gate_errors_bar: Vec<f64> = gate_errors.iter().map(|e| 2.0 * e / rows).collect();
    // Decoder and bias are taken as given; the skip connection is not.
    let mut frozen = parameters.zeros();
    let open_bar = errors_backward(parameters, batch, &open, &gate_errors_bar, &mut frozen);
    gradient.skip.iter_mut().zip(&frozen.skip).for_each(|(gradient, own)| *gradient += own);
    let mut projected_bar = vec![0.0; projected.len()];
    for (at, bar) in projected_bar.iter_mut().enumerate() {
        let latent = at % latents_count;
        if open[at] > 0.0 {
            let gate_bar = open_bar[at] + coefficient / rows;
            gradient.encoder_bias[latent] += gate_bar;
            *bar += gate_bar;
        }
        if latents[at] > 0.0 {
            let scale = parameters.log_magnitude_scale[latent].exp();
            gradient.log_magnitude_scale[latent] += latents_bar[at] * scale * projected[at];
            gradient.magnitude_bias[latent] += latents_bar[at];
            *bar += latents_bar[at] * scale;
        }
    }
    project_backward(parameters, batch.inputs, &projected_bar, &mut gradient);
    (Loss { reconstruction, sparsity, auxiliary }, gradient)
}
