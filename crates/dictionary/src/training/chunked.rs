//! A step of variants whose latents do not compete: each latent is a function of its own projection.
//!
//! Latents are worked on in chunks, so that no more than `[rows, chunk]` values exist at once. Forward, chunk by chunk:
//! Π = U Eᵀ, F = a(Π), X̂ += F D. Backward, with everything transposed so that a latent's values are one row: the variant
//! turns Π and A = D eᵀ into F and the gradients Δ of Π; then ∂D = s F e + c D and ∂E = Δ U. What is computed in the
//! forward pass is computed again rather than kept.

use glossator_kernels::{Buffer, PackedMatrix, Precision, Product, Threads};
use rayon::prelude::*;

use super::gradients::{LatentGradient, column_sums};
use super::objective::Recipe;
use super::parameters::Parameters;
use super::skip;
use super::step::{Batch, StepReport, decoder_bias_gradient};
use super::transposed::transposed;
use super::update::{Update, add_scaled};

/// Latents of a chunk.
const CHUNK: usize = 512;

/// One latent over all rows of a batch.
pub(super) struct LatentRow<'a> {
    pub(super) latent: usize,
    /// `[rows]`: π; the variant leaves f.
    pub(super) pre: &'a mut [f32],
    /// `[rows]`: d · e; the variant leaves the gradient of π.
    pub(super) along: &'a mut [f32],
    /// `[rows]`: d · (the error of the gate's own reconstruction); empty where there is none.
    pub(super) gate_along: &'a [f32],
    /// `[d_output]`
    pub(super) decoder: &'a [f32],
}

impl LatentRow<'_> {
    /// ‖d‖.
    pub(super) fn decoder_norm(&self) -> f32 {
        self.decoder.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt() as f32
    }
}

/// What the backward pass of one latent sums up over rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LatentSums {
    /// Rows in which the latent is active.
    pub(super) active: usize,
    /// ∂L/∂b_e.
    pub(super) encoder_bias: f32,
    /// The sum of the gradients of π.
    pub(super) projection: f32,
    /// c: the gradient of the decoder row gets c times the row.
    pub(super) decoder: f32,
    /// The gradients of the variant's own parameters.
    pub(super) own: [f32; 2],
    /// Parts of the loss, as the variant likes.
    pub(super) parts: [f64; 2],
}

/// The sums over all latents.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) parts: [f64; 2],
    /// The loss of the gate's own reconstruction.
    pub(super) gate_loss: f64,
}

/// A variant, for one batch.
pub(super) trait Pointwise: Sync {
    /// Whether a gate has a reconstruction of its own.
    const GATED: bool = false;

    /// f of one latent.
    fn activate(&self, latent: usize, projection: f32) -> f32;

    /// What the gate's reconstruction is made of.
    fn gate(&self, _latent: usize, _projection: f32) -> f32 {
        0.0
    }

    /// Told between the passes: the mean number of active latents.
    fn saw(&mut self, _l0: f64) {}

