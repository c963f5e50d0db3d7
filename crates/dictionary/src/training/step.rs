//! One training step: forward, loss, all gradients, Adam, constraint.

use std::time::{Duration, Instant};

use glossator_kernels::sparse_coding::{LatentLists, Part, Selection, SparseRows};
use rayon::prelude::*;

use super::auxiliary::AuxiliaryPass;
use super::batch_top_k::BatchSelection;
use super::chunked::{ChunkedPass, error_scale, squared};
use super::dense::DensePass;
use super::encode::{Code, Coding, ROWS_AT_ONCE};
use super::gated::Gate;
use super::gradients::{Gradients, RowTable, Source, column_sums};
use super::jump_relu::Jump;
use super::objective::{Objective, Recipe};
use super::p_annealing::{Power, remember};
use super::parameters::Parameters;
use super::sparse_l1::SparseL1;
use super::update::{Update, squared_norm, update_latents};
use super::{matryoshka, multi_top_k, skip};

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
    penalty: f32,
    selection: Selection,
    batch_selection: BatchSelection,
    code: Code,
    /// Of Multi-TopK: the code of more latents. Of Matryoshka: a code for each group, which take the code's place in
    /// the gradients.
    further: Vec<Code>,
    centred: Vec<f32>,
    /// The targets, less what a skip connection explains.
    targets: Vec<f32>,
    auxiliary: AuxiliaryPass,
    input_table: RowTable,
    /// One for each loss.
    lists: Vec<LatentLists>,
    tables: Vec<RowTable>,
    dense: DensePass,
    sparse_l1: SparseL1,
    chunked: ChunkedPass,
    times: PartTimes,
}

