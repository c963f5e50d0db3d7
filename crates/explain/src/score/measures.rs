//! The measures, each a function of sums over tokens (`y` truth, `p` prediction, `c` calibrated prediction):
//!
//! - correlation `r = Σ(y−ȳ)(p−p̄) / √(Σ(y−ȳ)² Σ(p−p̄)²)`; undefined where either side is constant;
//! - R² `= 1 − Σ(y−c)² / Σ(y−ȳ)²`, centred; undefined where the truth is constant;
//! - absolute deviation explained `= 1 − Σ|y−c| / Σ|y|`; undefined where the truth is zero throughout;
//! - firing at half maximum (`y ≥ m/2`, predicted `p ≥ m/2`, `m` the unit's recorded maximum, `p` uncalibrated):
//!   precision `= hits / predicted` and recall `= hits / fired`, each undefined where its denominator is zero, and
//!   `F1 = 2·hits / (predicted + fired)`, undefined where both are zero. Where the unit fires but nothing is predicted
//!   to, precision is undefined while recall and F1 are 0. A unit with `m ≤ 0` never fires.
//!
//! A value that is not finite anywhere in the excerpts leaves every measure it enters undefined.

use serde::{Deserialize, Serialize};

use super::{Interval, Resampling, Sums};

/// One measure: its value, and a 95 % bootstrap interval where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Estimate {
    /// The measure over all scoring excerpts; `None` where it is undefined.
    pub value: Option<f64>,
    /// The interval; `None` where too few resamples are defined.
    pub interval: Option<Interval>,
}

/// All measures over one set of excerpts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measures {
    /// Number of excerpts scored.
    pub excerpts: usize,
    /// Pearson correlation of truth and prediction.
    pub correlation: Estimate,
    /// Share of the variance explained by the calibrated prediction.
    pub r_squared: Estimate,
    /// Share of the absolute activation explained by the calibrated prediction.
    pub absolute_deviation: Estimate,
    /// Share of predicted firings that are true.
    pub precision: Estimate,
    /// Share of true firings that are predicted.
    pub recall: Estimate,
    /// Harmonic mean of precision and recall.
    pub f1: Estimate,
}

/// The measures in the order of [`point`]'s array.
const MEASURES: usize = 6;

impl Measures {
    pub(super) fn with_intervals(top: &[Sums], random: &[Sums], resampling: &Resampling) -> Self {
        let mut sums = Sums::default();
        top.iter().chain(random).for_each(|excerpt| sums += excerpt);
        let values = point(&sums);
        let mut resamples: [Vec<f64>; MEASURES] =
            std::array::from_fn(|_| Vec::with_capacity(resampling.count()));
        resampling.for_each(top, random, |sums| {
            for (defined, value) in resamples.iter_mut().zip(point(sums)) {
                defined.extend(value);
            }
        });
        let mut estimates = values.into_iter().zip(&mut resamples).map(|(value, defined)| Estimate {
            value,
            interval: value.and_then(|_| Interval::of(defined, resampling.count())),
        });
        let mut next = || estimates.next().unwrap_or_default();
        Self {
            excerpts: top.len() + random.len(),
            correlation: next(),
            r_squared: next(),
            absolute_deviation: next(),
            precision: next(),
            recall: next(),
            f1: next(),
        }
    }
}

fn point(sums: &Sums) -> [Option<f64>; MEASURES] {
    let truth_variance = centred(sums.truth_squared, sums.truth, sums.truth, sums.tokens);
    let prediction_variance = centred(sums.prediction_squared, sums.prediction, sums.prediction, sums.tokens);
    let covariance = sums.product - sums.truth * sums.prediction / sums.tokens;
    [
        truth_variance
            .zip(prediction_variance)
            .and_then(|(y, p)| finite((covariance / (y * p).sqrt()).clamp(-1.0, 1.0))),
        truth_variance.and_then(|y| finite(1.0 - sums.residual_squared / y)),
        ratio(sums.residual_absolute, sums.truth_absolute).map(|share| 1.0 - share),
        ratio(sums.hits, sums.predicted),
        ratio(sums.hits, sums.fired),
        ratio(2.0 * sums.hits, sums.predicted + sums.fired),
    ]
}

/// `Σ(x−x̄)²` where it is more than rounding error; `None` for a constant.
fn centred(squares: f64, left: f64, right: f64, tokens: f64) -> Option<f64> {
    let centred = squares - left * right / tokens;
    (centred > 1e-12 * squares && centred.is_finite()).then_some(centred)
}

fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    if denominator > 0.0 { finite(numerator / denominator) } else { None }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
