//! One training step: forward, loss, all gradients, Adam, constraint.

use std::time::{Duration, Instant};

use glossator_kernels::sparse_coding::{LatentLists, Part, Selection, SparseRows};
use rayon::prelude::*;

use super::auxiliary::AuxiliaryPass;
use super::dense::DensePass;
use super::encode::{Code, Coding, ROWS_AT_ONCE};
use super::gradients::{Gradients, RowTable, Source, column_sums};
use super::objective::{Objective, Recipe};
use super::parameters::Parameters;
use super::sparse_l1::SparseL1;
use super::update::{Update, squared_norm, update_latents};

/// What a step learns from: rows of activations, normalised as the dictionary will normalise them.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[rows, d_input]`: what is read.
    pub inputs: &'a [f32],
    /// `[rows, d_output]`: what is to be reconstructed; the inputs themselves except for transcoders.
    pub targets: &'a [f32],
}

/// What a step saw, before its update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// The whole loss.
    pub loss: f64,
    /// ‖x̂ − y‖², mean over rows.
    pub squared_error: f64,
    /// 1 − Σ‖x̂ − y‖² / Σ‖y − ȳ‖² over the batch; NaN if all rows are equal.
    pub explained_variance: f64,
    /// Active latents, mean over rows.
    pub l0: f64,
    /// The auxiliary loss or the sparsity loss, with its coefficient.
    pub extra_loss: f64,
    /// Latents that count as dead.
    pub dead: usize,
    /// The norm of all gradients before clipping, if they are clipped.
    pub gradient_norm: Option<f64>,
}

/// Where a step's time goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartTimes {
    /// Centring the input and the sums of the report.
    pub prepare: Duration,
    /// The dense product that selects.
    pub select: Duration,
    /// Exact pre-activations, reconstruction, gradients of activations.
    pub decode: Duration,
    /// The auxiliary loss.
    pub auxiliary: Duration,
    /// Turning the code round.
    pub lists: Duration,
    /// Gradients of weights, Adam and constraint.
    pub update: Duration,
}

/// Makes training steps; keeps its memory from one to the next.
#[derive(Debug)]
pub struct Trainer {
    recipe: Recipe,
    selection: Selection,
    code: Code,
    centred: Vec<f32>,
    auxiliary: AuxiliaryPass,
    lists: LatentLists,
    auxiliary_lists: LatentLists,
    input_table: RowTable,
    error_table: RowTable,
    auxiliary_table: RowTable,
    dense: DensePass,
    sparse_l1: SparseL1,
    times: PartTimes,
}

