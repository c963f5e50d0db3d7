//! How close reconstructions x̂ are to the activations x they stand for; E is the mean over the positions that count.
//!
//! | metric | definition |
//! |---|---|
//! | mean squared error | E‖x − x̂‖² / d |
//! | explained variance | 1 − E‖x − x̂‖² / (E‖x‖² − ‖E x‖²) |
//! | cosine | E cos(x, x̂), over the positions where neither is zero |
//! | relative reconstruction bias | E‖x̂‖² / E[x · x̂] |
//! | shrinkage | E‖x̂‖ / E‖x‖ |
//!
//! Explained variance is that of the whole vector: the variance is the trace of the covariance, so that coordinates
//! count by their variance and a reconstruction that is the mean explains 0. The bias follows Rajamanoharan et al. 2024
//! (Gated): 1 where no rescaling of x̂ would lower the error, below 1 where x̂ is too short. For a transcoder x is what
//! it predicts.

use rayon::prelude::*;
use serde::Serialize;

use super::defined::ratio;

/// Sums over pairs of activations and reconstructions, in f64 and in order of the rows.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    width: usize,
    /// Σ x.
    target: Vec<f64>,
    sums: Sums,
}

/// What one row or many contribute.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    rows: u64,
    not_finite: u64,
    squared_target: f64,
    squared_reconstruction: f64,
    product: f64,
    squared_error: f64,
    target_norm: f64,
    reconstruction_norm: f64,
    cosine: f64,
    cosines: u64,
}

/// How close reconstructions are. What is undefined is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReconstructionMetrics {
    /// Positions.
    pub rows: u64,
    /// Positions whose activation or reconstruction has a value that is not finite; any such makes the rest undefined.
    pub rows_not_finite: u64,
    /// E‖x − x̂‖² / d.
    pub mean_squared_error: Option<f64>,
    /// 1 − E‖x − x̂‖² / (E‖x‖² − ‖E x‖²).
    pub explained_variance: Option<f64>,
    /// E cos(x, x̂).
    pub cosine: Option<f64>,
    /// E‖x̂‖² / E[x · x̂].
    pub relative_reconstruction_bias: Option<f64>,
    /// E‖x̂‖ / E‖x‖.
    pub shrinkage: Option<f64>,
}

impl Reconstruction {
    /// No rows yet, of activations of this width.
    pub fn new(width: usize) -> Self {
        Self { width, target: vec![0.0; width], sums: Sums::default() }
    }

    /// Adds activations and their reconstructions, both `[rows, width]`.
    pub fn add(&mut self, targets: &[f32], reconstructions: &[f32]) {
        let rows = targets.par_chunks_exact(self.width).zip(reconstructions.par_chunks_exact(self.width));
        let rows: Vec<Sums> = rows.map(|(target, reconstruction)| Sums::of(target, reconstruction)).collect();
        for row in &rows {
            self.sums.add(row);
        }
        for target in targets.chunks_exact(self.width) {
            self.target.iter_mut().zip(target).for_each(|(sum, &x)| *sum += f64::from(x));
        }
    }

    /// The metrics of all rows so far.
    pub fn metrics(&self) -> ReconstructionMetrics {
        let (s, rows) = (&self.sums, self.sums.rows as f64);
        let squared_mean: f64 = self.target.iter().map(|sum| (sum / rows).powi(2)).sum();
        let variance = s.squared_target / rows - squared_mean;
        // Rounding leaves something of a variance that is none.
        let varies = variance > 1e-12 * squared_mean;
        ReconstructionMetrics {
            rows: s.rows,
            rows_not_finite: s.not_finite,
            mean_squared_error: ratio(s.squared_error, rows * self.width as f64),
            explained_variance: ratio(s.squared_error / rows, variance)
                .filter(|_| varies)
                .map(|share| 1.0 - share),
            cosine: ratio(s.cosine, s.cosines as f64),
            relative_reconstruction_bias: ratio(s.squared_reconstruction, s.product),
            shrinkage: ratio(s.reconstruction_norm, s.target_norm),
        }
    }
}