    /// Gradients of one latent.
    fn backward(&self, row: LatentRow<'_>) -> LatentSums;

    /// The loss beside that of the reconstruction.
    fn extra_loss(&self, totals: &Totals) -> f64;
}

/// Buffers of chunked steps.
#[derive(Debug, Default)]
pub(super) struct ChunkedPass {
    errors: Vec<f32>,
    gate_errors: Vec<f32>,
    pre: Buffer<f32>,
    along: Buffer<f32>,
    gate_along: Buffer<f32>,
}

/// The batch packed for products with a chunk's weights.
struct PackedBatch {
    rows: usize,
    inputs: PackedMatrix,
    errors: PackedMatrix,
    gate_errors: Option<PackedMatrix>,
    inputs_transposed: PackedMatrix,
    errors_transposed: PackedMatrix,
}

/// The gradients of a chunk of latents.
struct ChunkGradients {
    encoder: Vec<f32>,
    decoder: Vec<f32>,
    sums: Vec<LatentSums>,
}

/// 2 / (rows · d · σ²): what turns errors into gradients.
pub(super) fn error_scale(recipe: &Recipe, rows: usize, d_output: usize) -> f32 {
    (2.0 / (rows * d_output) as f64 / f64::from(recipe.target_variance)) as f32
}

impl ChunkedPass {
    /// One whole step. `centred` `[rows, d_input]` is what the encoder reads; `batch` holds the inputs themselves and the
    /// targets less what a skip connection explains. Returns the report and the parts of the loss.
    pub(super) fn step<V: Pointwise>(
        &mut self,
        recipe: &Recipe,
        parameters: &mut Parameters,
        centred: &[f32],
        batch: Batch<'_>,
        mut variant: V,
        mut update: Update,
    ) -> (StepReport, [f64; 2]) {
        let Parameters { d_input, d_output, .. } = *parameters;
        let rows = centred.len() / d_input;
        let scale = error_scale(recipe, rows, d_output);
        let l0 = self.forward(recipe.precision, parameters, centred, batch.targets, &variant);
        variant.saw(l0);
        let packed = PackedBatch::new(
            centred,
            [&self.errors, &self.gate_errors],
            [d_input, d_output],
            recipe.precision,
        );
        let (bias, squared_errors) = column_sums(&self.errors, d_output);
        let bias: Vec<f64> = bias.iter().map(|sum| sum * f64::from(scale)).collect();
        let mut skip = (!parameters.skip.weights.is_empty()).then(|| {
            let both = [(self.errors.as_slice(), scale), (self.gate_errors.as_slice(), scale)];
            skip::gradient(parameters, batch.inputs, &both[..=usize::from(V::GATED)])
        });
        let mut buffers = [&mut self.pre, &mut self.along, &mut self.gate_along];
        let norm = recipe.gradient_clip.map(|limit| {
            let (mut squares, mut through_input) = (0.0, vec![0.0; d_input]);
            for first in (0..parameters.latents).step_by(CHUNK) {
                let gradients = packed.gradients(parameters, first, &variant, scale, &mut buffers);
                squares += gradients.squared_norm(parameters, first, recipe.unit_decoder);
                gradients.add_through_input(parameters, first, &mut through_input);
            }
            squares += squared(&decoder_bias_gradient(recipe, &bias, &through_input));
            squares += skip.as_deref().map_or(0.0, squared);
            let norm = squares.sqrt();
            update.scale = if norm > f64::from(limit) { (f64::from(limit) / norm) as f32 } else { 1.0 };
            norm
        });
        let mut through_input = vec![0.0; d_input];
        let mut totals = Totals::default();
        let mut own = [Vec::new(), Vec::new()];
        for first in (0..parameters.latents).step_by(CHUNK) {
            let gradients = packed.gradients(parameters, first, &variant, scale, &mut buffers);
            gradients.add_through_input(parameters, first, &mut through_input);
            for (index, sums) in gradients.sums.iter().enumerate() {
                let idle = &mut parameters.idle_rows[first + index];
                *idle = if sums.active == 0 { *idle + rows as u64 } else { 0 };
                totals.parts.iter_mut().zip(sums.parts).for_each(|(total, part)| *total += part);
                own.iter_mut().zip(sums.own).for_each(|(own, gradient)| own.push(gradient));
            }
            gradients.apply(parameters, first, update);
        }
        update.decoder_bias(parameters, &mut decoder_bias_gradient(recipe, &bias, &through_input));
        update.own(parameters, own);
        if let Some(gradient) = &mut skip {
            update.tensor(&mut parameters.skip, gradient);
        }
        totals.gate_loss = squared(&self.gate_errors) * f64::from(scale) / 2.0;
        let report = StepReport {
            squared_error: squared_errors / rows as f64,
            l0,
            extra_loss: variant.extra_loss(&totals),
            gradient_norm: norm,
            ..StepReport::default()
        };
        (report, totals.parts)
    }

