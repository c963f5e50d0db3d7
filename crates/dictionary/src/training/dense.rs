//! A step by dense products, for codes that are not sparse (or not yet): latents are worked on in chunks, so that no
//! more than `[rows, chunk]` values exist at once.
//!
//! Forward, chunk by chunk: F = max(U Eᵀ + b, 0), X̂ += F D. Backward, with everything transposed so that a chunk's
//! gradients are rows: Fᵀ = max(E Uᵀ + b, 0), `δᵀ = [Fᵀ > 0] (s D eᵀ + penalty)`, ∂D = s Fᵀ e, ∂E = δᵀ U. The activations
//! are computed twice rather than kept.

use glossator_kernels::{
    Activation, Buffer, Operand, Outputs, PackedMatrix, Precision, Product, Threads, bf16, narrow,
};
use rayon::prelude::*;

use super::gradients::{LatentGradient, column_sums};
use super::objective::{Objective, Recipe};
use super::parameters::Parameters;
use super::step::{StepReport, decoder_bias_gradient};
use super::transposed::transposed;
use super::update::{Update, add_scaled};

/// Latents of a chunk.
const CHUNK: usize = 512;

/// Buffers of dense steps.
#[derive(Debug, Default)]
pub(super) struct DensePass {
    errors: Buffer<f32>,
    inputs: Buffer<bf16>,
    activations: Values,
    along: Values,
}

/// A chunk's values, and the same rounded where products are made in bf16.
#[derive(Debug, Default)]
struct Values {
    wide: Buffer<f32>,
    narrow: Buffer<bf16>,
}

impl Values {
    /// The rows of `count` latents, wide and narrow; the narrow ones are empty in f32.
    fn rows<'a>(
        &'a mut self,
        batch: &PackedBatch,
        count: usize,
    ) -> impl IndexedParallelIterator<Item = (&'a mut [f32], &'a mut [bf16])> {
        let narrow_row = if batch.precision == Precision::Bf16 { batch.rows } else { 0 };
        let narrow = self.narrow.sized(count * narrow_row);
        let narrow: Vec<&mut [bf16]> = if narrow_row > 0 {
            narrow.chunks_exact_mut(narrow_row).collect()
        } else {
            (0..count).map(|_| Default::default()).collect()
        };
        self.wide.sized(count * batch.rows).par_chunks_exact_mut(batch.rows).zip(narrow)
    }

    /// The first `count` values as products read them.
    fn operand(&self, precision: Precision, count: usize) -> Operand<'_> {
        match precision {
            Precision::F32 => Operand::F32(&self.wide.as_slice()[..count]),
            Precision::Bf16 => Operand::Bf16(&self.narrow.as_slice()[..count]),
        }
    }
}

/// The batch packed for products with a chunk's weights.
struct PackedBatch {
    rows: usize,
    precision: Precision,
    inputs: PackedMatrix,
    errors: PackedMatrix,
    inputs_transposed: PackedMatrix,
    errors_transposed: PackedMatrix,
}

/// The gradients of a chunk of latents.
struct ChunkGradients {
    encoder: Vec<f32>,
    encoder_bias: Vec<f32>,
    decoder: Vec<f32>,
    /// Rows in which each latent is active, and the sum of its activations.
    active: Vec<(usize, f64)>,
}

/// The numbers that turn errors into gradients.
#[derive(Clone, Copy, Debug)]
struct Scales {
    error: f32,
    penalty: f32,
    by_decoder_norm: bool,
}

impl DensePass {
    /// One whole step; `centred` `[rows, d_input]` is what the encoder reads.
    pub(super) fn step(
        &mut self,
        recipe: &Recipe,
        parameters: &mut Parameters,
        centred: &[f32],
        targets: &[f32],
        mut update: Update,
    ) -> StepReport {
        let Parameters { d_input, d_output, latents, .. } = *parameters;
        let rows = centred.len() / d_input;
        let Objective::L1 { coefficient, by_decoder_norm } = recipe.objective else {
            unreachable!("dense steps are for latents that do not compete")
        };
        self.forward(parameters, recipe.precision, centred, targets);
        let errors = &self.errors.as_slice()[..rows * d_output];
        let scales = Scales {
            error: (2.0 / (rows * d_output) as f64 / f64::from(recipe.target_variance)) as f32,
            penalty: coefficient / rows as f32,
            by_decoder_norm,
        };
        let batch = PackedBatch::new(centred, errors, d_input, d_output, recipe.precision);
        let (bias, squared_errors) = column_sums(errors, d_output);
        let bias: Vec<f64> = bias.iter().map(|sum| sum * f64::from(scales.error)).collect();
        let mut buffers = (&mut self.activations, &mut self.along);
        let norm = recipe.gradient_clip.map(|limit| {
            let mut squares = 0.0;
            let mut through_input = vec![0.0; d_input];
            for first in (0..latents).step_by(CHUNK) {
                let gradients = batch.gradients(parameters, first, scales, &mut buffers);
                squares += gradients.squared_norm(parameters, first, recipe.unit_decoder);
                gradients.add_through_input(parameters, first, &mut through_input);
            }
            let bias = decoder_bias_gradient(recipe, &bias, &through_input);
            squares += bias.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
            let norm = squares.sqrt();
            update.scale = if norm > f64::from(limit) { (f64::from(limit) / norm) as f32 } else { 1.0 };
            norm
        });
        let mut through_input = vec![0.0; d_input];
        let (mut active, mut penalty) = (0, 0.0);
        for first in (0..latents).step_by(CHUNK) {
            let gradients = batch.gradients(parameters, first, scales, &mut buffers);
            gradients.add_through_input(parameters, first, &mut through_input);
            for (index, &(count, sum)) in gradients.active.iter().enumerate() {
                let idle = &mut parameters.idle_rows[first + index];
                *idle = if count == 0 { *idle + rows as u64 } else { 0 };
                active += count;
                penalty += sum * f64::from(scales.weight(decoder_row(parameters, first + index)));
            }
            gradients.apply(parameters, first, update);
        }
        update.decoder_bias(parameters, &mut decoder_bias_gradient(recipe, &bias, &through_input));
        StepReport {
            squared_error: squared_errors / rows as f64,
            l0: active as f64 / rows as f64,
            extra_loss: penalty * f64::from(scales.penalty),
            gradient_norm: norm,
            ..StepReport::default()
        }
    }