impl Trainer {
    /// A trainer without state of its own: all that a run is made of is in [`Parameters`].
    pub fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            penalty: 1.0,
            selection: Selection::default(),
            batch_selection: BatchSelection::default(),
            code: Code::default(),
            further: Vec::new(),
            centred: Vec::new(),
            targets: Vec::new(),
            auxiliary: AuxiliaryPass::default(),
            input_table: RowTable::default(),
            lists: Vec::new(),
            tables: Vec::new(),
            dense: DensePass::default(),
            sparse_l1: SparseL1::default(),
            chunked: ChunkedPass::default(),
            times: PartTimes::default(),
        }
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Multiplies the sparsity penalty from the next step on, for a penalty that rises while training begins.
    pub fn scale_penalty(&mut self, factor: f32) {
        self.penalty = factor;
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
        let skips = !parameters.skip.weights.is_empty();
        let mut targets = std::mem::take(&mut self.targets);
        let seen = if skips {
            skip::unexplained(parameters, batch.inputs, batch.targets, &mut targets);
            Batch { inputs: batch.inputs, targets: &targets }
        } else {
            batch
        };
        let (mut report, shorter) = match self.recipe.objective {
            Objective::TopK { .. }
            | Objective::MultiTopK { .. }
            | Objective::BatchTopK { .. }
            | Objective::Matryoshka { .. } => self.competing(parameters, seen, update),
            Objective::L1 { .. } if !skips => {
                let recipe =
                    Recipe { objective: self.recipe.objective.penalised(self.penalty), ..self.recipe };
                let (centred, targets) = (&self.centred, seen.targets);
                let sparse = self.sparse_l1.step(&recipe, parameters, centred, targets, update);
                (
                    sparse.unwrap_or_else(|| self.dense.step(&recipe, parameters, centred, targets, update)),
                    0.0,
                )
            }
            Objective::L1 { .. }
            | Objective::PAnnealing(_)
            | Objective::JumpRelu(_)
            | Objective::Gated { .. } => (self.pointwise(parameters, seen, update), 0.0),
        };
        self.targets = targets;
        let width = f64::from(self.recipe.target_variance) * parameters.d_output as f64;
        report.loss = (report.squared_error + shorter / rows as f64) / width + report.extra_loss;
        report.explained_variance =
            if spread > 0.0 { 1.0 - report.squared_error * rows as f64 / spread } else { f64::NAN };
        report
    }

    /// A step of latents that compete for places. Returns the report, and the weighted squared errors of reconstructions
    /// beside that of the whole dictionary.
    fn competing(
        &mut self,
        parameters: &mut Parameters,
        batch: Batch<'_>,
        update: Update,
    ) -> (StepReport, f64) {
        let rows = self.centred.len() / parameters.d_input;
        let shorter = self.code(parameters, batch);
        self.count_idle(parameters, rows);
        let auxiliary = self.recipe.objective.auxiliary();
        let dead = auxiliary.map_or_else(Vec::new, |a| parameters.idle_for(a.dead_after));
        let extra_loss = self.auxiliary(parameters, &dead);
        let gradient_norm = self.update_sparse(parameters, batch.inputs, update, extra_loss.is_some());
        let report = StepReport {
            squared_error: self.code.squared_error() / rows as f64,
            l0: self.code.rows.entries() as f64 / rows as f64,
            extra_loss: extra_loss.unwrap_or(0.0),
            dead: dead.len(),
            gradient_norm,
            ..StepReport::default()
        };
        (report, shorter)
    }

    /// A step of latents that do not compete.
    fn pointwise(&mut self, parameters: &mut Parameters, batch: Batch<'_>, update: Update) -> StepReport {
        let (recipe, objective) = (self.recipe, self.recipe.objective.penalised(self.penalty));
        let rows = self.centred.len() / parameters.d_input;
        let scale = error_scale(&recipe, rows, parameters.d_output);
        let (pass, centred) = (&mut self.chunked, &self.centred);
        match objective {
            Objective::JumpRelu(settings) => {
                let variant = Jump::new(settings, parameters, scale, rows);
                pass.step(&recipe, parameters, centred, batch, variant, update).0
            }
            Objective::Gated { coefficient } => {
                let variant = Gate::new(coefficient, parameters, scale, rows);
                pass.step(&recipe, parameters, centred, batch, variant, update).0
            }
            Objective::PAnnealing(annealing) => {
                let step = parameters.steps;
                let (p, next, coefficient) = annealing.advance(&mut parameters.progress, step);
                let variant = Power::new(parameters, [p, next], coefficient, false, scale, rows);
                let (report, sums) = pass.step(&recipe, parameters, centred, batch, variant, update);
                remember(&mut parameters.progress, sums);
                report
            }
            Objective::L1 { coefficient, by_decoder_norm } => {
                let variant = Power::new(parameters, [1.0; 2], coefficient, by_decoder_norm, scale, rows);
                pass.step(&recipe, parameters, centred, batch, variant, update).0
            }
            Objective::TopK { .. }
            | Objective::MultiTopK { .. }
            | Objective::BatchTopK { .. }
            | Objective::Matryoshka { .. } => unreachable!("latents that compete are selected"),
        }
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

    /// The forward pass on the selected latents. Returns the weighted squared errors of further reconstructions.
    fn code(&mut self, parameters: &mut Parameters, batch: Batch<'_>) -> f64 {
        let clock = Instant::now();
        let precision = self.recipe.precision;
        let mut progress = std::mem::take(&mut parameters.progress);
        let bias = &parameters.decoder_bias.weights;
        let start = |row: usize, start: &mut [f32]| {
            let target = &batch.targets[row * bias.len()..];
            for ((start, bias), target) in start.iter_mut().zip(bias).zip(target) {
                *start = bias - target;
            }
        };
        let coding = |k| Coding { parameters, inputs: &self.centred, chosen: None, k, precision };
        let (selection, code) = (&mut self.selection, &mut self.code);
        let mut shorter = 0.0;
        match self.recipe.objective {
            Objective::TopK { k, .. } => {
                coding(k).select(selection, code);
                self.times.select = clock.elapsed();
                coding(k).decode(code, start);
            }
            Objective::MultiTopK { k, .. } => {
                self.further.resize_with(1, Code::default);
                let wide = &mut self.further[0];
                let wider = (multi_top_k::WIDER * k).min(parameters.latents);
                coding(wider).select(selection, wide);
                self.times.select = clock.elapsed();
                coding(wider).decode(wide, start);
                multi_top_k::narrow(&wide.rows, k, &mut code.rows);
                coding(k).reconstruct(code, start);
                shorter = f64::from(multi_top_k::WEIGHT) * wide.squared_error();
            }
            Objective::BatchTopK { k, .. } => {
                self.batch_selection.select(coding(k), selection, &mut code.rows, &mut progress);
                self.times.select = clock.elapsed();
                coding(k).reconstruct(code, start);
            }
            Objective::Matryoshka { k, prefixes, .. } => {
                self.batch_selection.select(coding(k), selection, &mut code.rows, &mut progress);
                self.times.select = clock.elapsed();
                shorter = matryoshka::reconstruct(coding(k), &prefixes, code, &mut self.further, start);
            }
            Objective::L1 { .. }
            | Objective::PAnnealing(_)
            | Objective::JumpRelu(_)
            | Objective::Gated { .. } => unreachable!("latents that do not compete are not selected"),
        }
        self.times.decode = clock.elapsed().saturating_sub(self.times.select);
        parameters.progress = progress;
        shorter
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
        let auxiliary = self.recipe.objective.auxiliary()?;
        let clock = Instant::now();
        let (inputs, errors, precision) = (&self.centred, &self.code.errors, self.recipe.precision);
        let defined =
            !dead.is_empty() && self.auxiliary.run(auxiliary, parameters, dead, inputs, errors, precision);
        self.times.auxiliary = clock.elapsed();
        defined.then_some(self.auxiliary.loss)
    }

    /// Gradients and update from the codes. Returns the gradients' norm if it is needed.
    fn update_sparse(
        &mut self,
        parameters: &mut Parameters,
        inputs: &[f32],
        update: Update,
        auxiliary: bool,
    ) -> Option<f64> {
        let clock = Instant::now();
        let Parameters { d_input, d_output, latents, .. } = *parameters;
        let rows = self.centred.len() / d_input;
        let scale = error_scale(&self.recipe, rows, d_output);
        let mut losses: Vec<(&Code, f32)> = match self.recipe.objective {
            Objective::Matryoshka { .. } => self.further.iter().map(|group| (group, scale)).collect(),
            Objective::MultiTopK { .. } => {
                vec![(&self.code, scale), (&self.further[0], multi_top_k::WEIGHT * scale)]
            }
            _ => vec![(&self.code, scale)],
        };
        // The errors of Matryoshka's first group are those of all prefixes together.
        let reach_bias =
            if let Objective::Matryoshka { .. } = self.recipe.objective { 1 } else { losses.len() };
        let reach_bias: Vec<(&[f32], f32)> =
            losses[..reach_bias].iter().map(|(code, scale)| (code.errors.as_slice(), *scale)).collect();
        if auxiliary {
            losses.push((&self.auxiliary.code, self.auxiliary.gradient_scale));
        }
        self.lists.resize_with(losses.len(), LatentLists::default);
        for (lists, (code, scale)) in self.lists.iter_mut().zip(&losses) {
            lists.collect(latents, &[Part { rows: &code.rows, gradients: &code.along, scale: *scale }]);
        }
        self.times.lists = clock.elapsed();
        let clock = Instant::now();
        let precision = self.recipe.precision;
        let input_table = self.input_table.hold(&self.centred, d_input, precision);
        self.tables.resize_with(losses.len(), RowTable::default);
        let tables = self.tables.iter_mut().zip(&self.lists).zip(&losses);
        let sources: Vec<Source<'_>> = tables
            .map(|((table, lists), (code, _))| Source {
                lists,
                errors: table.hold(&code.errors, d_output, precision),
            })
            .collect();
        let gradients = Gradients { inputs: input_table, sources: &sources, along_decoder: None };
        let mut bias = vec![0.0; d_output];
        for (errors, scale) in &reach_bias {
            let (sums, _) = column_sums(errors, d_output);
            bias.iter_mut().zip(sums).for_each(|(bias, sum)| *bias += sum * f64::from(*scale));
        }
        let skips = !parameters.skip.weights.is_empty();
        let skip = skips.then(|| skip::gradient(parameters, inputs, &reach_bias));
        let norm = apply(&self.recipe, parameters, gradients, &bias, skip, update);
        self.times.update = clock.elapsed();
        norm
    }
}

