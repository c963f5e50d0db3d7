//! Adam (Kingma & Ba 2015, algorithm 1) on a slice of weights, and the unit-norm constraint on decoder rows.
//!
//! m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  w ← w − η · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
//!
//! Moments of rows that get no gradient decay geometrically; below 10⁻³⁰ they are set to 0, as numbers below the
//! normal range slow the processor down a hundredfold and no weight in f32 can feel them.

use crate::multiversion::multiversion;
use crate::reduce;

/// Adam's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    pub epsilon: f64,
}

/// Adam at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// β and 1 − β, each rounded from f64.
    first: [f32; 2],
    second: [f32; 2],
    /// η / (1 − β₁ᵗ).
    rate: f32,
    /// 1 / √(1 − β₂ᵗ).
    root_scale: f32,
    epsilon: f32,
}

/// A slice of weights' moments, each as long as the weights.
#[derive(Debug)]
pub struct Moments<'a> {
    /// The mean gradient.
    pub mean: &'a mut [f32],
    /// The mean squared gradient.
    pub square: &'a mut [f32],
}

impl Adam {
    /// The update of step `step`, counted from 1, with learning rate `rate`.
    ///
    /// # Panics
    /// If `step` is 0.
    pub fn step(&self, step: u64, rate: f64) -> AdamStep {
        assert!(step > 0, "Adam counts steps from 1");
        let decayed = |beta: f64| 1.0 - beta.powf(step as f64);
        let pair = |beta: f64| [beta as f32, (1.0 - beta) as f32];
        AdamStep {
            first: pair(self.beta1),
            second: pair(self.beta2),
            rate: (rate / decayed(self.beta1)) as f32,
            root_scale: (1.0 / decayed(self.beta2).sqrt()) as f32,
            epsilon: self.epsilon as f32,
        }
    }
}

impl AdamStep {
    /// Updates `weights` and their moments by `gradient`.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn apply(&self, weights: &mut [f32], moments: Moments<'_>, gradient: &[f32]) {
        update(*self, weights, moments, gradient);
    }
}

/// Mean gradients below this are 0.
const SMALLEST: f32 = 1e-30;

multiversion! {
    fn update(step: AdamStep, weights: &mut [f32], moments: Moments<'_>, gradient: &[f32]) {
        let Moments { mean, square } = moments;
        let count = weights.len();
        assert!(
            mean.len() == count && square.len() == count && gradient.len() == count,
            "Adam: lengths differ"
        );
        let ([beta1, rest1], [beta2, rest2]) = (step.first, step.second);
        for (((w, m), v), g) in weights.iter_mut().zip(mean).zip(square).zip(gradient) {
            let first = g.mul_add(rest1, beta1 * *m);
            let first = if first.abs() < SMALLEST { 0.0 } else { first };
            let second = (g * rest2).mul_add(*g, beta2 * *v);
            let second = if second < f32::MIN_POSITIVE { 0.0 } else { second };
            *m = first;
            *v = second;
            *w -= step.rate * first / second.sqrt().mul_add(step.root_scale, step.epsilon);
        }
    }
}

multiversion! {
    /// Takes out of `gradient` its component along `direction`, a unit vector: g ← g − (g · d) d.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn remove_parallel(gradient: &mut [f32], direction: &[f32]) {
        assert_eq!(gradient.len(), direction.len(), "remove_parallel: lengths differ");
        let along = reduce::dot(gradient, direction);
        for (g, d) in gradient.iter_mut().zip(direction) {
            *g = d.mul_add(-along, *g);
        }
    }
}

multiversion! {
    /// Scales `row` to unit length; a row of zeros stays. Returns the length it had.
    pub fn normalise(row: &mut [f32]) -> f32 {
        let length = reduce::dot(row, row).sqrt();
        if length > 0.0 {
            let scale = 1.0 / length;
            for value in row {
                *value *= scale;
            }
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADAM: Adam = Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    proptest! {
        /// Several steps against the algorithm in f64.
        #[test]
        fn agrees_with_the_algorithm(gradients in prop::collection::vec(-3.0_f32..3.0, 8 * 21), rate in 1e-4_f64..0.1) {
            let (mut w, mut m, mut v) = (vec![0.5_f32; 21], vec![0.0; 21], vec![0.0; 21]);
            let mut reference = vec![(0.5_f64, 0.0_f64, 0.0_f64); 21];
            for (index, gradient) in gradients.chunks_exact(21).enumerate() {
                let step = ADAM.step(index as u64 + 1, rate);
                step.apply(&mut w, Moments { mean: &mut m, square: &mut v }, gradient);
                let (beta1, beta2) = (ADAM.beta1, ADAM.beta2);
                for ((rw, rm, rv), g) in reference.iter_mut().zip(gradient) {
                    let g = f64::from(*g);
                    *rm = beta1 * *rm + (1.0 - beta1) * g;
                    *rv = beta2 * *rv + (1.0 - beta2) * g * g;
                    let t = index as i32 + 1;
                    let root = (*rv / (1.0 - beta2.powi(t))).sqrt() + ADAM.epsilon;
                    *rw -= rate * (*rm / (1.0 - beta1.powi(t))) / root;
                }
            }
            for ((w, m), (rw, rm, _)) in w.iter().zip(&m).zip(&reference) {
                prop_assert!((f64::from(*w) - rw).abs() <= 1e-5 * rate + 1e-6, "{w} {rw}");
                prop_assert!((f64::from(*m) - rm).abs() <= 1e-6);
            }
        }

        #[test]
        fn constraint_leaves_no_parallel_part(mut row in prop::collection::vec(-1.0_f32..1.0, 1..90)) {
            row[0] += 2.0;
            let mut gradient: Vec<f32> = row.iter().map(|v| v * 3.0 + 1.0).collect();
            let length = normalise(&mut row);
            prop_assert!(length > 0.9);
            let norm: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum();
            prop_assert!((norm - 1.0).abs() < 1e-5);
            remove_parallel(&mut gradient, &row);
            let along: f64 = gradient.iter().zip(&row).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            prop_assert!(along.abs() < 1e-4, "{along}");
        }
    }

    #[test]
    fn idle_moments_end_at_zero_and_weights_stay() {
        let (mut w, mut m, mut v) = ([1.0_f32], [1e-29_f32], [1e-40_f32]);
        let step = ADAM.step(1000, 1e-3);
        for _ in 0..40 {
            step.apply(&mut w, Moments { mean: &mut m, square: &mut v }, &[0.0]);
        }
        assert_eq!((w[0], m[0], v[0]), (1.0, 0.0, 0.0));
    }

    #[test]
    fn zero_rows_stay_zero() {
        let mut row = [0.0; 5];
        assert_eq!(normalise(&mut row), 0.0);
        assert_eq!(row, [0.0; 5]);
    }
}