impl Trainer {
    /// A trainer without state of its own: all that a run is made of is in [`Parameters`].
    pub fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            selection: Selection::default(),
            code: Code::default(),
            centred: Vec::new(),
            auxiliary: AuxiliaryPass::default(),
            lists: LatentLists::default(),
            auxiliary_lists: LatentLists::default(),
            input_table: RowTable::default(),
            error_table: RowTable::default(),
            auxiliary_table: RowTable::default(),
            dense: DensePass::default(),
            sparse_l1: SparseL1::default(),
            times: PartTimes::default(),
        }
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The active latents of the last step's rows; empty after a dense step.
    pub fn active(&self) -> &SparseRows {
        if let Objective::L1 { .. } = self.recipe.objective {
            &self.sparse_l1.code.rows
        } else {
            &self.code.rows
        }
    }

    /// The rows of the last step that were selected twice, as the noise of int8 could have mattered.
    pub fn selected_again(&self) -> usize {
        self.code.doubtful.rows.len()
    }

    /// The times of the last step.
    pub fn times(&self) -> PartTimes {
        self.times
    }

    /// Makes one step with learning rate `rate` and says what it saw before.
    ///
    /// A report that is not finite means that the parameters are no longer either: go back to the last checkpoint.
    ///
    /// # Panics
    /// If the batch is empty, is not whole rows, or does not fit the parameters.
    pub fn step(&mut self, parameters: &mut Parameters, batch: Batch<'_>, rate: f64) -> StepReport {
        let rows = batch.inputs.len() / parameters.d_input;
        assert!(
            rows > 0
                && batch.inputs.len() == rows * parameters.d_input
                && batch.targets.len() == rows * parameters.d_output,
            "training step: the batch does not fit the dictionary"
        );
        parameters.steps += 1;
        let update = Update {
            adam: self.recipe.adam.step(parameters.steps, rate),
            unit_decoder: self.recipe.unit_decoder,
            scale: 1.0,
        };
        let clock = Instant::now();
        self.centre(parameters, batch.inputs);
        let (sums, squares) = column_sums(batch.targets, parameters.d_output);
        let spread = squares - sums.iter().map(|sum| sum * sum / rows as f64).sum::<f64>();
        self.times = PartTimes { prepare: clock.elapsed(), ..PartTimes::default() };
        let mut report = match self.recipe.objective {
            Objective::TopK { k, auxiliary } => {
                self.code(parameters, batch, k);
                self.count_idle(parameters, rows);
                let dead = auxiliary.map_or_else(Vec::new, |a| parameters.idle_for(a.dead_after));
                let extra_loss = self.auxiliary(parameters, &dead);
                let gradient_norm = self.update_sparse(parameters, update, extra_loss.is_some());
                let entries = self.code.rows.entries();
                StepReport {
                    squared_error: self.code.squared_error() / rows as f64,
                    l0: entries as f64 / rows as f64,
                    extra_loss: extra_loss.unwrap_or(0.0),
                    dead: dead.len(),
                    gradient_norm,
                    ..StepReport::default()
                }
            }
            Objective::L1 { .. } => {
                let (recipe, centred, targets) = (&self.recipe, &self.centred, batch.targets);
                let sparse = self.sparse_l1.step(recipe, parameters, centred, targets, update);
                sparse.unwrap_or_else(|| self.dense.step(recipe, parameters, centred, targets, update))
            }
        };
        let width = f64::from(self.recipe.target_variance) * parameters.d_output as f64;
        report.loss = report.squared_error / width + report.extra_loss;
        report.explained_variance =
            if spread > 0.0 { 1.0 - report.squared_error * rows as f64 / spread } else { f64::NAN };
        report
    }

    /// What the encoder reads.
    fn centre(&mut self, parameters: &Parameters, inputs: &[f32]) {
        let d_input = parameters.d_input;
        self.centred.resize(inputs.len(), 0.0);
        if !self.recipe.subtract_decoder_bias {
            self.centred.copy_from_slice(inputs);
            return;
        }
        let bias = &parameters.decoder_bias.weights;
        let rows = self.centred.par_chunks_exact_mut(d_input).zip(inputs.par_chunks_exact(d_input));
        rows.with_min_len(ROWS_AT_ONCE).for_each(|(centred, input)| {
            for ((centred, input), bias) in centred.iter_mut().zip(input).zip(bias) {
                *centred = input - bias;
            }
        });
    }

    /// The forward pass on the `k` largest latents of each row.
    fn code(&mut self, parameters: &Parameters, batch: Batch<'_>, k: usize) {
        let clock = Instant::now();
        let precision = self.recipe.precision;
        let coding = Coding { parameters, inputs: &self.centred, chosen: None, k, precision };
        coding.select(&mut self.selection, &mut self.code);
        self.times.select = clock.elapsed();
        let clock = Instant::now();
        let (targets, bias) = (batch.targets, &parameters.decoder_bias.weights);
        coding.decode(&mut self.code, |row, start| {
            let target = &targets[row * bias.len()..];
            for ((start, bias), target) in start.iter_mut().zip(bias).zip(target) {
                *start = bias - target;
            }
        });
        self.times.decode = clock.elapsed();
    }

    /// Counts rows since each latent fired; those that fire in this batch begin anew.
    fn count_idle(&self, parameters: &mut Parameters, rows: usize) {
        parameters.idle_rows.iter_mut().for_each(|idle| *idle += rows as u64);
        for row in 0..rows {
            for &latent in self.code.rows.row(row).indices {
                parameters.idle_rows[latent as usize] = 0;
            }
        }
    }

    /// The auxiliary loss, if there are dead latents and it is defined.
    fn auxiliary(&mut self, parameters: &Parameters, dead: &[u32]) -> Option<f64> {
        let Objective::TopK { auxiliary: Some(auxiliary), .. } = self.recipe.objective else { return None };
        let clock = Instant::now();
        let (inputs, errors, precision) = (&self.centred, &self.code.errors, self.recipe.precision);
        let defined =
            !dead.is_empty() && self.auxiliary.run(auxiliary, parameters, dead, inputs, errors, precision);
        self.times.auxiliary = clock.elapsed();
        defined.then_some(self.auxiliary.loss)
    }

    /// Gradients and update from the code, and from the auxiliary code. Returns the gradients' norm if it is needed.
    fn update_sparse(&mut self, parameters: &mut Parameters, update: Update, auxiliary: bool) -> Option<f64> {
        let clock = Instant::now();
        let values = self.code.errors.len() as f64;
        let scale = (2.0 / values / f64::from(self.recipe.target_variance)) as f32;
        let latents = parameters.latents;
        let main = Part { rows: &self.code.rows, gradients: &self.code.along, scale };
        self.lists.collect(latents, &[main]);
        if auxiliary {
            let AuxiliaryPass { code, gradient_scale, .. } = &self.auxiliary;
            let part = Part { rows: &code.rows, gradients: &code.along, scale: *gradient_scale };
            self.auxiliary_lists.collect(latents, &[part]);
        }
        self.times.lists = clock.elapsed();
        let clock = Instant::now();
        let (d_input, d_output, precision) = (parameters.d_input, parameters.d_output, self.recipe.precision);
        let inputs = self.input_table.hold(&self.centred, d_input, precision);
        let errors = self.error_table.hold(&self.code.errors, d_output, precision);
        let mut sources = vec![Source { lists: &self.lists, errors }];
        if auxiliary {
            let errors = self.auxiliary_table.hold(&self.auxiliary.code.errors, d_output, precision);
            sources.push(Source { lists: &self.auxiliary_lists, errors });
        }
        let gradients = Gradients { inputs, sources: &sources, along_decoder: None };
        let (bias, _) = column_sums(&self.code.errors, d_output);
        let bias: Vec<f64> = bias.iter().map(|sum| sum * f64::from(scale)).collect();
        let norm = apply(&self.recipe, parameters, gradients, &bias, update);
        self.times.update = clock.elapsed();
        norm
    }
}