/// Clips and applies gradients; `bias` `[d_output]` is the decoder bias's from the reconstruction alone, `skip` the skip
/// connection's.
pub(super) fn apply(
    recipe: &Recipe,
    parameters: &mut Parameters,
    gradients: Gradients<'_>,
    bias: &[f64],
    mut skip: Option<Vec<f32>>,
    mut update: Update,
) -> Option<f64> {
    let norm = recipe.gradient_clip.map(|limit| {
        let (squares, through_input) = squared_norm(parameters, gradients, recipe.unit_decoder);
        let bias = decoder_bias_gradient(recipe, bias, &through_input);
        let norm = (squares + squared(&bias) + skip.as_deref().map_or(0.0, squared)).sqrt();
        update.scale = if norm > f64::from(limit) { (f64::from(limit) / norm) as f32 } else { 1.0 };
        norm
    });
    let through_input = update_latents(parameters, gradients, update);
    update.decoder_bias(parameters, &mut decoder_bias_gradient(recipe, bias, &through_input));
    if let Some(gradient) = &mut skip {
        update.tensor(&mut parameters.skip, gradient);
    }
    norm
}

/// The decoder bias's gradient from the reconstruction, less that through the encoder's input if it is subtracted there.
pub(super) fn decoder_bias_gradient(recipe: &Recipe, bias: &[f64], through_input: &[f64]) -> Vec<f32> {
    let through = |index: usize| if recipe.subtract_decoder_bias { through_input[index] } else { 0.0 };
    bias.iter().enumerate().map(|(index, bias)| (bias - through(index)) as f32).collect()
}
