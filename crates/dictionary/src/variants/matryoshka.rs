//! Matryoshka BatchTopK (Bussmann et al. 2025): prefixes of the latents reconstruct by themselves.
//!
//! ```text
//! f as in BatchTopK; for prefixes m of the latents, e_m = (D_{:m})ᵀ f_{:m} + b_d + S u − y
//! L = Σ_m Σ ‖e_m‖² / Σ ‖y − ȳ‖² + L_aux
//! ```
//!
//! The last prefix is the whole dictionary, and L_aux is about what that one misses.

use super::auxiliary::Auxiliary;
use super::batch_top_k::select;
use super::top_k::{add_auxiliary, add_term};
use super::{Batch, Loss, Parameters};

/// The loss with k latents per row on average and groups of these sizes, and its gradient.
///
/// # Panics
/// If the groups do not add up to the latents.
pub fn loss(
    parameters: &Parameters,
    batch: &Batch<'_>,
    k: usize,
    groups: &[usize],
    auxiliary: Option<&Auxiliary>,
) -> (Loss, Parameters) {
    assert_eq!(
        groups.iter().sum::<usize>(),
        parameters.latents,
        "matryoshka: groups are not the whole dictionary"
    );
    let mut gradient = parameters.zeros();
    let latents = select(parameters, batch, k);
    let scale = 1.0 / batch.total_variance(parameters);
    let (mut reconstruction, mut end) = (0.0, 0);
    for group in groups {
        end += group;
        let mut prefix = latents.clone();
        prefix.chunks_exact_mut(parameters.latents).for_each(|row| row[end..].fill(0.0));
        reconstruction += add_term(parameters, batch, &prefix, scale, &mut gradient);
    }
    let auxiliary = add_auxiliary(parameters, batch, auxiliary, &latents, &mut gradient);
    (Loss { reconstruction, sparsity: 0.0, auxiliary }, gradient)
}