impl Sums {
    fn of(target: &[f32], reconstruction: &[f32]) -> Self {
        let mut s = Self { rows: 1, ..Self::default() };
        for (&x, &y) in target.iter().zip(reconstruction) {
            let (x, y) = (f64::from(x), f64::from(y));
            s.squared_target += x * x;
            s.squared_reconstruction += y * y;
            s.product += x * y;
            s.squared_error += (x - y) * (x - y);
        }
        s.not_finite = u64::from(!(s.squared_target + s.squared_reconstruction).is_finite());
        s.target_norm = s.squared_target.sqrt();
        s.reconstruction_norm = s.squared_reconstruction.sqrt();
        let norms = s.target_norm * s.reconstruction_norm;
        if norms != 0.0 {
            (s.cosine, s.cosines) = (s.product / norms, 1);
        }
        s
    }

    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.not_finite += other.not_finite;
        self.squared_target += other.squared_target;
        self.squared_reconstruction += other.squared_reconstruction;
        self.product += other.product;
        self.squared_error += other.squared_error;
        self.target_norm += other.target_norm;
        self.reconstruction_norm += other.reconstruction_norm;
        self.cosine += other.cosine;
        self.cosines += other.cosines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::numbers;

    fn metrics(width: usize, targets: &[f32], reconstructions: &[f32]) -> ReconstructionMetrics {
        let mut reconstruction = Reconstruction::new(width);
        reconstruction.add(targets, reconstructions);
        reconstruction.metrics()
    }

    fn assert_close(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.0), "{found} is not {expected}");
    }

    #[test]
    fn two_rows_by_hand() {
        // Errors (1, 0) and (0, 1); mean (2, 2); E‖x‖² = (25 + 1) / 2.
        let found = metrics(2, &[3.0, 4.0, 1.0, 0.0], &[2.0, 4.0, 1.0, -1.0]);
        assert_eq!((found.rows, found.rows_not_finite), (2, 0));
        assert_close(found.mean_squared_error, 0.5);
        assert_close(found.explained_variance, 1.0 - 1.0 / (13.0 - 8.0));
        assert_close(found.cosine, f64::midpoint(22.0 / (5.0 * 20_f64.sqrt()), 1.0 / 2_f64.sqrt()));
        assert_close(found.relative_reconstruction_bias, 22.0 / 23.0);
        assert_close(found.shrinkage, (20_f64.sqrt() + 2_f64.sqrt()) / 6.0);
    }

    #[test]
    fn the_mean_explains_nothing_and_the_truth_everything() {
        let targets = numbers(5, 300);
        let mean: Vec<f32> = (0..3).map(|i| targets.iter().skip(i).step_by(3).sum::<f32>() / 100.0).collect();
        let found = metrics(3, &targets, &mean.repeat(100)).explained_variance.unwrap();
        assert!(found.abs() < 1e-6, "{found}");
        let found = metrics(3, &targets, &targets);
        assert_eq!((found.explained_variance, found.relative_reconstruction_bias), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn the_order_of_batches_is_all_that_matters() {
        let (targets, reconstructions) = (numbers(5, 400), numbers(6, 400));
        let mut parts = Reconstruction::new(4);
        for part in [0..100, 100..260, 260..400] {
            parts.add(&targets[part.clone()], &reconstructions[part]);
        }
        assert_eq!(parts.metrics(), metrics(4, &targets, &reconstructions));
    }

    #[test]
    fn undefined_is_undefined() {
        let none = metrics(2, &[], &[]);
        assert_eq!((none.mean_squared_error, none.explained_variance, none.cosine), (None, None, None));
        let constant = metrics(2, &[1.0, 2.0, 1.0, 2.0], &[0.0; 4]);
        assert_eq!((constant.explained_variance, constant.cosine), (None, None));
        assert_eq!(constant.relative_reconstruction_bias, None);
        assert_eq!((constant.mean_squared_error, constant.shrinkage), (Some(2.5), Some(0.0)));
        let broken = metrics(2, &[1.0, 2.0, 3.0, 1.0], &[1.0, f32::NAN, 3.0, 1.0]);
        assert_eq!((broken.rows_not_finite, broken.explained_variance), (1, None));
    }
}