    /// Fills the errors ŷ − y. Returns the mean number of active latents.
    fn forward<V: Pointwise>(
        &mut self,
        precision: Precision,
        parameters: &Parameters,
        centred: &[f32],
        targets: &[f32],
        variant: &V,
    ) -> f64 {
        let Parameters { d_input, d_output, latents, .. } = *parameters;
        let rows = centred.len() / d_input;
        begin(&mut self.errors, parameters, targets);
        if V::GATED {
            begin(&mut self.gate_errors, parameters, targets);
        }
        let mut active = 0;
        for first in (0..latents).step_by(CHUNK) {
            let count = CHUNK.min(latents - first);
            let encoder = &parameters.encoder.weights[first * d_input..][..count * d_input];
            let encoder = PackedMatrix::pack(encoder, count, d_input, precision);
            let pre = self.pre.sized(rows * count);
            Product::new(&encoder).threads(Threads::All).run(centred, pre);
            let decoder = &parameters.decoder.weights[first * d_output..][..count * d_output];
            let decoder = PackedMatrix::pack(&transposed(decoder, d_output), d_output, count, precision);
            let decode = Product::new(&decoder).accumulate().threads(Threads::All);
            if V::GATED {
                let open = self.gate_along.sized(rows * count);
                let rows = open.par_chunks_exact_mut(count).zip(pre.par_chunks_exact(count));
                rows.for_each(|(open, pre)| {
                    for (column, (open, pre)) in open.iter_mut().zip(pre).enumerate() {
                        *open = variant.gate(first + column, *pre);
                    }
                });
                decode.run(&open[..], &mut self.gate_errors);
            }
            let each = pre.par_chunks_exact_mut(count).map(|row| {
                row.iter_mut().enumerate().for_each(|(i, f)| *f = variant.activate(first + i, *f));
                row.iter().filter(|f| **f > 0.0).count()
            });
            active += each.sum::<usize>();
            decode.run(&pre[..], &mut self.errors);
        }
        active as f64 / rows as f64
    }
}

/// b_d − y of every row.
fn begin(errors: &mut Vec<f32>, parameters: &Parameters, targets: &[f32]) {
    let bias = &parameters.decoder_bias.weights;
    errors.resize(targets.len(), 0.0);
    for (error, target) in errors.chunks_exact_mut(bias.len()).zip(targets.chunks_exact(bias.len())) {
        for ((error, bias), target) in error.iter_mut().zip(bias).zip(target) {
            *error = bias - target;
        }
    }
}

/// The sum of squares.
pub(super) fn squared(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum()
}

impl PackedBatch {
    fn new(
        inputs: &[f32],
        [errors, gate_errors]: [&Vec<f32>; 2],
        [d_input, d_output]: [usize; 2],
        precision: Precision,
    ) -> Self {
        let rows = inputs.len() / d_input;
        let gated = !gate_errors.is_empty();
        Self {
            rows,
            inputs: PackedMatrix::pack(inputs, rows, d_input, precision),
            errors: PackedMatrix::pack(errors, rows, d_output, precision),
            gate_errors: gated.then(|| PackedMatrix::pack(gate_errors, rows, d_output, precision)),
            inputs_transposed: PackedMatrix::pack(&transposed(inputs, d_input), d_input, rows, precision),
            errors_transposed: PackedMatrix::pack(&transposed(errors, d_output), d_output, rows, precision),
        }
    }

