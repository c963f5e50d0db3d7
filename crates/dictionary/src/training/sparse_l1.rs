//! A step of ReLU + L1 on active latents, once they are few: nothing of `[rows, latents]` is held.
//!
//! A selection finds the latents whose pre-activations may be positive, exact f32 values decide, and everything after
//! goes as for TopK: with zᵢ > 0, δᵢ = s dᵢ · e + (λ / B) wᵢ, where s is the scale of errors and wᵢ is 1 or ‖dᵢ‖.
//!
//! A few rows may be large enough to activate half of all latents whatever their biases: they are selected apart, with
//! room for all latents.
//!
//! Early in training half of all latents are active, and dense products ([`super::dense`]) are faster. Which way a step
//! goes is decided by a look at some rows and latents, so that it depends on the parameters and the batch alone.

use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::{
    EncoderRows, Keep, LatentLists, Part, Selection, SelectionPrecision, SparseRowMut, SparseRows, dots,
    prefetch_rows,
};
use rayon::prelude::*;

use super::encode::{Code, Coding, ROWS_AT_ONCE};
use super::gradients::{Gradients, RowTable, Source, column_sums};
use super::objective::{Objective, Recipe};
use super::parameters::Parameters;
use super::step::{StepReport, apply};
use super::update::Update;

/// Rows that are looked at beforehand.
const PROBED_ROWS: usize = 64;
/// Latents that are looked at beforehand.
const PROBED_LATENTS: usize = 2048;
/// One in so many latents may be active on average.
const SPARSE: usize = 10;
/// Entries that all rows together have room for at most, and those selected apart: 20 bytes each.
const MOST_ENTRIES: usize = 1 << 24;
/// Latents whose weights are on their way while as many are multiplied.
const AHEAD: usize = 8;

/// Makes sparse steps; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(super) struct SparseL1 {
    selection: Selection,
    /// What may be active: of some rows and latents, of all rows, and of rows for which the room did not do.
    probe: SparseRows,
    usual: SparseRows,
    apart: SparseRows,
    /// `[rows, d_input]`: what the latter read.
    apart_inputs: Vec<f32>,
    pub(super) code: Code,
    lists: LatentLists,
    input_table: RowTable,
    error_table: RowTable,
}

/// What the penalty adds to gradients.
struct Penalty {
    /// λ / B.
    coefficient: f32,
    /// `[latents]`: ‖dᵢ‖ where latents count by it.
    norms: Option<Vec<f32>>,
}

impl Penalty {
    fn weight(&self, latent: usize) -> f32 {
        self.norms.as_ref().map_or(1.0, |norms| norms[latent])
    }
}

impl SparseL1 {
    /// One whole step; `centred` `[rows, d_input]` is what the encoder reads. None if too many latents are active: then
    /// nothing has been changed.
    pub(super) fn step(
        &mut self,
        recipe: &Recipe,
        parameters: &mut Parameters,
        centred: &[f32],
        targets: &[f32],
        update: Update,
    ) -> Option<StepReport> {
        let Objective::L1 { coefficient, by_decoder_norm } = recipe.objective else { return None };
        let rows = centred.len() / parameters.d_input;
        self.code.clear();
        let most = self.room(parameters, centred, recipe.precision)?;
        if !self.encode(parameters, centred, recipe.precision, most) {
            self.code.clear();
            return None;
        }
        self.reconstruct(parameters, centred, targets, recipe.precision);
        let norms = by_decoder_norm.then(|| decoder_norms(parameters));
        let penalty = Penalty { coefficient: coefficient / rows as f32, norms };
        let values = targets.len() as f64;
        let scale = (2.0 / values / f64::from(recipe.target_variance)) as f32;
        let extra_loss = penalise(&mut self.code, &penalty, scale);
        let squared_error = self.code.squared_error() / rows as f64;
        let l0 = self.code.rows.entries() as f64 / rows as f64;
        let gradient_norm = self.update(recipe, parameters, centred, (scale, &penalty), update);
        Some(StepReport { squared_error, l0, extra_loss, gradient_norm, ..StepReport::default() })
    }

    /// The places that each row will need, by a look at a few; None if latents are not sparse.
    fn room(&mut self, parameters: &Parameters, centred: &[f32], precision: Precision) -> Option<usize> {
        let Parameters { d_input, latents, .. } = *parameters;
        let rows = centred.len() / d_input;
        let probed: Vec<f32> = centred
            .chunks_exact(d_input)
            .step_by(rows.div_ceil(PROBED_ROWS))
            .flat_map(|row| row.iter().copied())
            .collect();
        let chosen: Vec<u32> = (0..latents as u32).step_by(latents.div_ceil(PROBED_LATENTS)).collect();
        let encoder = encoder(parameters).only(&chosen);
        let keep = Keep::Above { floor: 0.0, most: chosen.len() };
        let format = SelectionPrecision::fastest(precision);
        self.selection.run(&probed, encoder, keep, format, &mut self.probe);
        let share = self.probe.entries() as f64 / (self.probe.rows() * chosen.len()) as f64;
        let most = (4.0 * share * latents as f64) as usize + 64;
        (share * (SPARSE as f64) < 1.0).then_some(most.min(MOST_ENTRIES / rows).min(latents))
    }

