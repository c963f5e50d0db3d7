//! Percentile matching: predictions and activations of the calibration excerpts are sorted, and the prediction at a
//! rank is mapped to the activation at that rank, linearly in between and constant beyond the ends (the published
//! "percentile matching" simulator).
//!
//! Where several calibration predictions are equal, they are mapped to the mean of the activations at their ranks. The published
//! code takes the largest of these, which would turn a prediction of 0, of which there are many, into a high activation.

use super::ScoredExcerpt;

/// A monotonous map from predictions to activations.
#[derive(Debug, Clone, PartialEq)]
pub struct PercentileMatching {
    /// Predictions, each once, ascending, with the activation that each is mapped to.
    points: Vec<(f64, f64)>,
}

impl PercentileMatching {
    /// Matches all tokens of `excerpts`. `None` without tokens or when a value is not finite.
    pub fn fit(excerpts: &[ScoredExcerpt<'_>]) -> Option<Self> {
        let mut truth: Vec<f64> = excerpts.iter().flat_map(|e| e.truth).map(|y| f64::from(*y)).collect();
        let mut prediction: Vec<f64> =
            excerpts.iter().flat_map(|e| e.prediction).map(|p| f64::from(*p)).collect();
        if truth.is_empty() || truth.iter().chain(&prediction).any(|value| !value.is_finite()) {
            return None;
        }
        truth.sort_by(f64::total_cmp);
        prediction.sort_by(f64::total_cmp);
        let pairs: Vec<(f64, f64)> = prediction.into_iter().zip(truth).collect();
        let mean = |tied: &[(f64, f64)]| {
            (tied[0].0, tied.iter().map(|(_, truth)| truth).sum::<f64>() / tied.len() as f64)
        };
        Some(Self { points: pairs.chunk_by(|a, b| a.0 == b.0).map(mean).collect() })
    }

    /// The activation that matches a prediction.
    pub fn apply(&self, prediction: f64) -> f64 {
        let above = self.points.partition_point(|(from, _)| *from <= prediction);
        match (above.checked_sub(1).map(|below| self.points[below]), self.points.get(above)) {
            (Some((from, to)), Some((next_from, next_to))) => {
                to + (next_to - to) * (prediction - from) / (next_from - from)
            }
            (Some((_, to)), None) | (None, Some(&(_, to))) => to,
            // A fit has at least one point, and a prediction that is no number is below all of them.
            (None, None) => f64::NAN,
        }
    }
}