    /// Fills the errors x̂ − y.
    fn forward(&mut self, parameters: &Parameters, precision: Precision, centred: &[f32], targets: &[f32]) {
        let Parameters { d_input, d_output, latents, .. } = *parameters;
        let rows = centred.len() / d_input;
        let errors = self.errors.sized(rows * d_output);
        for (error, target) in errors.chunks_exact_mut(d_output).zip(targets.chunks_exact(d_output)) {
            for ((error, bias), target) in error.iter_mut().zip(&parameters.decoder_bias.weights).zip(target)
            {
                *error = bias - target;
            }
        }
        let inputs = match precision {
            Precision::F32 => Operand::F32(centred),
            Precision::Bf16 => {
                let inputs = self.inputs.sized(centred.len());
                inputs
                    .par_chunks_mut(d_input)
                    .zip(centred.par_chunks(d_input))
                    .for_each(|(to, from)| narrow(from, to));
                Operand::Bf16(inputs)
            }
        };
        for first in (0..latents).step_by(CHUNK) {
            let count = CHUNK.min(latents - first);
            let encoder = &parameters.encoder.weights[first * d_input..][..count * d_input];
            let encoder = PackedMatrix::pack(encoder, count, d_input, precision);
            let bias = &parameters.encoder_bias.weights[first..][..count];
            let outputs = match precision {
                Precision::F32 => Outputs::f32(self.activations.wide.sized(rows * count)),
                Precision::Bf16 => Outputs::bf16(self.activations.narrow.sized(rows * count)),
            };
            let product = Product::new(&encoder).bias(Some(bias)).threads(Threads::All);
            product.run_activated(Activation::Relu, inputs, outputs);
            let decoder = &parameters.decoder.weights[first * d_output..][..count * d_output];
            let decoder = PackedMatrix::pack(&transposed(decoder, d_output), d_output, count, precision);
            let activations = self.activations.operand(precision, rows * count);
            Product::new(&decoder).accumulate().threads(Threads::All).run(activations, errors);
        }
    }
}

impl PackedBatch {
    fn new(inputs: &[f32], errors: &[f32], d_input: usize, d_output: usize, precision: Precision) -> Self {
        let rows = inputs.len() / d_input;
        Self {
            rows,
            precision,
            inputs: PackedMatrix::pack(inputs, rows, d_input, precision),
            errors: PackedMatrix::pack(errors, rows, d_output, precision),
            inputs_transposed: PackedMatrix::pack(&transposed(inputs, d_input), d_input, rows, precision),
            errors_transposed: PackedMatrix::pack(&transposed(errors, d_output), d_output, rows, precision),
        }
    }

