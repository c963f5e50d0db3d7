//! What a dictionary is trained to do: the loss of each variant, and the recipe around it.
//!
//! With e = x̂ − y for a row of d values and B rows in a batch, the reconstruction loss is
//!
//! ```text
//! mean = (1 / B) Σ ‖e‖² / (d · σ²)
//! ```
//!
//! where σ² is [`Recipe::target_variance`]: the variance of y per value for the normalised loss of Gao et al. 2024,
//! 1 for the mean of squares of Bricken et al. 2023, and 1 / d for their later sum of squares.

use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::Adam;

/// The sparsity that is asked for, and its loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// f = max(TopK(z), 0) (Gao et al. 2024, section 2.3), with their auxiliary loss (appendix A.2).
    TopK {
        /// Latents that are kept for each row.
        k: usize,
        /// Revives dead latents.
        auxiliary: Option<Auxiliary>,
    },
    /// f = max(z, 0), with λ Σ fᵢ added to the loss of a row (Bricken et al. 2023), or λ Σ fᵢ ‖dᵢ‖ (Anthropic's
    /// update of April 2024).
    L1 {
        /// λ.
        coefficient: f32,
        /// Whether each latent counts by the norm of its decoder row.
        by_decoder_norm: bool,
    },
}

/// The auxiliary loss: α · ‖ê − (y − x̂)‖² / variance of y − x̂ over the batch, where ê decodes the `k` largest positive
/// pre-activations among dead latents, and y − x̂ is taken as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auxiliary {
    /// Dead latents that take part in each row.
    pub k: usize,
    /// α.
    pub coefficient: f32,
    /// A latent is dead after so many rows without firing.
    pub dead_after: u64,
}

/// A whole recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Sparsity and loss.
    pub objective: Objective,
    /// Whether the decoder bias is subtracted from the input of the encoder.
    pub subtract_decoder_bias: bool,
    /// Whether decoder rows are kept at norm 1: gradients lose their part along the row, and rows are scaled back
    /// after the step.
    pub unit_decoder: bool,
    /// The optimiser.
    pub adam: Adam,
    /// Gradients are scaled down to this norm over all parameters together, when they exceed it.
    pub gradient_clip: Option<f32>,
    /// σ².
    pub target_variance: f32,
    /// Under bf16 the dense product selects in bf16, or in int8 where that is faster, and sums over the batch read rows
    /// rounded to bf16. Pre-activations of selected latents, reconstructions, weights and moments are f32 in any case.
    pub precision: Precision,
}
