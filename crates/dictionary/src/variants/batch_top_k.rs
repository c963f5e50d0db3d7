//! BatchTopK (Bussmann, Leask & Nanda 2024).
//!
//! ```text
//! f = the k·B largest max(z, 0) of a batch, the others 0
//! L = Σ ‖e‖² / Σ ‖y − ȳ‖² + L_aux
//! ```
//!
//! For use, one threshold stands for the batch: the mean over batches of the smallest positive value kept.

use super::auxiliary::Auxiliary;
use super::linear::encode;
use super::top_k::{add_auxiliary, add_term};
use super::{Batch, Loss, Parameters, keep_largest};

/// The loss with k latents per row on average, and its gradient.
pub fn loss(
    parameters: &Parameters,
    batch: &Batch<'_>,
    k: usize,
    auxiliary: Option<&Auxiliary>,
) -> (Loss, Parameters) {
    let mut gradient = parameters.zeros();
    let latents = select(parameters, batch, k);
    let scale = 1.0 / batch.total_variance(parameters);
    let reconstruction = add_term(parameters, batch, &latents, scale, &mut gradient);
    let auxiliary = add_auxiliary(parameters, batch, auxiliary, &latents, &mut gradient);
    (Loss { reconstruction, sparsity: 0.0, auxiliary }, gradient)
}

/// f `[rows, latents]`.
pub fn select(parameters: &Parameters, batch: &Batch<'_>, k: usize) -> Vec<f64> {
    keep_largest(&encode(parameters, batch.inputs), k * batch.rows(parameters))
}

/// The smallest positive value that was kept; none if nothing was.
pub fn smallest_kept(latents: &[f64]) -> Option<f64> {
    latents.iter().copied().filter(|f| *f > 0.0).min_by(f64::total_cmp)
}