/// Clips and applies gradients; `bias` `[d_output]` is the decoder bias's from the reconstruction alone.
pub(super) fn apply(
    recipe: &Recipe,
    parameters: &mut Parameters,
    gradients: Gradients<'_>,
    bias: &[f64],
    mut update: Update,
) -> Option<f64> {
    let norm = recipe.gradient_clip.map(|limit| {
        let (squares, through_input) = squared_norm(parameters, gradients, recipe.unit_decoder);
        let bias = decoder_bias_gradient(recipe, bias, &through_input);
        let norm = (squares + bias.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>()).sqrt();
        update.scale = if norm > f64::from(limit) { (f64::from(limit) / norm) as f32 } else { 1.0 };
        norm
    });
    let through_input = update_latents(parameters, gradients, update);
    update.decoder_bias(parameters, &mut decoder_bias_gradient(recipe, bias, &through_input));
    norm
}

/// The decoder bias's gradient from the reconstruction, less that through the encoder's input if it is subtracted there.
pub(super) fn decoder_bias_gradient(recipe: &Recipe, bias: &[f64], through_input: &[f64]) -> Vec<f32> {
    let through = |index: usize| if recipe.subtract_decoder_bias { through_input[index] } else { 0.0 };
    bias.iter().enumerate().map(|(index, bias)| (bias - through(index)) as f32).collect()
}
