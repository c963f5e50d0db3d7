//! JumpReLU with straight-through gradients of its thresholds (Rajamanoharan et al. 2024, arXiv 2407.14435).
//!
//! ```text
//! θ = eᵗ,   f = z H(z − θ)
//! L = (1/B) Σ_x [ ‖e‖² + P(x) + λ_P Σ_i max(θ_i − z_i, 0) ‖D_i‖ ]
//!
//! P = λ Σ_i H(z_i − θ_i)                      the paper's
//! P = λ Σ_i tanh(c f_i ‖D_i‖)                 Anthropic, January 2025
//! P = λ (L0 / target − 1)²                    L0 the batch's mean of Σ_i H(z_i − θ_i)
//! ```
//!
//! H has no useful derivative, so one is put in its place, with rect(u) = 1 for |u| < ½ and a bandwidth ε:
//!
//! ```text
//! ∂f/∂θ = −(θ/ε) rect((z − θ)/ε)      ∂H/∂θ = −(1/ε) rect((z − θ)/ε)
//! ∂f/∂z = H(z − θ)                    ∂H/∂z = 0
//! ```
//!
//! The last term of the loss (λ_P) reaches latents that never fire.

use super::decoder_norm_l1::add_norm_gradient;
use super::linear::{encode, encode_backward, squared_error};
use super::{Batch, Loss, Parameters};

/// What activity costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Penalty {
    /// λ for each active latent.
    Count,
    /// λ tanh(c f ‖D‖) for each latent.
    Tanh {
        /// c.
        steepness: f64,
    },
    /// λ (L0 / target − 1)².
    Target {
        /// The number of active latents that is wanted.
        l0: f64,
    },
}

/// What the loss consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// P.
    pub penalty: Penalty,
    /// λ.
    pub coefficient: f64,
    /// ε.
    pub bandwidth: f64,
    /// λ_P.
    pub pre_activation: f64,
}

/// The loss and its straight-through gradient.
pub fn loss(parameters: &Parameters, batch: &Batch<'_>, settings: &Settings) -> (Loss, Parameters) {
    let rows = batch.rows(parameters) as f64;
    let mut gradient = parameters.zeros();
    let thresholds: Vec<f64> = parameters.log_threshold.iter().map(|t| t.exp()).collect();
    let norms = parameters.decoder_norms();
    let pre = encode(parameters, batch.inputs);
    let jump = |(at, &z): (usize, &f64)| if z > thresholds[at % parameters.latents] { z } else { 0.0 };
    let latents: Vec<f64> = pre.iter().enumerate().map(jump).collect();
    let (reconstruction, mut latents_bar) =
        squared_error(parameters, batch, &latents, 1.0 / rows, &mut gradient);
    let active = |at: usize| pre[at] > thresholds[at % parameters.latents];
    let l0 = (0..pre.len()).filter(|&at| active(at)).count() as f64 / rows;
    let scale = settings.coefficient / rows;
    let (mut sparsity, mut auxiliary) = (0.0, 0.0);
    // What one more active latent costs.
    let step_bar = match settings.penalty {
        Penalty::Count => scale,
        Penalty::Tanh { .. } => 0.0,
        Penalty::Target { l0: target } => 2.0 * scale * (l0 / target - 1.0) / target,
    };
    match settings.penalty {
        Penalty::Count => sparsity = settings.coefficient * l0,
        Penalty::Target { l0: target } => sparsity = settings.coefficient * (l0 / target - 1.0).powi(2),
        Penalty::Tanh { steepness } => {
            for (at, &f) in latents.iter().enumerate() {
                let latent = at % parameters.latents;
                let value = (steepness * f * norms[latent]).tanh();
                let slope = scale * steepness * (1.0 - value * value);
                sparsity += scale * value;
                latents_bar[at] += slope * norms[latent];
                add_norm_gradient(parameters, latent, slope * f / norms[latent], &mut gradient);
            }
        }
    }
    let mut pre_bar = vec![0.0; pre.len()];
    for (at, &z) in pre.iter().enumerate() {
        let latent = at % parameters.latents;
        let (threshold, norm) = (thresholds[latent], norms[latent]);
        if active(at) {
            pre_bar[at] = latents_bar[at];
        }
        let mut threshold_bar = 0.0;
        if ((z - threshold) / settings.bandwidth).abs() < 0.5 {
            threshold_bar = -(threshold * latents_bar[at] + step_bar) / settings.bandwidth;
        }
        let below = settings.pre_activation / rows * (threshold - z).max(0.0);
        if below > 0.0 {
            auxiliary += below * norm;
            threshold_bar += settings.pre_activation / rows * norm;
            pre_bar[at] -= settings.pre_activation / rows * norm;
            add_norm_gradient(parameters, latent, below / norm, &mut gradient);
        }
        gradient.log_threshold[latent] += threshold_bar * threshold;
    }
    encode_backward(parameters, batch.inputs, &pre_bar, &mut gradient);
    (Loss { reconstruction, sparsity, auxiliary }, gradient)
}
