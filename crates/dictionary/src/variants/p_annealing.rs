//! p-annealing (Karvonen et al. 2024): the penalty moves from L1 towards L0 while training.
//!
//! ```text
//! f = max(z, 0)
//! L = (1/B) Σ_x [ ‖e‖² + λ Σ_i f_iᵖ ]
//! ```
//!
//! p falls from 1 to p_end in equal steps. At each, λ is multiplied by (mean Σ fᵖ) / (mean Σ fᵖ') over recent batches, so
//! that the penalty goes on with the value it had.

use super::linear::{encode, encode_backward, squared_error};
use super::{Batch, Loss, Parameters};

/// The loss with exponent p and coefficient λ, and its gradient.
pub fn loss(parameters: &Parameters, batch: &Batch<'_>, p: f64, coefficient: f64) -> (Loss, Parameters) {
    let rows = batch.rows(parameters) as f64;
    let mut gradient = parameters.zeros();
    let latents: Vec<f64> = encode(parameters, batch.inputs).into_iter().map(|z| z.max(0.0)).collect();
    let (reconstruction, mut bar) = squared_error(parameters, batch, &latents, 1.0 / rows, &mut gradient);
    let scale = coefficient / rows;
    let sparsity = scale * latents.iter().filter(|f| **f > 0.0).map(|f| f.powf(p)).sum::<f64>();
    for (bar, &f) in bar.iter_mut().zip(&latents) {
        *bar = if f > 0.0 { *bar + scale * p * f.powf(p - 1.0) } else { 0.0 };
    }
    encode_backward(parameters, batch.inputs, &bar, &mut gradient);
    (Loss { reconstruction, sparsity, auxiliary: 0.0 }, gradient)
}

/// p at a step of `steps`, in `levels` equal moves from 1 to `end`.
///
/// # Panics
/// If there are no steps or no moves.
pub fn exponent(step: usize, steps: usize, levels: usize, end: f64) -> f64 {
    assert!(steps > 0 && levels > 0, "p-annealing: no steps");
    let level = (step.min(steps) * levels / steps) as f64;
    1.0 + (end - 1.0) * level / levels as f64
}

/// λ after p changes from `p` to `next`, given recent latents; as it was if nothing was active.
pub fn rescaled_coefficient(coefficient: f64, recent: &[f64], p: f64, next: f64) -> f64 {
    let sum = |p: f64| recent.iter().filter(|f| **f > 0.0).map(|f| f.powf(p)).sum::<f64>();
    if sum(next) > 0.0 { coefficient * sum(p) / sum(next) } else { coefficient }
}
