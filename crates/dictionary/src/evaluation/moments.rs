//! Mean and covariance of activations, which mean ablation and the baselines need.
//!
//! ```text
//! μ = E x        C = E x xᵀ − μ μᵀ
//! ```

use rayon::prelude::*;

/// Sums over rows in f64; the products only where they are wanted.
#[derive(Clone, Debug)]
pub struct Moments {
    width: usize,
    rows: u64,
    sum: Vec<f64>,
    /// Σ x xᵀ `[width, width]`, or nothing.
    products: Vec<f64>,
}

impl Moments {
    /// No rows yet.
    pub fn new(width: usize, covariance: bool) -> Self {
        let products = vec![0.0; if covariance { width * width } else { 0 }];
        Self { width, rows: 0, sum: vec![0.0; width], products }
    }

    /// Adds rows `[rows, width]`.
    pub fn add(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.width) {
            self.rows += 1;
            self.sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        self.products.par_chunks_exact_mut(self.width).enumerate().for_each(|(i, products)| {
            for row in rows.chunks_exact(self.width) {
                let factor = f64::from(row[i]);
                products.iter_mut().zip(row).for_each(|(sum, &x)| *sum += factor * f64::from(x));
            }
        });
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// μ `[width]`; none without rows.
    pub fn mean(&self) -> Option<Vec<f64>> {
        (self.rows > 0).then(|| self.sum.iter().map(|sum| sum / self.rows as f64).collect())
    }

    /// C `[width, width]`; none without rows or if it was not wanted.
    pub fn covariance(&self) -> Option<Vec<f64>> {
        let mean = self.mean().filter(|_| !self.products.is_empty())?;
        let mut covariance: Vec<f64> = self.products.iter().map(|sum| sum / self.rows as f64).collect();
        for (row, factor) in covariance.chunks_exact_mut(self.width).zip(&mean) {
            row.iter_mut().zip(&mean).for_each(|(value, other)| *value -= factor * other);
        }
        Some(covariance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follow_their_definition() {
        let mut moments = Moments::new(2, true);
        assert_eq!((moments.mean(), moments.covariance()), (None, None));
        moments.add(&[1.0, 2.0, 3.0, -2.0]);
        moments.add(&[2.0, 3.0]);
        assert_eq!((moments.rows(), moments.mean()), (3, Some(vec![2.0, 1.0])));
        // Deviations (−1, 1), (1, −3), (0, 2).
        let expected = [2.0 / 3.0, -4.0 / 3.0, -4.0 / 3.0, 14.0 / 3.0];
        let found = moments.covariance().unwrap();
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert_eq!(Moments::new(2, false).covariance(), None);
    }
}
