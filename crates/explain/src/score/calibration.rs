//! Calibration: maps the scale of a prediction to the unit's own, so that R² and the absolute deviation mean something.
//!
//! Linear is `y ≈ slope · p + intercept`, by ordinary least squares over the calibration excerpts; percentile matching is
//! in a file of its own; none leaves predictions as they are. A calibration is
//! fitted on the calibration split only and applied to the scored split (Bills et al. 2023, "Scoring", calibrate on
//! the scored excerpts themselves; that would make R² equal to the squared correlation by construction).

use super::{PercentileMatching, ScoredExcerpt};

/// A map from predictions to activations.
#[derive(Debug, Clone, PartialEq)]
pub enum Calibration {
    /// Predictions are activations already.
    None,
    /// An affine map.
    Linear {
        /// Activation per unit of prediction.
        slope: f64,
        /// Activation where the prediction is zero.
        intercept: f64,
    },
    /// [`PercentileMatching`]
    Percentile(PercentileMatching),
}

impl Calibration {
    /// Least squares over all tokens of `excerpts`. A constant prediction gives slope 0 and the mean activation as the
    /// intercept. `None` without tokens or when a value is not finite.
    pub fn linear(excerpts: &[ScoredExcerpt<'_>]) -> Option<Self> {
        let pairs = || {
            let tokens = excerpts.iter().flat_map(|excerpt| excerpt.truth.iter().zip(excerpt.prediction));
            tokens.map(|(truth, prediction)| (f64::from(*truth), f64::from(*prediction)))
        };
        let count = pairs().count() as f64;
        if count == 0.0 {
            return None;
        }
        let mean_truth = pairs().map(|(truth, _)| truth).sum::<f64>() / count;
        let mean_prediction = pairs().map(|(_, prediction)| prediction).sum::<f64>() / count;
        let (mut covariance, mut variance, mut power) = (0.0, 0.0, 0.0);
        for (truth, prediction) in pairs() {
            let deviation = prediction - mean_prediction;
            covariance += (truth - mean_truth) * deviation;
            variance += deviation * deviation;
            power += prediction * prediction;
        }
        let slope = if variance <= 1e-12 * power { 0.0 } else { covariance / variance };
        let intercept = mean_truth - slope * mean_prediction;
        (slope.is_finite() && intercept.is_finite()).then_some(Self::Linear { slope, intercept })
    }

    /// Percentile matching over all tokens of `excerpts`. `None` without tokens or when a value is not finite.
    pub fn percentile(excerpts: &[ScoredExcerpt<'_>]) -> Option<Self> {
        PercentileMatching::fit(excerpts).map(Self::Percentile)
    }

    /// The calibrated prediction.
    pub fn apply(&self, prediction: f64) -> f64 {
        match self {
            Self::None => prediction,
            Self::Linear { slope, intercept } => slope * prediction + intercept,
            Self::Percentile(matching) => matching.apply(prediction),
        }
    }

    /// The calibrated predictions `[token]`.
    pub fn apply_all(&self, predictions: &[f32]) -> Vec<f32> {
        predictions.iter().map(|prediction| self.apply(f64::from(*prediction)) as f32).collect()
    }
}
