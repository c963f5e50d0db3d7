//! p-annealing (Karvonen et al. 2024), and ReLU with L1, which is where it begins.
//!
//! ```text
//! f = max(z, 0)
//! L = (1/B) Σ_x [ ‖e‖² / (d σ²) + λ Σ_i w_i f_iᵖ ]        w_i = 1, or ‖d_i‖ for L1 by decoder norm
//! ```
//!
//! From a step on, p falls from 1 to its end in equal moves. At each, λ is multiplied by Σ fᵖ / Σ fᵖ' over the last ten
//! batches, so that the penalty goes on with the value it had.

use super::chunked::{LatentRow, LatentSums, Pointwise, Totals};
use super::parameters::Parameters;
use super::progress::{Exact, Progress};

/// Batches that the new coefficient is computed from.
const RECENT: usize = 10;

/// How p falls, and what the penalty weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Annealing {
    /// λ, as long as p is 1.
    pub coefficient: f32,
    /// The last p.
    pub end: f64,
    /// Moves from 1 to there.
    pub moves: u64,
    /// Steps before the first move.
    pub start: u64,
    /// Steps of the run.
    pub steps: u64,
}

impl Annealing {
    /// The moves made before step `step`, counted from 1.
    fn moved(&self, step: u64) -> u64 {
        let (done, all) = (step - 1, self.steps.saturating_sub(self.start).max(1));
        (done.saturating_sub(self.start).min(all) * self.moves) / all
    }

    /// p after some moves.
    fn exponent(&self, moves: u64) -> f64 {
        1.0 + (self.end - 1.0) * moves.min(self.moves) as f64 / self.moves.max(1) as f64
    }

    /// Moves on to the p of step `step`, and returns p, the p after it, and λ.
    pub(super) fn advance(&self, progress: &mut Progress, step: u64) -> (f64, f64, f32) {
        let moves = self.moved(step);
        if moves > progress.annealed {
            let sum = |which: usize| progress.recent.iter().map(|sums| sums[which].0).sum::<f64>();
            if sum(1) > 0.0 {
                progress.rescaled = Exact((progress.rescaled.0 + 1.0) * sum(0) / sum(1) - 1.0);
            }
            progress.recent.clear();
            progress.annealed = moves;
        }
        let coefficient = f64::from(self.coefficient) * (progress.rescaled.0 + 1.0);
        (self.exponent(moves), self.exponent(moves + 1), coefficient as f32)
    }
}

/// Remembers Σ fᵖ of a batch, for the present p and the next.
pub(super) fn remember(progress: &mut Progress, sums: [f64; 2]) {
    if progress.recent.len() == RECENT {
        progress.recent.remove(0);
    }
    progress.recent.push(sums.map(Exact));
}

/// max(z, 0), with a power of it as the penalty.
pub(super) struct Power {
    bias: Vec<f32>,
    /// p, and the p that follows.
    exponents: [f64; 2],
    by_decoder_norm: bool,
    /// What turns errors into gradients.
    scale: f32,
    /// λ / B.
    penalty: f32,
}

impl Power {
    /// For a batch of `rows` rows.
    pub(super) fn new(
        parameters: &Parameters,
        exponents: [f64; 2],
        coefficient: f32,
        by_decoder_norm: bool,
        scale: f32,
        rows: usize,
    ) -> Self {
        let bias = parameters.encoder_bias.weights.clone();
        Self { bias, exponents, by_decoder_norm, scale, penalty: coefficient / rows as f32 }
    }
}

impl Pointwise for Power {
    fn activate(&self, latent: usize, projection: f32) -> f32 {
        let pre = projection + self.bias[latent];
        // Keeps what is not a number.
        if pre > 0.0 || pre.is_nan() { pre } else { 0.0 }
    }

    fn backward(&self, row: LatentRow<'_>) -> LatentSums {
        let mut sums = LatentSums::default();
        let norm = if self.by_decoder_norm { row.decoder_norm() } else { 1.0 };
        let [p, next] = self.exponents;
        let (mut gradient, mut along_decoder) = (0.0_f64, 0.0_f64);
        for (value, along) in row.pre.iter_mut().zip(row.along) {
            let f = self.activate(row.latent, *value);
            *value = f;
            if f > 0.0 {
                let (power, slope) = if p == 1.0 {
                    (f64::from(f), 1.0)
                } else {
                    let power = f64::from(f).powf(p);
                    (power, p * power / f64::from(f))
                };
                *along = *along * self.scale + self.penalty * norm * slope as f32;
                gradient += f64::from(*along);
                sums.active += 1;
                sums.parts[0] += f64::from(norm) * power;
                sums.parts[1] += if next == p { power } else { f64::from(f).powf(next) };
                along_decoder += power;
            } else {
                *along = 0.0;
            }
        }
        if self.by_decoder_norm {
            // ∂‖d‖/∂d = d / ‖d‖.
            sums.decoder = self.penalty * along_decoder as f32 / norm.max(f32::MIN_POSITIVE);
        }
        (sums.encoder_bias, sums.projection) = (gradient as f32, gradient as f32);
        sums
    }

    fn extra_loss(&self, totals: &Totals) -> f64 {
        f64::from(self.penalty) * totals.parts[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::p_annealing;

    #[test]
    fn p_falls_as_published_and_the_penalty_goes_on_with_its_value() {
        let annealing = Annealing { coefficient: 0.1, end: 0.2, moves: 5, start: 2, steps: 12 };
        let mut progress = Progress::default();
        for step in 1..=12 {
            let (p, next, coefficient) = annealing.advance(&mut progress, step);
            let expected = p_annealing::exponent((step as usize - 1).saturating_sub(2), 10, 5, 0.2);
            assert!((p - expected).abs() < 1e-12, "step {step}: {p} or {expected}");
            assert!(next <= p);
            let sum = |p: f64| [0.3_f64, 2.0, 1.1].map(|f| f.powf(p)).iter().sum::<f64>();
            assert!((f64::from(coefficient) * sum(p) - 0.1 * sum(1.0)).abs() < 1e-6, "step {step}");
            remember(&mut progress, [sum(p), sum(next)]);
        }
        assert_eq!(progress.annealed, 4);
    }
}
