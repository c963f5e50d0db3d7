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

use super::jump_relu::JumpRelu;
use super::matryoshka::Prefixes;
use super::p_annealing::Annealing;

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
    /// TopK with a second reconstruction from 4 k latents, which weighs an eighth (Gao et al. 2024, section 5.1).
    MultiTopK {
        /// Latents that are kept for each row.
        k: usize,
        /// Revives dead latents.
        auxiliary: Option<Auxiliary>,
    },
    /// f = the k · B largest max(z, 0) of a batch (Bussmann et al. 2024).
    BatchTopK {
        /// Latents that are kept for each row on average.
        k: usize,
        /// Revives dead latents.
        auxiliary: Option<Auxiliary>,
    },
    /// BatchTopK whose prefixes reconstruct by themselves (Bussmann et al. 2025).
    Matryoshka {
        /// Latents that are kept for each row on average.
        k: usize,
        /// Where the prefixes end.
        prefixes: Prefixes,
        /// Revives dead latents.
        auxiliary: Option<Auxiliary>,
    },
    /// f = max(z, 0), with λ Σ fᵢᵖ added to the loss of a row, and p falling (Karvonen et al. 2024).
    PAnnealing(Annealing),
    /// f = z H(z − θ) with thresholds that are learned (Rajamanoharan et al. 2024, arXiv 2407.14435).
    JumpRelu(JumpRelu),
    /// A gate decides which latents are active (Rajamanoharan et al. 2024, arXiv 2404.16014), with λ Σ max(gᵢ, 0) added
    /// to the loss of a row.
    Gated {
        /// λ.
        coefficient: f32,
    },
}

impl Objective {
    /// The loss of dead latents.
    pub(super) fn auxiliary(&self) -> Option<Auxiliary> {
        match *self {
            Self::TopK { auxiliary, .. }
            | Self::MultiTopK { auxiliary, .. }
            | Self::BatchTopK { auxiliary, .. }
            | Self::Matryoshka { auxiliary, .. } => auxiliary,
            Self::L1 { .. } | Self::PAnnealing(_) | Self::JumpRelu(_) | Self::Gated { .. } => None,
        }
    }

    /// The same with its sparsity penalty multiplied.
    #[must_use]
    pub(super) fn penalised(mut self, factor: f32) -> Self {
        match &mut self {
            Self::L1 { coefficient, .. } | Self::Gated { coefficient } => *coefficient *= factor,
            Self::PAnnealing(annealing) => annealing.coefficient *= factor,
            Self::JumpRelu(jump) => jump.coefficient *= factor,
            Self::TopK { .. } | Self::MultiTopK { .. } | Self::BatchTopK { .. } | Self::Matryoshka { .. } => {
            }
        }
        self
    }
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
