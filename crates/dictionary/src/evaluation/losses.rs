//! What the model's next-token prediction loses when a reconstruction takes the place of the activations.
//!
//! With L the mean next-token cross-entropy and D the mean KL(p ‖ p′) of the model's distribution p to the changed
//! model's p′, both in nats:
//!
//! | run | the hook point holds |
//! |---|---|
//! | clean | the activations x |
//! | spliced | the reconstructions x̂ |
//! | zero | 0 (zero ablation) |
//! | mean | E x over other text (mean ablation) |
//!
//! ```text
//! loss recovered = (L_ablated − L_spliced) / (L_ablated − L_clean)     Bricken et al. 2023, with zero ablation
//! KL recovered   = (D_ablated − D_spliced) / D_ablated
//! ```
//!
//! A loss recovered is undefined where the ablation does not raise the loss. Zero ablation often breaks the model so
//! thoroughly that everything looks good beside it; hence the losses themselves.

use glossator_kernels::log_softmax;
use rayon::prelude::*;
use serde::Serialize;

use super::defined::ratio;

/// Sums over predictions, in f64.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSums {
    /// Predictions.
    pub tokens: u64,
    /// Σ −ln p′(next token).
    pub cross_entropy: f64,
    /// Σ KL(p ‖ p′).
    pub divergence: f64,
}

/// The loss of one kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunLoss {
    /// Mean next-token cross-entropy, nats.
    pub cross_entropy: Option<f64>,
    /// Mean KL(p ‖ p′), nats.
    pub divergence: Option<f64>,
}

/// What a reconstruction costs the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LossMetrics {
    /// Predictions.
    pub tokens: u64,
    /// The model as it is.
    pub clean: RunLoss,
    /// With the reconstruction.
    pub spliced: RunLoss,
    /// With zeros.
    pub zero_ablated: RunLoss,
    /// With the mean.
    pub mean_ablated: RunLoss,
    /// L_spliced − L_clean, nats.
    pub loss_increase: Option<f64>,
    /// Loss recovered against zero ablation.
    pub loss_recovered_zero: Option<f64>,
    /// Loss recovered against mean ablation.
    pub loss_recovered_mean: Option<f64>,
    /// KL recovered against zero ablation.
    pub divergence_recovered_zero: Option<f64>,
    /// KL recovered against mean ablation.
    pub divergence_recovered_mean: Option<f64>,
}

/// The log-probabilities of a clean run, against which changed runs are held.
pub struct CleanRun {
    vocabulary: usize,
    /// `[row, vocabulary]`; logits still where nothing is predicted.
    log_probabilities: Vec<f32>,
    /// The row that predicts, and the token that follows.
    predictions: Vec<(usize, u32)>,
}

impl CleanRun {
    /// From the logits `[rows, vocabulary]` of a batch and the predictions that count, rising.
    pub fn new(logits: Vec<f32>, vocabulary: usize, predictions: Vec<(usize, u32)>) -> Self {
        let log_probabilities = log_probabilities(logits, vocabulary, &predictions);
        Self { vocabulary, log_probabilities, predictions }
    }

    /// The losses of the clean run itself; it diverges from nothing.
    pub fn losses(&self) -> LossSums {
        let entropy = |(row, next): &(usize, u32)| -f64::from(self.row(*row)[*next as usize]);
        let cross_entropy = self.predictions.iter().map(entropy).sum();
        LossSums { tokens: self.predictions.len() as u64, cross_entropy, divergence: 0.0 }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.log_probabilities[row * self.vocabulary..][..self.vocabulary]
    }

    /// The losses of a changed run of the same batch with these logits `[rows, vocabulary]`.
    pub fn compare(&self, logits: Vec<f32>) -> LossSums {
        let changed = Self::new(logits, self.vocabulary, self.predictions.clone());
        let each: Vec<(f64, f64)> = self
            .predictions
            .par_iter()
            .map(|(row, next)| {
                let (clean, changed) = (self.row(*row), changed.row(*row));
                (-f64::from(changed[*next as usize]), divergence(clean, changed))
            })
            .collect();
        let mut sums = LossSums { tokens: each.len() as u64, ..LossSums::default() };
        for (cross_entropy, divergence) in each {
            sums.cross_entropy += cross_entropy;
            sums.divergence += divergence;
        }
        sums
    }
}

/// The log-softmax of the rows that predict, in place: moving rows of so many logits together would keep one core busy
/// and the others waiting.
fn log_probabilities(mut logits: Vec<f32>, vocabulary: usize, predictions: &[(usize, u32)]) -> Vec<f32> {
    let mut predicts = vec![false; logits.len() / vocabulary];
    predictions.iter().for_each(|(row, _)| predicts[*row] = true);
    let rows = logits.par_chunks_exact_mut(vocabulary).zip(&predicts);
    rows.filter(|(_, predicts)| **predicts).for_each(|(row, _)| log_softmax(row));
    logits
}