    /// Fills the code with the positive exact pre-activations; rows that may have more of them than `most` are selected
    /// apart. False if there are too many of these.
    fn encode(
        &mut self,
        parameters: &Parameters,
        centred: &[f32],
        precision: Precision,
        most: usize,
    ) -> bool {
        let Parameters { d_input, latents, .. } = *parameters;
        let Self { selection, usual, apart, apart_inputs, code, .. } = self;
        let format = SelectionPrecision::fastest(precision);
        let keep = Keep::Above { floor: 0.0, most };
        selection.run(centred, encoder(parameters), keep, format, usual);
        let places: Vec<usize> = selection.overflowed().map(|row| row as usize).collect();
        if places.len() * latents > MOST_ENTRIES {
            return false;
        }
        apart_inputs.clear();
        for row in &places {
            apart_inputs.extend_from_slice(&centred[row * d_input..][..d_input]);
        }
        let keep = Keep::Above { floor: 0.0, most: latents };
        selection.run(apart_inputs, encoder(parameters), keep, format, apart);
        let candidates = |row: usize| match places.binary_search(&row) {
            Ok(place) => apart.row(place).indices,
            Err(_) => usual.row(row).indices,
        };
        let rows = centred.len() / d_input;
        code.rows.reset_to((0..rows).map(|row| candidates(row).len()));
        let rows = code.rows.par_rows_mut().zip(centred.par_chunks_exact(d_input)).enumerate();
        rows.with_min_len(ROWS_AT_ONCE).for_each(|(row, (mut active, input))| {
            active.indices.copy_from_slice(candidates(row));
            activate(parameters, input, &mut active);
        });
        true
    }

    /// Fills what follows from the code.
    fn reconstruct(
        &mut self,
        parameters: &Parameters,
        centred: &[f32],
        targets: &[f32],
        precision: Precision,
    ) {
        let (d_output, bias) = (parameters.d_output, &parameters.decoder_bias.weights);
        let start = |row: usize, start: &mut [f32]| {
            for ((start, bias), target) in start.iter_mut().zip(bias).zip(&targets[row * d_output..]) {
                *start = bias - target;
            }
        };
        let coding = Coding { parameters, inputs: centred, chosen: None, k: parameters.latents, precision };
        coding.reconstruct(&mut self.code, start);
    }

    /// Gradients and update. Returns the gradients' norm if it is needed.
    fn update(
        &mut self,
        recipe: &Recipe,
        parameters: &mut Parameters,
        centred: &[f32],
        (scale, penalty): (f32, &Penalty),
        update: Update,
    ) -> Option<f64> {
        let Parameters { d_input, d_output, latents, .. } = *parameters;
        let rows = centred.len() / d_input;
        self.lists.collect(latents, &[Part { rows: &self.code.rows, gradients: &self.code.along, scale }]);
        for (latent, idle) in parameters.idle_rows.iter_mut().enumerate() {
            *idle = if self.lists.rows(latent).is_empty() { *idle + rows as u64 } else { 0 };
        }
        // ∂‖d‖/∂d = d / ‖d‖.
        let along_decoder: Option<Vec<f32>> = penalty.norms.as_ref().map(|norms| {
            let factor = |(latent, norm): (usize, &f32)| {
                let sum: f32 = self.lists.activations(latent).iter().sum();
                penalty.coefficient * sum / scale / norm.max(f32::MIN_POSITIVE)
            };
            norms.iter().enumerate().map(factor).collect()
        });
        let inputs = self.input_table.hold(centred, d_input, recipe.precision);
        let errors = self.error_table.hold(&self.code.errors, d_output, recipe.precision);
        let sources = [Source { lists: &self.lists, errors }];
        let gradients = Gradients { inputs, sources: &sources, along_decoder: along_decoder.as_deref() };
        let (bias, _) = column_sums(&self.code.errors, d_output);
        let bias: Vec<f64> = bias.iter().map(|sum| sum * f64::from(scale)).collect();
        apply(recipe, parameters, gradients, &bias, None, update)
    }
}

/// Adds the penalty to the gradients of pre-activations, in units of `scale`. Returns its loss.
fn penalise(code: &mut Code, penalty: &Penalty, scale: f32) -> f64 {
    let Code { rows, along, .. } = code;
    let rows = &*rows;
    let factor = penalty.coefficient / scale;
    let losses: Vec<f64> = rows
        .split_mut(along)
        .into_par_iter()
        .enumerate()
        .map(|(row, along)| {
            let row = rows.row(row);
            let mut loss = 0.0;
            for ((along, latent), value) in along.iter_mut().zip(row.indices).zip(row.values) {
                let weight = penalty.weight(*latent as usize);
                *along += factor * weight;
                loss += f64::from(*value) * f64::from(weight);
            }
            loss
        })
        .collect();
    f64::from(penalty.coefficient) * losses.iter().sum::<f64>()
}

fn encoder(parameters: &Parameters) -> EncoderRows<'_> {
    EncoderRows::all(&parameters.encoder.weights, &parameters.encoder_bias.weights, parameters.d_input)
}

/// Keeps of a row's candidates, with which all its places are filled, those whose exact pre-activations are positive, or
/// not a number.
fn activate(parameters: &Parameters, input: &[f32], row: &mut SparseRowMut<'_>) {
    let Parameters { encoder, encoder_bias, d_input, .. } = parameters;
    *row.count = row.indices.len() as u32;
    for (place, values) in row.values.chunks_mut(AHEAD).enumerate() {
        let (now, next) = row.indices[place * AHEAD..].split_at(values.len());
        prefetch_rows(&encoder.weights, *d_input, &next[..AHEAD.min(next.len())]);
        dots(&encoder.weights, now, input, values);
        for (value, latent) in values.iter_mut().zip(now) {
            *value += encoder_bias.weights[*latent as usize];
        }
    }
    row.retain(|_, value| value > 0.0 || value.is_nan());
}

fn decoder_norms(parameters: &Parameters) -> Vec<f32> {
    let norm = |row: &[f32]| row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt() as f32;
    parameters.decoder.weights.par_chunks_exact(parameters.d_output).map(norm).collect()
}
