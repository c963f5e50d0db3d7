//! Normalisation of the residual stream, row by row.
//!
//! * `LayerNorm` (Ba et al. 2016): y = (x − mean x) / scale · w + b, scale = √(var x + ε);
//! * RMS norm (Zhang & Sennrich 2019): y = x / scale · w, scale = √(mean x² + ε).
//!
//! Gemma stores its gain as w − 1 (`unit_offset`). Sums are taken in f32 over 16 interleaved lanes; the variance is
//! that of the differences from the mean.

use half::bf16;

use crate::multiversion::multiversion;
use crate::outputs::Outputs;
use crate::reduce::sum_of;

/// Which normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Mean subtracted, divided by the standard deviation.
    Layer,
    /// Divided by the root of the mean square.
    Rms,
}

/// A normalisation and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Layer or RMS.
    pub kind: NormKind,
    /// The gain `[width]`.
    pub weight: &'a [f32],
    /// The offset `[width]`, for layer norms that have one.
    pub bias: Option<&'a [f32]>,
    /// ε, added under the root.
    pub epsilon: f32,
    /// The gain is 1 + `weight` (Gemma).
    pub unit_offset: bool,
}

/// What a normalisation writes; absent destinations cost nothing.
#[derive(Debug, Default)]
pub struct NormOutputs<'a> {
    /// y `[rows, width]`, in f32.
    pub f32: Option<&'a mut [f32]>,
    /// y `[rows, width]`, in bf16: the operand of the next matrix product.
    pub bf16: Option<&'a mut [bf16]>,
    /// The divisor of each row `[rows]` (`hook_scale`).
    pub scale: Option<&'a mut [f32]>,
    /// The rows divided by the scale before gain and offset `[rows, width]`.
    pub standardized: Option<&'a mut [f32]>,
}

impl Norm<'_> {
    /// Normalises the rows of `x` `[rows, width]`, where width is the length of the gain.
    ///
    /// # Panics
    /// If a length contradicts these shapes.
    pub fn apply(&self, x: &[f32], outputs: NormOutputs<'_>) {
        let width = self.weight.len();
        let rows = x.len() / width;
        assert_eq!(x.len(), rows * width, "norm: x is not whole rows");
        let NormOutputs { f32, bf16, mut scale, mut standardized } = outputs;
        let mut normalized = Outputs { f32, bf16 };
        normalized.check(x.len());
        let mut line = vec![0.0; width];
        for (row, values) in x.chunks_exact(width).enumerate() {
            let divisor = standardize(self.kind, self.epsilon, values, &mut line);
            if let Some(scale) = &mut scale {
                scale[row] = divisor;
            }
            if let Some(standardized) = &mut standardized {
                standardized[row * width..][..width].copy_from_slice(&line);
            }
            gain(self, &mut line);
            normalized.store(row * width, &line);
        }
    }
}

multiversion! {
    /// Writes x / scale (mean subtracted first for layer norm) to `line` and returns the scale.
    fn standardize(kind: NormKind, epsilon: f32, x: &[f32], line: &mut [f32]) -> f32 {
        let width = x.len() as f32;
        let mean = match kind {
            NormKind::Layer => sum_of(x, |value| value) / width,
            NormKind::Rms => 0.0,
        };
        let scale = (sum_of(x, |value| (value - mean) * (value - mean)) / width + epsilon).sqrt();
        let factor = 1.0 / scale;
        for (out, value) in line.iter_mut().zip(x) {
            *out = (value - mean) * factor;
        }
        scale
    }
}

multiversion! {
    fn gain(norm: &Norm<'_>, line: &mut [f32]) {
        let offset = if norm.unit_offset { 1.0 } else { 0.0 };
        for (value, weight) in line.iter_mut().zip(norm.weight) {
            *value *= offset + weight;
        }
        if let Some(bias) = norm.bias {
            for (value, bias) in line.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition in f64: scale, standardized row, result.
    fn naive(norm: &Norm<'_>, x: &[f32]) -> (f64, Vec<f64>, Vec<f64>) {
        let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let width = x.len() as f64;
        let mean = if norm.kind == NormKind::Layer { x.iter().sum::<f64>() / width } else { 0.0 };
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width;
        let scale = (variance + f64::from(norm.epsilon)).sqrt();
        let standardized: Vec<f64> = x.iter().map(|v| (v - mean) / scale).collect();
        let offset = if norm.unit_offset { 1.0 } else { 0.0 };
        let result = standardized.iter().enumerate().map(|(i, v)| {
            v * (offset + f64::from(norm.weight[i])) + norm.bias.map_or(0.0, |b| f64::from(b[i]))
        });
        let result = result.collect();
        (scale, standardized, result)
    }

    /// Within f32 rounding of values of the given magnitude.
    fn close(a: &[f32], b: &[f64], magnitude: f64) -> bool {
        a.iter().zip(b).all(|(a, b)| (f64::from(*a) - b).abs() <= 1e-6 * (1.0 + magnitude))
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            rows in 0_usize..4, weight in prop::collection::vec(-2.0_f32..2.0, 1..90), seed in any::<u32>(),
            layer: bool, biased: bool, unit_offset: bool,
        ) {
            let width = weight.len();
            let x: Vec<f32> = (0..rows * width).map(|i| ((i as u32 ^ seed) % 997) as f32 / 100.0 - 4.0).collect();
            let bias: Vec<f32> = weight.iter().map(|w| 1.0 - w).collect();
            let kind = if layer { NormKind::Layer } else { NormKind::Rms };
            let norm = Norm { kind, weight: &weight, bias: biased.then_some(&bias), epsilon: 1e-5, unit_offset };
            let (mut y, mut standardized, mut scale) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; rows]);
            let mut narrow = vec![bf16::ZERO; x.len()];
            norm.apply(&x, NormOutputs {
                f32: Some(&mut y),
                bf16: Some(&mut narrow),
                scale: Some(&mut scale),
                standardized: Some(&mut standardized),
            });
            for row in 0..rows {
                let range = row * width..(row + 1) * width;
                let expected = naive(&norm, &x[range.clone()]);
                let largest = x[range.clone()].iter().fold(0.0, |max, v| f64::from(v.abs()).max(max));
                // Subtracting the mean rounds at the size of x, however small the spread that it is divided by.
                let relative = largest / expected.0;
                prop_assert!(close(&scale[row..=row], &[expected.0], largest));
                prop_assert!(close(&standardized[range.clone()], &expected.1, relative));
                prop_assert!(close(&y[range], &expected.2, 3.0 * relative));
            }
            prop_assert!(y.iter().zip(&narrow).all(|(y, narrow)| *narrow == bf16::from_f32(*y)));
        }
    }

    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        let x: Vec<f32> = (0..64).map(|i| 4096.0 + (i % 2) as f32).collect();
        let weight = [1.0; 64];
        let norm =
            Norm { kind: NormKind::Layer, weight: &weight, bias: None, epsilon: 0.0, unit_offset: false };
        let mut y = vec![0.0; 64];
        norm.apply(&x, NormOutputs { f32: Some(&mut y), ..NormOutputs::default() });
        assert_eq!(y[..2], [-1.0, 1.0]);
    }
}