    /// The gradients of the chunk of latents that begins with `first`.
    fn gradients<V: Pointwise>(
        &self,
        parameters: &Parameters,
        first: usize,
        variant: &V,
        scale: f32,
        [pre, along, gate_along]: &mut [&mut Buffer<f32>; 3],
    ) -> ChunkGradients {
        let Parameters { d_input, d_output, latents, .. } = *parameters;
        let count = CHUNK.min(latents - first);
        let encoder = &parameters.encoder.weights[first * d_input..][..count * d_input];
        let decoder = &parameters.decoder.weights[first * d_output..][..count * d_output];
        let pre = pre.sized(count * self.rows);
        let along = along.sized(count * self.rows);
        let product =
            |matrix, x: &[f32], out: &mut [f32]| Product::new(matrix).threads(Threads::All).run(x, out);
        product(&self.inputs, encoder, pre);
        product(&self.errors, decoder, along);
        let gate_along: &[f32] = match &self.gate_errors {
            Some(errors) => {
                let gate_along = gate_along.sized(count * self.rows);
                product(errors, decoder, gate_along);
                gate_along
            }
            None => &[],
        };
        let chunk = pre.par_chunks_exact_mut(self.rows).zip(along.par_chunks_exact_mut(self.rows));
        let sums: Vec<LatentSums> = chunk
            .zip(decoder.par_chunks_exact(d_output))
            .enumerate()
            .map(|(index, ((pre, along), decoder))| {
                let gate_along = gate_along.get(index * self.rows..(index + 1) * self.rows).unwrap_or(&[]);
                variant.backward(LatentRow { latent: first + index, pre, along, gate_along, decoder })
            })
            .collect();
        let mut gradients = ChunkGradients {
            encoder: vec![0.0; count * d_input],
            decoder: vec![0.0; count * d_output],
            sums,
        };
        product(&self.inputs_transposed, along, &mut gradients.encoder);
        product(&self.errors_transposed, pre, &mut gradients.decoder);
        let rows = gradients.decoder.par_chunks_exact_mut(d_output).zip(decoder.par_chunks_exact(d_output));
        rows.zip(&gradients.sums).for_each(|((gradient, row), sums)| {
            gradient.iter_mut().for_each(|g| *g *= scale);
            if sums.decoder != 0.0 {
                add_scaled(gradient, sums.decoder, row);
            }
        });
        gradients
    }
}

impl ChunkGradients {
    fn add_through_input(&self, parameters: &Parameters, first: usize, sum: &mut [f64]) {
        let d_input = parameters.d_input;
        let mut chunk = vec![0.0; d_input];
        let rows = parameters.encoder.weights[first * d_input..].chunks_exact(d_input);
        for (row, sums) in rows.zip(&self.sums) {
            add_scaled(&mut chunk, sums.projection, row);
        }
        sum.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += f64::from(value));
    }

    /// The squared norm, without parts along unit decoder rows.
    fn squared_norm(&self, parameters: &Parameters, first: usize, unit_decoder: bool) -> f64 {
        let d_output = parameters.d_output;
        let mut sum = squared(&self.encoder) + squared(&self.decoder);
        for sums in &self.sums {
            sum += squared(&[sums.encoder_bias, sums.own[0], sums.own[1]]);
        }
        if unit_decoder {
            let rows = parameters.decoder.weights[first * d_output..].chunks_exact(d_output);
            for (gradient, row) in self.decoder.chunks_exact(d_output).zip(rows) {
                let along: f64 = gradient.iter().zip(row).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                sum -= along * along;
            }
        }
        sum
    }

    fn apply(self, parameters: &mut Parameters, first: usize, update: Update) {
        let (d_input, d_output) = (parameters.d_input, parameters.d_output);
        let mut chunk = parameters.latent_chunk(first, self.sums.len());
        let mut gradient = LatentGradient::new(d_input, d_output);
        for (index, sums) in self.sums.iter().enumerate() {
            gradient.encoder.copy_from_slice(&self.encoder[index * d_input..][..d_input]);
            gradient.decoder.copy_from_slice(&self.decoder[index * d_output..][..d_output]);
            gradient.encoder_bias = sums.encoder_bias;
            update.latent(&mut chunk, index, &mut gradient);
        }
    }
}
