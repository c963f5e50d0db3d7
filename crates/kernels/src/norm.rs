//! Normalisation of the residual stream, row by row.
//!
//! * `LayerNorm` (Ba et al. 2016): y = (x − mean x) / scale · w + b, scale = √(var x + ε);
//! * RMS norm (Zhang & Sennrich 2019): y = x / scale · w, scale = √(mean x² + ε).
//!
//! Gemma stores its gain as w − 1 (`unit_offset`). The sums are taken in f32 over 16 interleaved lanes.

use half::bf16;

use crate::outputs::Outputs;

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
            let divisor = self.standardize(values, &mut line);
            if let Some(scale) = &mut scale {
                scale[row] = divisor;
            }
            if let Some(standardized) = &mut standardized {
                standardized[row * width..][..width].copy_from_slice(&line);
            }
            self.gain(&mut line);
            normalized.store(row * width, &line);
        }
    }

    /// Writes x / scale (mean subtracted first for layer norm) to `line` and returns the scale.
    fn standardize(&self, values: &[f32], line: &mut [f32]) -> f32 {
        let width = values.len() as f32;
        let mean = match self.kind {
            NormKind::Layer => values.iter().sum::<f32>() / width,
            NormKind::Rms => 0.0,
        };
        let mean_square = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / width;
        let scale = (mean_square + self.epsilon).sqrt();
        for (out, v) in line.iter_mut().zip(values) {
            *out = (v - mean) / scale;
        }
        scale
    }

    fn gain(&self, line: &mut [f32]) {
        let offset = if self.unit_offset { 1.0 } else { 0.0 };
        for (value, w) in line.iter_mut().zip(self.weight) {
            *value *= offset + w;
        }
        if let Some(bias) = self.bias {
            for (value, b) in line.iter_mut().zip(bias) {
                *value += b;
            }
        }
    }
}