    /// The gradients of the chunk of latents that begins with `first`.
    fn gradients(
        &self,
        parameters: &Parameters,
        first: usize,
        scales: Scales,
        (activations, along): &mut (&mut Values, &mut Values),
    ) -> ChunkGradients {
        let Parameters { d_input, d_output, latents, .. } = *parameters;
        let count = CHUNK.min(latents - first);
        let encoder = &parameters.encoder.weights[first * d_input..][..count * d_input];
        let decoder = &parameters.decoder.weights[first * d_output..][..count * d_output];
        let values = count * self.rows;
        let threads = |matrix| Product::new(matrix).threads(Threads::All);
        threads(&self.inputs).run(encoder, activations.wide.sized(values));
        threads(&self.errors).run(decoder, along.wide.sized(values));
        let chunk = activations.rows(self, count).zip(along.rows(self, count));
        let biases = &parameters.encoder_bias.weights[first..][..count];
        let (active, encoder_bias): (Vec<(usize, f64)>, Vec<f32>) = chunk
            .zip(biases)
            .zip(decoder.par_chunks_exact(d_output))
            .map(|(((activations, along), bias), row)| {
                let penalty = scales.penalty * scales.weight(row);
                let seen = activate(activations.0, along.0, *bias, scales.error, penalty);
                for (wide, narrowed) in [activations, along] {
                    if !narrowed.is_empty() {
                        narrow(wide, narrowed);
                    }
                }
                seen
            })
            .unzip();
        let mut gradients = ChunkGradients {
            encoder: vec![0.0; count * d_input],
            encoder_bias,
            decoder: vec![0.0; count * d_output],
            active,
        };
        let (along, activations) =
            (along.operand(self.precision, values), activations.operand(self.precision, values));
        threads(&self.inputs_transposed).run(along, &mut gradients.encoder);
        threads(&self.errors_transposed).run(activations, &mut gradients.decoder);
        let rows = gradients.decoder.par_chunks_exact_mut(d_output).zip(decoder.par_chunks_exact(d_output));
        rows.zip(&gradients.active).for_each(|((gradient, row), (_, sum))| {
            gradient.iter_mut().for_each(|g| *g *= scales.error);
            if scales.by_decoder_norm {
                // ∂‖d‖/∂d = d / ‖d‖.
                let norm = scales.weight(row).max(f32::MIN_POSITIVE);
                add_scaled(gradient, scales.penalty * *sum as f32 / norm, row);
            }
        });
        gradients
    }
}

impl Scales {
    /// What the penalty on a latent is multiplied by.
    fn weight(self, decoder_row: &[f32]) -> f32 {
        if !self.by_decoder_norm {
            return 1.0;
        }
        decoder_row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt() as f32
    }
}

/// Turns a latent's products into activations and its products with the errors into gradients δ. Returns how many
/// rows are active with the sum of activations, and the sum of δ.
///
/// Half of all latents may be active, so there is no branch; sums are made in parts, for vectors.
fn activate(
    activations: &mut [f32],
    along: &mut [f32],
    bias: f32,
    scale: f32,
    penalty: f32,
) -> ((usize, f64), f32) {
    const PARTS: usize = 8;
    let (mut counts, mut sums, mut gradients) = ([0_usize; PARTS], [0.0_f64; PARTS], [0.0_f64; PARTS]);
    let mut each = |part: usize, value: &mut f32, along: &mut f32| {
        let pre = *value + bias;
        let active = pre > 0.0;
        let f = if active { pre } else { 0.0 };
        // Keeps what is not a number.
        *value = if pre.is_nan() { pre } else { f };
        *along = if active { *along * scale + penalty } else { 0.0 };
        counts[part] += usize::from(active);
        sums[part] += f64::from(f);
        gradients[part] += f64::from(*along);
    };
    let (values, last_values) = activations.as_chunks_mut::<PARTS>();
    let (alongs, last_alongs) = along.as_chunks_mut::<PARTS>();
    for (values, alongs) in values.iter_mut().zip(alongs) {
        values.iter_mut().zip(alongs).enumerate().for_each(|(part, (value, along))| each(part, value, along));
    }
    last_values.iter_mut().zip(last_alongs).for_each(|(value, along)| each(0, value, along));
    ((counts.iter().sum(), sums.iter().sum()), gradients.iter().sum::<f64>() as f32)
}

impl ChunkGradients {
    fn add_through_input(&self, parameters: &Parameters, first: usize, sum: &mut [f64]) {
        let d_input = parameters.d_input;
        let mut chunk = vec![0.0; d_input];
        for (row, bias) in
            parameters.encoder.weights[first * d_input..].chunks_exact(d_input).zip(&self.encoder_bias)
        {
            add_scaled(&mut chunk, *bias, row);
        }
        sum.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += f64::from(value));
    }

    /// The squared norm, without parts along unit decoder rows.
    fn squared_norm(&self, parameters: &Parameters, first: usize, unit_decoder: bool) -> f64 {
        let square = |values: &[f32]| values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
        let d_output = parameters.d_output;
        let mut sum = square(&self.encoder) + square(&self.encoder_bias) + square(&self.decoder);
        if unit_decoder {
            for (index, gradient) in self.decoder.chunks_exact(d_output).enumerate() {
                let row = decoder_row(parameters, first + index);
                let along: f64 = gradient.iter().zip(row).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                sum -= along * along;
            }
        }
        sum
    }

    fn apply(self, parameters: &mut Parameters, first: usize, update: Update) {
        let (d_input, d_output) = (parameters.d_input, parameters.d_output);
        let mut chunk = parameters.latent_chunk(first, self.encoder_bias.len());
        let mut gradient = LatentGradient::new(d_input, d_output);
        for (index, bias) in self.encoder_bias.iter().enumerate() {
            gradient.encoder.copy_from_slice(&self.encoder[index * d_input..][..d_input]);
            gradient.decoder.copy_from_slice(&self.decoder[index * d_output..][..d_output]);
            gradient.encoder_bias = *bias;
            update.latent(&mut chunk, index, &mut gradient);
        }
    }
}

fn decoder_row(parameters: &Parameters, latent: usize) -> &[f32] {
    &parameters.decoder.weights[latent * parameters.d_output..][..parameters.d_output]
}
