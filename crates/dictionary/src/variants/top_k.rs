//! TopK with AuxK and Multi-TopK (Gao et al. 2024, sections 2.3 and 5.1, appendix A).
//!
//! ```text
//! f_k = max(the k largest z of a row, 0)
//! L = N(f_k) + N(f_4k) / 8 + L_aux          N(f) = Σ ‖e‖² / Σ ‖y − ȳ‖²
//! ```
//!
//! The second term is Multi-TopK, which keeps a code of any size up to 4k meaningful; L_aux is in [`super::auxiliary`].

use super::auxiliary::{self, Auxiliary};
use super::linear::{encode, encode_backward, errors, squared_error, where_active};
use super::{Batch, Loss, Parameters, keep_largest};

/// What the loss consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Latents that are kept for each row.
    pub k: usize,
    /// Whether N(f_4k) / 8 is added.
    pub multi: bool,
    /// L_aux.
    pub auxiliary: Option<Auxiliary>,
}

/// The loss and its gradient.
pub fn loss(parameters: &Parameters, batch: &Batch<'_>, settings: &Settings) -> (Loss, Parameters) {
    let mut gradient = parameters.zeros();
    let pre = encode(parameters, batch.inputs);
    let scale = 1.0 / batch.total_variance(parameters);
    let keep = |k: usize| -> Vec<f64> {
        pre.chunks_exact(parameters.latents).flat_map(|row| keep_largest(row, k)).collect()
    };
    let latents = keep(settings.k);
    let mut reconstruction = add_term(parameters, batch, &latents, scale, &mut gradient);
    if settings.multi {
        let wide = keep((4 * settings.k).min(parameters.latents));
        reconstruction += add_term(parameters, batch, &wide, scale / 8.0, &mut gradient);
    }
    let auxiliary = add_auxiliary(parameters, batch, settings.auxiliary.as_ref(), &latents, &mut gradient);
    (Loss { reconstruction, sparsity: 0.0, auxiliary }, gradient)
}

/// scale · Σ ‖e‖² for a fixed selection of latents, its gradient added.
pub(super) fn add_term(
    parameters: &Parameters,
    batch: &Batch<'_>,
    latents: &[f64],
    scale: f64,
    gradient: &mut Parameters,
) -> f64 {
    let (value, bar) = squared_error(parameters, batch, latents, scale, gradient);
    encode_backward(parameters, batch.inputs, &where_active(latents, &bar), gradient);
    value
}

/// L_aux for what these latents miss, its gradient added.
pub(super) fn add_auxiliary(
    parameters: &Parameters,
    batch: &Batch<'_>,
    auxiliary: Option<&Auxiliary>,
    latents: &[f64],
    gradient: &mut Parameters,
) -> f64 {
    let Some(auxiliary) = auxiliary else { return 0.0 };
    let residual: Vec<f64> = errors(parameters, batch, latents).iter().map(|e| -e).collect();
    auxiliary::loss(parameters, batch, auxiliary, &residual, gradient)
}