/// KL(p ‖ p′) = Σ p (ln p − ln p′) of two rows of log-probabilities.
fn divergence(clean: &[f32], changed: &[f32]) -> f64 {
    let term = |(p, q): (&f32, &f32)| f64::from(p.exp()) * (f64::from(*p) - f64::from(*q));
    clean.iter().zip(changed).map(term).sum()
}

impl LossSums {
    /// Adds those of other predictions.
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.cross_entropy += other.cross_entropy;
        self.divergence += other.divergence;
    }

    fn mean(&self) -> RunLoss {
        let tokens = self.tokens as f64;
        RunLoss {
            cross_entropy: ratio(self.cross_entropy, tokens),
            divergence: ratio(self.divergence, tokens),
        }
    }
}

impl LossMetrics {
    /// From the sums of the four runs over the same predictions.
    pub fn new(clean: &LossSums, spliced: &LossSums, zero: &LossSums, mean: &LossSums) -> Self {
        Self::of_runs(clean.tokens, [clean, spliced, zero, mean].map(LossSums::mean))
    }

    /// The same with another reconstruction in place, over the same predictions.
    pub(super) fn with_spliced(&self, spliced: &LossSums) -> Self {
        Self::of_runs(self.tokens, [self.clean, spliced.mean(), self.zero_ablated, self.mean_ablated])
    }

    fn of_runs(tokens: u64, [clean, spliced, zero, mean]: [RunLoss; 4]) -> Self {
        let loss_recovered = |ablated: &RunLoss| {
            let (ablated, clean) = (ablated.cross_entropy?, clean.cross_entropy?);
            ratio(ablated - spliced.cross_entropy?, ablated - clean).filter(|_| ablated > clean)
        };
        let divergence_recovered =
            |ablated: &RunLoss| ratio(ablated.divergence? - spliced.divergence?, ablated.divergence?);
        Self {
            tokens,
            clean,
            spliced,
            zero_ablated: zero,
            mean_ablated: mean,
            loss_increase: spliced
                .cross_entropy
                .zip(clean.cross_entropy)
                .map(|(spliced, clean)| spliced - clean),
            loss_recovered_zero: loss_recovered(&zero),
            loss_recovered_mean: loss_recovered(&mean),
            divergence_recovered_zero: divergence_recovered(&zero),
            divergence_recovered_mean: divergence_recovered(&mean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-6
    }

    #[test]
    fn two_predictions_by_hand() {
        // p = (½, ½) and (¼, ¾); p′ = (¼, ¾) and (½, ½). The row between them does not count.
        let third = 3_f32.ln();
        let clean = vec![0.0, 0.0, 9.0, 9.0, 0.0, third];
        let changed = vec![0.0, third, 1.0, 2.0, 0.0, 0.0];
        let run = CleanRun::new(clean, 2, vec![(0, 1), (2, 0)]);
        let (two, four) = (2_f64.ln(), 4_f64.ln());
        assert_eq!(run.losses().tokens, 2);
        assert!(close(run.losses().cross_entropy, two + four));
        let losses = run.compare(changed);
        assert!(close(losses.cross_entropy, (4.0_f64 / 3.0).ln() + two));
        let first = 0.5 * 2_f64.ln() + 0.5 * (2.0_f64 / 3.0).ln();
        let second = 0.25 * 0.5_f64.ln() + 0.75 * 1.5_f64.ln();
        assert!(close(losses.divergence, first + second));
    }

    #[test]
    fn loss_recovered_follows_its_definition() {
        let sums = |cross_entropy: f64, divergence: f64| LossSums { tokens: 2, cross_entropy, divergence };
        let metrics = LossMetrics::new(&sums(4.0, 0.0), &sums(5.0, 0.5), &sums(14.0, 5.0), &sums(8.0, 1.0));
        assert_eq!((metrics.loss_recovered_zero, metrics.loss_recovered_mean), (Some(0.9), Some(0.75)));
        assert_eq!(
            (metrics.divergence_recovered_zero, metrics.divergence_recovered_mean),
            (Some(0.9), Some(0.5))
        );
        assert_eq!((metrics.loss_increase, metrics.clean.cross_entropy), (Some(0.5), Some(2.0)));
        // An ablation that helps the model recovers nothing that could be measured.
        let metrics = LossMetrics::new(&sums(4.0, 0.0), &sums(5.0, 0.5), &sums(3.0, 0.0), &sums(4.0, 1.0));
        assert_eq!((metrics.loss_recovered_zero, metrics.loss_recovered_mean), (None, None));
        assert_eq!(metrics.divergence_recovered_zero, None);
        let nothing = LossSums::default();
        assert_eq!(LossMetrics::new(&nothing, &nothing, &nothing, &nothing).loss_increase, None);
    }
}
