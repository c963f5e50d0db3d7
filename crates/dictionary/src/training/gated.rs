//! Gated dictionaries (Rajamanoharan et al. 2024, arXiv 2404.16014).
//!
//! ```text
//! π = E (u − s b_d),   g = π + b_e,   m = eʳ π + b_mag
//! f = H(g) max(m, 0)
//! L = (1/B) Σ_x [ (‖e‖² + ‖⌊D⌋ᵀ max(g, 0) + ⌊b_d⌋ + S u − y‖²) / (d σ²) + λ Σ_i max(g_i, 0) ]
//! ```
//!
//! H passes no gradient: the gate learns from the last two terms alone, in which ⌊·⌋ is taken as given.

use super::chunked::{LatentRow, LatentSums, Pointwise, Totals};
use super::parameters::Parameters;

/// One batch.
pub(super) struct Gate {
    bias: Vec<f32>,
    magnitude_scales: Vec<f32>,
    magnitude_bias: Vec<f32>,
    /// What turns errors into gradients.
    scale: f32,
    /// λ / B.
    penalty: f32,
}

impl Gate {
    /// For a batch of `rows` rows.
    ///
    /// # Panics
    /// If the parameters have no gates.
    pub(super) fn new(coefficient: f32, parameters: &Parameters, scale: f32, rows: usize) -> Self {
        let logarithms = &parameters.log_magnitude_scale.weights;
        assert_eq!(logarithms.len(), parameters.latents, "gated: the parameters have no gates");
        Self {
            bias: parameters.encoder_bias.weights.clone(),
            magnitude_scales: logarithms.iter().map(|logarithm| logarithm.exp()).collect(),
            magnitude_bias: parameters.magnitude_bias.weights.clone(),
            scale,
            penalty: coefficient / rows as f32,
        }
    }
}

impl Pointwise for Gate {
    const GATED: bool = true;

    fn activate(&self, latent: usize, projection: f32) -> f32 {
        if projection + self.bias[latent] <= 0.0 {
            return 0.0;
        }
        // Keeps what is not a number.
        let magnitude = self.magnitude_scales[latent] * projection + self.magnitude_bias[latent];
        if magnitude > 0.0 || magnitude.is_nan() { magnitude } else { 0.0 }
    }

    fn gate(&self, latent: usize, projection: f32) -> f32 {
        (projection + self.bias[latent]).max(0.0)
    }

    fn backward(&self, row: LatentRow<'_>) -> LatentSums {
        let scale = self.magnitude_scales[row.latent];
        let mut sums = LatentSums::default();
        let (mut gate_bias, mut projected) = (0.0_f64, 0.0_f64);
        let (mut magnitude_scale, mut magnitude_bias) = (0.0_f64, 0.0_f64);
        for ((value, along), gate_along) in row.pre.iter_mut().zip(row.along).zip(row.gate_along) {
            let projection = *value;
            let open = self.gate(row.latent, projection);
            let f = self.activate(row.latent, projection);
            let mut gradient = 0.0;
            if open > 0.0 {
                sums.parts[0] += f64::from(open);
                gradient = gate_along * self.scale + self.penalty;
                gate_bias += f64::from(gradient);
            }
            if f > 0.0 {
                sums.active += 1;
                let latent_gradient = *along * self.scale;
                magnitude_scale += f64::from(latent_gradient * scale * projection);
                magnitude_bias += f64::from(latent_gradient);
                gradient += latent_gradient * scale;
            }
            *value = f;
            *along = gradient;
            projected += f64::from(gradient);
        }
        (sums.encoder_bias, sums.projection) = (gate_bias as f32, projected as f32);
        sums.own = [magnitude_scale as f32, magnitude_bias as f32];
        sums
    }

    fn extra_loss(&self, totals: &Totals) -> f64 {
        f64::from(self.penalty) * totals.parts[0] + totals.gate_loss
    }
}
