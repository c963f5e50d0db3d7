//! JumpReLU with straight-through gradients of its thresholds (Rajamanoharan et al. 2024, arXiv 2407.14435).
//!
//! With θ = eᵗ, f = z H(z − θ), rect(u) = 1 for |u| < ½, bandwidth ε and B rows:
//!
//! ```text
//! L = (1/B) Σ_x [ ‖e‖² / (d σ²) + P(x) + λ_P Σ_i max(θ_i − z_i, 0) ‖d_i‖ ]
//!
//! ∂f/∂θ = −(θ/ε) rect((z − θ)/ε)      ∂H/∂θ = −(1/ε) rect((z − θ)/ε)
//! ∂f/∂z = H(z − θ)                    ∂H/∂z = 0
//! ```
//!
//! with P one of [`Penalty`]. The term with λ_P (Anthropic, January 2025) reaches latents that never fire.

use super::chunked::{LatentRow, LatentSums, Pointwise, Totals};
use super::parameters::Parameters;

/// What activity costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Penalty {
    /// λ Σ H(zᵢ − θᵢ), the paper's.
    Count,
    /// λ Σ tanh(c fᵢ ‖dᵢ‖) (Anthropic, January 2025).
    Tanh {
        /// c.
        steepness: f32,
    },
    /// λ (L0 / target − 1)², where L0 is the batch's mean (dictionary_learning).
    Target {
        /// The number of active latents that is wanted.
        l0: f32,
    },
}

/// What the loss consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JumpRelu {
    /// P.
    pub penalty: Penalty,
    /// λ.
    pub coefficient: f32,
    /// ε.
    pub bandwidth: f32,
    /// λ_P.
    pub pre_activation: f32,
}

/// One batch.
pub(super) struct Jump {
    settings: JumpRelu,
    bias: Vec<f32>,
    thresholds: Vec<f32>,
    /// What turns errors into gradients.
    scale: f32,
    rows: f32,
    /// Mean number of active latents, known after the forward pass.
    l0: f32,
}

impl Jump {
    /// For a batch of `rows` rows.
    ///
    /// # Panics
    /// If the parameters have no thresholds.
    pub(super) fn new(settings: JumpRelu, parameters: &Parameters, scale: f32, rows: usize) -> Self {
        let logarithms = &parameters.log_threshold.weights;
        assert_eq!(logarithms.len(), parameters.latents, "JumpReLU: the parameters have no thresholds");
        Self {
            settings,
            bias: parameters.encoder_bias.weights.clone(),
            thresholds: logarithms.iter().map(|logarithm| logarithm.exp()).collect(),
            scale,
            rows: rows as f32,
            l0: 0.0,
        }
    }

    /// ∂P/∂H: what one more active latent costs.
    fn cost_of_one(&self) -> f32 {
        let coefficient = self.settings.coefficient / self.rows;
        match self.settings.penalty {
            Penalty::Count => coefficient,
            Penalty::Tanh { .. } => 0.0,
            Penalty::Target { l0 } => 2.0 * coefficient * (self.l0 / l0 - 1.0) / l0,
        }
    }
}

impl Pointwise for Jump {
    fn activate(&self, latent: usize, projection: f32) -> f32 {
        let pre = projection + self.bias[latent];
        // Keeps what is not a number.
        if pre > self.thresholds[latent] || pre.is_nan() { pre } else { 0.0 }
    }

    fn saw(&mut self, l0: f64) {
        self.l0 = l0 as f32;
    }

    fn backward(&self, row: LatentRow<'_>) -> LatentSums {
        let JumpRelu { penalty, coefficient, bandwidth, pre_activation } = self.settings;
        let (threshold, norm) = (self.thresholds[row.latent], row.decoder_norm());
        let (one, below) = (self.cost_of_one(), pre_activation / self.rows);
        let mut sums = LatentSums::default();
        let (mut gradient, mut threshold_gradient, mut decoder) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (value, along) in row.pre.iter_mut().zip(row.along) {
            let pre = *value + self.bias[row.latent];
            let active = pre > threshold;
            let f = if active || pre.is_nan() { pre } else { 0.0 };
            *value = f;
            let mut latent_gradient = *along * self.scale;
            if let Penalty::Tanh { steepness } = penalty {
                let size = (steepness * f * norm).tanh();
                let slope = coefficient / self.rows * steepness * (1.0 - size * size);
                sums.parts[0] += f64::from(coefficient / self.rows * size);
                latent_gradient += slope * norm;
                decoder += f64::from(slope * f / norm);
            }
            let mut pre_gradient = 0.0;
            if active {
                sums.active += 1;
                pre_gradient = latent_gradient;
            }
            if ((pre - threshold) / bandwidth).abs() < 0.5 {
                threshold_gradient -= f64::from((threshold * latent_gradient + one) / bandwidth);
            }
            let missing = threshold - pre;
            if below > 0.0 && missing > 0.0 {
                sums.parts[1] += f64::from(below * missing * norm);
                threshold_gradient += f64::from(below * norm);
                pre_gradient -= below * norm;
                decoder += f64::from(below * missing / norm);
            }
            *along = pre_gradient;
            gradient += f64::from(pre_gradient);
        }
        (sums.encoder_bias, sums.projection) = (gradient as f32, gradient as f32);
        sums.decoder = decoder as f32;
        // ∂θ/∂t = θ.
        sums.own[0] = (threshold_gradient * f64::from(threshold)) as f32;
        sums
    }

    fn extra_loss(&self, totals: &Totals) -> f64 {
        let coefficient = f64::from(self.settings.coefficient);
        let sparsity = match self.settings.penalty {
            Penalty::Count => coefficient * f64::from(self.l0),
            Penalty::Tanh { .. } => totals.parts[0],
            Penalty::Target { l0 } => coefficient * (f64::from(self.l0) / f64::from(l0) - 1.0).powi(2),
        };
        sparsity + totals.parts[1]
    }
}
