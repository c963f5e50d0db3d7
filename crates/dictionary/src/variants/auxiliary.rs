//! AuxK: dead latents are asked for what a reconstruction misses (Gao et al. 2024, appendix A.2).
//!
//! With the residual r = y − ŷ taken as given, and f' the k_aux largest positive z among dead latents of each row:
//!
//! ```text
//! L_aux = α Σ ‖Dᵀ f' − r‖² / Σ ‖r − r̄‖²
//! ```

use super::linear::{combine, combine_backward, encode, encode_backward, where_active};
use super::{Batch, Parameters, keep_largest, total_variance};

/// What AuxK needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Auxiliary {
    /// α; 1/32 in the paper.
    pub coefficient: f64,
    /// k_aux.
    pub k: usize,
    /// The latents that count as dead.
    pub dead: Vec<usize>,
}

/// The loss for a residual r `[rows, d_output]`; its gradient is added to `gradient`.
pub fn loss(
    parameters: &Parameters,
    batch: &Batch<'_>,
    auxiliary: &Auxiliary,
    residual: &[f64],
    gradient: &mut Parameters,
) -> f64 {
    let width = parameters.d_output;
    let variance = total_variance(residual, width);
    if auxiliary.dead.is_empty() || variance == 0.0 {
        return 0.0;
    }
    let pre = encode(parameters, batch.inputs);
    let mut latents = Vec::with_capacity(pre.len());
    for row in pre.chunks_exact(parameters.latents) {
        let mut masked = vec![f64::NEG_INFINITY; parameters.latents];
        auxiliary.dead.iter().for_each(|&latent| masked[latent] = row[latent]);
        latents.extend(keep_largest(&masked, auxiliary.k));
    }
    let scale = auxiliary.coefficient / variance;
    let errors: Vec<f64> =
        combine(parameters, &latents).iter().zip(residual).map(|(out, r)| out - r).collect();
    let bar: Vec<f64> = errors.iter().map(|e| 2.0 * scale * e).collect();
    let bar = combine_backward(parameters, &latents, &bar, gradient);
    encode_backward(parameters, batch.inputs, &where_active(&latents, &bar), gradient);
    scale * errors.iter().map(|e| e * e).sum::<f64>()
}
