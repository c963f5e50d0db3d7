//! Logistic regression on a handful of features, by Newton's method.
//!
//! ```text
//! minimise  Σₙ cₙ [ln(1 + exp(sₙ)) − yₙ sₙ] + ½ ‖w‖²      sₙ = w · xₙ + b
//! ```
//!
//! This is scikit-learn's `LogisticRegression` with C = 1: the weights are held near zero, the intercept is free, and the
//! minimum exists even where the classes can be told apart without error. cₙ counts equal points.

/// Newton steps at most; they end earlier when one changes nothing.
const STEPS: usize = 50;

/// Points that are equal.
#[derive(Clone, Debug)]
pub(super) struct Points {
    /// Their features.
    pub(super) features: Vec<f64>,
    /// How many of them are in the class.
    pub(super) positive: f64,
    /// How many are not.
    pub(super) negative: f64,
}

/// A fitted model: P(class) = 1 / (1 + exp(−s)).
#[derive(Clone, Debug)]
pub(super) struct Logistic {
    weights: Vec<f64>,
    intercept: f64,
}

impl Logistic {
    /// Fits points with `width` features each.
    pub(super) fn fit(points: &[Points], width: usize) -> Self {
        let mut model = Self { weights: vec![0.0; width], intercept: 0.0 };
        let mut objective = model.objective(points);
        for _ in 0..STEPS {
            let step = model.newton_step(points);
            // Far from the minimum a whole step can be too long.
            let (mut size, mut next, mut value) = (1.0, model.moved(&step, 1.0), f64::INFINITY);
            while size > 1e-6 {
                next = model.moved(&step, size);
                value = next.objective(points);
                if value <= objective {
                    break;
                }
                size /= 2.0;
            }
            if value > objective || objective - value <= 1e-12 * objective.abs() {
                break;
            }
            (model, objective) = (next, value);
        }
        model
    }

    /// s.
    pub(super) fn score(&self, features: &[f64]) -> f64 {
        self.weights.iter().zip(features).map(|(w, x)| w * x).sum::<f64>() + self.intercept
    }

    /// Σ cₙ [ln(1 + exp(sₙ)) − yₙ sₙ].
    pub(super) fn loss(&self, points: &[Points]) -> f64 {
        let loss = |points: &Points| {
            let score = self.score(&points.features);
            points.positive * softplus(-score) + points.negative * softplus(score)
        };
        points.iter().map(loss).sum()
    }

    fn objective(&self, points: &[Points]) -> f64 {
        self.loss(points) + 0.5 * self.weights.iter().map(|w| w * w).sum::<f64>()
    }

    fn moved(&self, step: &[f64], size: f64) -> Self {
        let weights = self.weights.iter().zip(step).map(|(w, s)| w - size * s).collect();
        Self { weights, intercept: self.intercept - size * step[step.len() - 1] }
    }

    /// H⁻¹ g of the objective; the intercept comes last.
    fn newton_step(&self, points: &[Points]) -> Vec<f64> {
        let size = self.weights.len() + 1;
        let mut gradient: Vec<f64> = self.weights.iter().copied().chain([0.0]).collect();
        let mut hessian = vec![0.0; size * size];
        (0..size - 1).for_each(|i| hessian[i * size + i] = 1.0);
        // Keeps the intercept's row away from zero where all points are certain.
        hessian[size * size - 1] = 1e-9;
        for group in points {
            let probability = 1.0 / (1.0 + (-self.score(&group.features)).exp());
            let count = group.positive + group.negative;
            let (slope, curvature) =
                (count * probability - group.positive, count * probability * (1.0 - probability));
            let at = |i: usize| group.features.get(i).copied().unwrap_or(1.0);
            for (i, (slope_here, row)) in gradient.iter_mut().zip(hessian.chunks_exact_mut(size)).enumerate()
            {
                *slope_here += slope * at(i);
                row.iter_mut().enumerate().for_each(|(j, value)| *value += curvature * at(i) * at(j));
            }
        }
        solve(hessian, gradient)
    }
}

/// ln(1 + exp(x)), without overflow.
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The solution of a symmetric positive definite system, by Gaussian elimination.
fn solve(mut matrix: Vec<f64>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for pivot in 0..n {
        for row in pivot + 1..n {
            let factor = matrix[row * n + pivot] / matrix[pivot * n + pivot];
            for column in pivot..n {
                matrix[row * n + column] -= factor * matrix[pivot * n + column];
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|column| matrix[row * n + column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row * n + row];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rows: &[([f64; 2], f64, f64)]) -> Vec<Points> {
        let point = |&(features, positive, negative): &([f64; 2], f64, f64)| Points {
            features: features.to_vec(),
            positive,
            negative,
        };
        rows.iter().map(point).collect()
    }

    #[test]
    fn the_gradient_vanishes_at_the_fit() {
        let rows = [
            ([0.0, 0.0], 3.0, 9.0),
            ([1.0, 0.5], 4.0, 1.0),
            ([-0.5, 2.0], 1.0, 2.0),
            ([2.0, -1.0], 5.0, 0.0),
        ];
        let points = points(&rows);
        let fit = Logistic::fit(&points, 2);
        // Finite differences of the objective, written out once more.
        let objective = |w: [f64; 2], b: f64| {
            let terms = rows.iter().map(|(x, positive, negative)| {
                let s = w[0] * x[0] + w[1] * x[1] + b;
                positive * (1.0 + (-s).exp()).ln() + negative * (1.0 + s.exp()).ln()
            });
            terms.sum::<f64>() + 0.5 * (w[0] * w[0] + w[1] * w[1])
        };
        let (w, b, h) = ([fit.weights[0], fit.weights[1]], fit.intercept, 1e-5);
        let slopes = [
            objective([w[0] + h, w[1]], b) - objective([w[0] - h, w[1]], b),
            objective([w[0], w[1] + h], b) - objective([w[0], w[1] - h], b),
            objective(w, b + h) - objective(w, b - h),
        ];
        assert!(slopes.iter().all(|slope| (slope / (2.0 * h)).abs() < 1e-4), "{slopes:?}");
    }

    #[test]
    fn separable_classes_have_a_fit() {
        let fit = Logistic::fit(&points(&[([100.0, 0.0], 50.0, 0.0), ([0.0, 0.0], 0.0, 50.0)]), 2);
        assert!(fit.score(&[100.0, 0.0]) > 2.0 && fit.score(&[0.0, 0.0]) < -2.0);
        assert!(fit.weights.iter().all(|w| w.is_finite()));
    }

    #[test]
    fn without_features_only_the_shares_count() {
        let fit = Logistic::fit(&points(&[([0.0, 0.0], 30.0, 10.0)]), 2);
        assert!((fit.intercept - 3.0_f64.ln()).abs() < 1e-5 && fit.weights == [0.0, 0.0]);
        let loss = fit.loss(&points(&[([0.0, 0.0], 1.0, 0.0)]));
        assert!((loss - (4.0_f64 / 3.0).ln()).abs() < 1e-5);
    }
}
