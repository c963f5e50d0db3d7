//! Per-excerpt sufficient statistics: every measure is a function of sums over tokens.
//!
//! A bootstrap resample of excerpts is then a sum of a few numbers per excerpt instead of a pass over all tokens.
//! Truth and prediction are shifted by one constant each before squaring, which changes no measure and avoids
//! cancellation.

use std::ops::AddAssign;

use super::{Calibration, ScoredExcerpt};

/// The constants by which truth and prediction are shifted: their means over all scoring excerpts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Centre {
    truth: f64,
    prediction: f64,
}

impl Centre {
    pub(super) fn of(excerpts: &[ScoredExcerpt<'_>]) -> Self {
        let tokens: usize = excerpts.iter().map(|excerpt| excerpt.truth.len()).sum();
        let mean = |values: fn(&ScoredExcerpt<'_>) -> f64| {
            if tokens == 0 { 0.0 } else { excerpts.iter().map(values).sum::<f64>() / tokens as f64 }
        };
        Self {
            truth: mean(|excerpt| total(excerpt.truth)),
            prediction: mean(|excerpt| total(excerpt.prediction)),
        }
    }
}

fn total(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value)).sum()
}

/// Sums over the tokens of one or more excerpts (`y` truth, `p` prediction, both shifted; `c` calibrated prediction).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Number of tokens.
    pub tokens: f64,
    /// Σ y
    pub truth: f64,
    /// Σ p
    pub prediction: f64,
    /// Σ y²
    pub truth_squared: f64,
    /// Σ p²
    pub prediction_squared: f64,
    /// Σ y·p
    pub product: f64,
    /// Σ (y − c)², NaN without a calibration
    pub residual_squared: f64,
    /// Σ |y − c|, NaN without a calibration
    pub residual_absolute: f64,
    /// Σ |y| of the unshifted truth
    pub truth_absolute: f64,
    /// Tokens where the unit fires and was predicted to.
    pub hits: f64,
    /// Tokens where the unit fires.
    pub fired: f64,
    /// Tokens where the unit was predicted to fire.
    pub predicted: f64,
}

impl Sums {
    pub(super) fn of(
        excerpt: ScoredExcerpt<'_>,
        centre: Centre,
        calibration: Option<&Calibration>,
        maximum: f32,
    ) -> Self {
        assert_eq!(excerpt.truth.len(), excerpt.prediction.len(), "one prediction per token");
        let threshold = f64::from(maximum) / 2.0;
        let mut sums = Self { tokens: excerpt.truth.len() as f64, ..Self::default() };
        for (&truth, &prediction) in excerpt.truth.iter().zip(excerpt.prediction) {
            let (truth, prediction) = (f64::from(truth), f64::from(prediction));
            let residual = calibration.map_or(f64::NAN, |calibration| truth - calibration.apply(prediction));
            sums.residual_squared += residual * residual;
            sums.residual_absolute += residual.abs();
            sums.truth_absolute += truth.abs();
            // A unit that never rises above zero has no maximum to fire at.
            let (fires, predicted) =
                (threshold > 0.0 && truth >= threshold, threshold > 0.0 && prediction >= threshold);
            sums.hits += f64::from(fires && predicted);
            sums.fired += f64::from(fires);
            sums.predicted += f64::from(predicted);
            let (y, p) = (truth - centre.truth, prediction - centre.prediction);
            sums.truth += y;
            sums.prediction += p;
            sums.truth_squared += y * y;
            sums.prediction_squared += p * p;
            sums.product += y * p;
        }
        sums
    }

    /// Whether every sum is a finite number.
    pub(super) fn is_finite(&self) -> bool {
        let counts = [self.tokens, self.hits, self.fired, self.predicted];
        let sums = [self.truth, self.prediction, self.truth_squared, self.prediction_squared, self.product];
        let residuals = [self.residual_squared, self.residual_absolute, self.truth_absolute];
        counts.iter().chain(&sums).chain(&residuals).all(|sum| sum.is_finite())
    }

    /// Adds another excerpt's sums `times` over, as a bootstrap resample does.
    pub(super) fn add(&mut self, other: &Self, times: f64) {
        self.tokens += times * other.tokens;
        self.truth += times * other.truth;
        self.prediction += times * other.prediction;
        self.truth_squared += times * other.truth_squared;
        self.prediction_squared += times * other.prediction_squared;
        self.product += times * other.product;
        self.residual_squared += times * other.residual_squared;
        self.residual_absolute += times * other.residual_absolute;
        self.truth_absolute += times * other.truth_absolute;
        self.hits += times * other.hits;
        self.fired += times * other.fired;
        self.predicted += times * other.predicted;
    }
}

impl AddAssign<&Sums> for Sums {
    fn add_assign(&mut self, other: &Sums) {
        self.add(other, 1.0);
    }
}
