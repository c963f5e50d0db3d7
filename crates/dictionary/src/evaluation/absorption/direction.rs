//! The direction in which activations say that a word begins with a letter: a linear probe for each letter.
//!
//! Logistic regression on all coordinates, with the positives of a letter weighted up to its negatives, fitted by Adam
//! on batches in a fixed order. Activations are centred and divided by the root of their mean square first.

use rayon::prelude::*;

use super::words::LETTERS;
use crate::random::Random;

const STEPS: i32 = 600;
const BATCH: usize = 512;
const RATE: f64 = 0.01;
const DECAYS: [f64; 2] = [0.9, 0.999];

/// A probe of one letter on activations `[d]`.
#[derive(Clone, Debug)]
pub(super) struct Direction {
    /// Unit vector `[d]`.
    pub(super) unit: Vec<f64>,
    weights: Vec<f64>,
    intercept: f64,
}

impl Direction {
    /// A probe for every letter, from activations `[words, d]` and the letters of the words.
    pub(super) fn fit_all(activations: &[f32], d: usize, letters: &[usize]) -> Vec<Self> {
        let (mean, scale) = standard(activations, d);
        let rows: Vec<f64> =
            activations.iter().enumerate().map(|(i, x)| (f64::from(*x) - mean[i % d]) / scale).collect();
        (0..LETTERS)
            .into_par_iter()
            .map(|letter| {
                let fit = fit(&rows, d, &|row| letters[row] == letter);
                Self::in_space(&fit, &mean, scale)
            })
            .collect()
    }

    /// A fit to standardised activations as a probe of the activations themselves.
    fn in_space(fit: &[f64], mean: &[f64], scale: f64) -> Self {
        let (weights, intercept) = fit.split_at(mean.len());
        let weights: Vec<f64> = weights.iter().map(|w| w / scale).collect();
        let norm = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
        let unit = weights.iter().map(|w| if norm > 0.0 { w / norm } else { 0.0 }).collect();
        let shift: f64 = weights.iter().zip(mean).map(|(w, m)| w * m).sum();
        Self { unit, weights, intercept: intercept[0] - shift }
    }

    /// Whether the probe says that an activation's word begins with the letter.
    pub(super) fn says_so(&self, activation: &[f32]) -> bool {
        let score: f64 = self.weights.iter().zip(activation).map(|(w, x)| w * f64::from(*x)).sum();
        score + self.intercept > 0.0
    }
}

/// The mean row, and the root mean square of what is left without it.
fn standard(activations: &[f32], d: usize) -> (Vec<f64>, f64) {
    let count = (activations.len() / d) as f64;
    let mut mean = vec![0.0; d];
    for row in activations.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) / count);
    }
    let squares: f64 =
        activations.iter().enumerate().map(|(i, x)| (f64::from(*x) - mean[i % d]).powi(2)).sum();
    let scale = (squares / activations.len() as f64).sqrt();
    (mean, if scale > 0.0 { scale } else { 1.0 })
}

/// Weights `[d]` and intercept of one class.
fn fit(rows: &[f64], d: usize, is_positive: &dyn Fn(usize) -> bool) -> Vec<f64> {
    let count = rows.len() / d;
    let positives = (0..count).filter(|row| is_positive(*row)).count().max(1);
    let weight = (count - positives.min(count)) as f64 / positives as f64;
    let mut random = Random::new(1);
    let (mut parameters, mut moments) = (vec![0.0; d + 1], [vec![0.0; d + 1], vec![0.0; d + 1]]);
    for step in 1..=STEPS {
        let mut gradient = vec![0.0; d + 1];
        for _ in 0..BATCH.min(count) {
            let row = random.below(count);
            let x = &rows[row * d..(row + 1) * d];
            let score = x.iter().zip(&parameters).map(|(x, w)| x * w).sum::<f64>() + parameters[d];
            let probability = 1.0 / (1.0 + (-score).exp());
            let slope = if is_positive(row) { weight * (probability - 1.0) } else { probability };
            let slope = slope / BATCH as f64;
            gradient.iter_mut().zip(x.iter().chain([&1.0])).for_each(|(g, x)| *g += slope * x);
        }
        for (i, g) in gradient.into_iter().enumerate() {
            let [first, second] = &mut moments;
            first[i] = DECAYS[0] * first[i] + (1.0 - DECAYS[0]) * g;
            second[i] = DECAYS[1] * second[i] + (1.0 - DECAYS[1]) * g * g;
            let [m, v] = [first[i] / (1.0 - DECAYS[0].powi(step)), second[i] / (1.0 - DECAYS[1].powi(step))];
            parameters[i] -= RATE * m / (v.sqrt() + 1e-8);
        }
    }
    parameters
}
