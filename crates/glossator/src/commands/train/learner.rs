//! One dictionary of a run: its columns, normalisation, recipe, weights and metrics.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use glossator_dictionary::formats::Format;
use glossator_dictionary::training::{
    Auxiliary, Batch, EventFile, Objective, Parameters, ParametersState, Recipe, Schedule, StepReport,
    Trainer, geometric_median, initialise,
};
use glossator_dictionary::{Metadata, Normalisation};
use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::Adam;
use serde::{Deserialize, Serialize};

use super::activations::Columns;
use super::run_file::{DictionaryEntry, NormalisationEntry, Variant};

/// Rows that the geometric median, the scale and the variance are taken from.
const SAMPLE: usize = 8192;

/// What a learner is made of beside its arrays.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct LearnerState {
    parameters: ParametersState,
    normalisation: Normalisation,
    /// Of the metrics file, as of the last checkpoint.
    metrics_bytes: u64,
    target_variance: f32,
}

/// One line of the metrics file.
#[derive(Serialize)]
struct Metrics {
    step: u64,
    rows: u64,
    loss: f64,
    squared_error: f64,
    explained_variance: f64,
    l0: f64,
    extra_loss: f64,
    dead_share: f64,
    learning_rate: f64,
}

/// A dictionary in training.
pub(super) struct Learner {
    pub(super) entry: DictionaryEntry,
    read: Columns,
    target: Columns,
    normalisation: Normalisation,
    schedule: Schedule,
    pub(super) parameters: Parameters,
    trainer: Trainer,
    directory: PathBuf,
    metrics: File,
    events: EventFile,
    inputs: Vec<f32>,
    targets: Vec<f32>,
    pub(super) last: StepReport,
}

/// What all learners of a run share.
pub(super) struct Shared<'a> {
    pub(super) out: &'a Path,
    pub(super) precision: Precision,
    pub(super) steps: u64,
    pub(super) width: usize,
}

impl Learner {
    /// A learner that begins with what the first joint rows show.
    pub(super) fn begin(
        entry: &DictionaryEntry,
        [read, target]: [Columns; 2],
        rows: &[f32],
        shared: &Shared<'_>,
    ) -> anyhow::Result<Self> {
        let rows = &rows[..rows.len().min(SAMPLE * shared.width)];
        let scale = |columns: Columns| {
            let squares: f64 =
                rows.chunks_exact(shared.width).map(|row| squared_norm(part(row, columns))).sum();
            let mean = squares / (rows.len() / shared.width) as f64;
            (columns.count as f64 / mean).sqrt() as f32
        };
        let normalisation = match entry.normalisation {
            NormalisationEntry::None => Normalisation::None,
            NormalisationEntry::Scale => Normalisation::Scale(scale(read)),
            NormalisationEntry::LayerNorm => Normalisation::LayerNorm { epsilon: 1e-5 },
        };
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        normalise(rows, shared.width, read, target, normalisation, &mut inputs, &mut targets);
        let latents = entry.latents.or(entry.expansion.map(|e| e * read.count)).unwrap_or(read.count);
        let bias = geometric_median(&targets, target.count);
        let variance = variance(&targets, target.count);
        let parameters = if read == target {
            initialise(latents, bias, entry.seed)
        } else {
            let encoder = initialise(latents, vec![0.0; read.count], entry.seed).encoder.weights;
            let decoder = initialise(latents, bias.clone(), entry.seed ^ 1).decoder.weights;
            Parameters::new(encoder, vec![0.0; latents], decoder, bias)
        };
        Self::assemble(entry, [read, target], normalisation, variance, parameters, 0, shared)
    }

    /// A learner as it was.
    pub(super) fn resume(
        entry: &DictionaryEntry,
        columns: [Columns; 2],
        state: LearnerState,
        arrays: Vec<Vec<f32>>,
        shared: &Shared<'_>,
    ) -> anyhow::Result<Self> {
        let LearnerState { parameters, normalisation, metrics_bytes, target_variance } = state;
        let parameters = Parameters::restore(parameters, arrays)
            .with_context(|| format!("{}: the checkpoint contradicts itself", entry.name))?;
        Self::assemble(entry, columns, normalisation, target_variance, parameters, metrics_bytes, shared)
    }

    fn assemble(
        entry: &DictionaryEntry,
        [read, target]: [Columns; 2],
        normalisation: Normalisation,
        variance: f32,
        parameters: Parameters,
        metrics_bytes: u64,
        shared: &Shared<'_>,
    ) -> anyhow::Result<Self> {
        let directory = shared.out.join(&entry.name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let path = directory.join("metrics.jsonl");
        let metrics = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        // Lines after the checkpoint are written again.
        metrics.set_len(metrics_bytes.min(metrics.metadata()?.len()))?;
        let events = EventFile::append(&directory.join("events.out.tfevents.0"))?;
        let recipe = recipe(entry, read, target, variance, shared.precision);
        let schedule = Schedule {
            steps: shared.steps,
            warm_up: entry.warm_up,
            decay: entry.decay.unwrap_or(shared.steps / 5),
        };
        Ok(Self {
            entry: entry.clone(),
            read,
            target,
            normalisation,
            schedule,
            parameters,
            trainer: Trainer::new(recipe),
            directory,
            metrics,
            events,
            inputs: Vec::new(),
            targets: Vec::new(),
            last: StepReport::default(),
        })
    }

    /// What has to be saved beside the parameters' arrays.
    pub(super) fn state(&self) -> anyhow::Result<LearnerState> {
        Ok(LearnerState {
            parameters: self.parameters.state(),
            normalisation: self.normalisation,
            metrics_bytes: self.metrics.metadata()?.len(),
            target_variance: self.trainer.recipe().target_variance,
        })
    }

    /// One step on joint rows.
    pub(super) fn step(&mut self, rows: &[f32], width: usize) -> anyhow::Result<()> {
        normalise(
            rows,
            width,
            self.read,
            self.target,
            self.normalisation,
            &mut self.inputs,
            &mut self.targets,
        );
        let latents = self.parameters.latents as f64;
        let rate = self.entry.learning_rate.unwrap_or(1e-4 * (32_768.0 / latents).sqrt());
        let rate = rate * self.schedule.factor(self.parameters.steps + 1);
        let transcodes = self.read != self.target;
        let targets = if transcodes { &self.targets } else { &self.inputs };
        let batch = Batch { inputs: &self.inputs, targets };
        let report = self.trainer.step(&mut self.parameters, batch, rate);
        let step = self.parameters.steps;
        if !report.loss.is_finite() {
            bail!("{}: the loss of step {step} is {}", self.entry.name, report.loss);
        }
        let metrics = Metrics {
            step,
            rows: step * (rows.len() / width) as u64,
            loss: report.loss,
            squared_error: report.squared_error,
            explained_variance: report.explained_variance,
            l0: report.l0,
            extra_loss: report.extra_loss,
            dead_share: report.dead as f64 / latents,
            learning_rate: rate,
        };
        writeln!(self.metrics, "{}", serde_json::to_string(&metrics)?)?;
        self.events.scalars(
            step,
            &[
                ("loss", metrics.loss),
                ("explained_variance", metrics.explained_variance),
                ("l0", metrics.l0),
                ("dead_share", metrics.dead_share),
                ("learning_rate", metrics.learning_rate),
            ],
        )?;
        self.last = report;
        Ok(())
    }

    /// Writes the dictionary.
    pub(super) fn finish(&self, metadata: Metadata) -> anyhow::Result<PathBuf> {
        let dictionary = self.parameters.dictionary(self.trainer.recipe(), self.normalisation, metadata);
        let path = self.directory.join("dictionary");
        Format::SaeLens.write(&dictionary, &path)?;
        Ok(path)
    }
}

/// The recipe of an entry, with the constants of its publication.
fn recipe(
    entry: &DictionaryEntry,
    read: Columns,
    target: Columns,
    variance: f32,
    precision: Precision,
) -> Recipe {
    let d = target.count as f32;
    let l1 = |by_decoder_norm| Objective::L1 { coefficient: entry.l1.unwrap_or(0.0), by_decoder_norm };
    let (objective, target_variance) = match entry.variant {
        Variant::TopK => {
            let largest_power = 1 << (target.count / 2).max(1).ilog2();
            let auxiliary_k = entry.auxiliary_k.unwrap_or(largest_power);
            let auxiliary = Auxiliary {
                k: auxiliary_k,
                coefficient: entry.auxiliary_coefficient,
                dead_after: entry.dead_after,
            };
            let auxiliary = (auxiliary_k > 0).then_some(auxiliary);
            (Objective::TopK { k: entry.k.unwrap_or(1), auxiliary }, variance)
        }
        Variant::L1 => (l1(false), 1.0),
        Variant::L1ByNorm => (l1(true), 1.0 / d),
    };
    let by_norm = entry.variant == Variant::L1ByNorm;
    Recipe {
        objective,
        subtract_decoder_bias: !by_norm && read == target,
        unit_decoder: !by_norm,
        adam: Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: if entry.variant == Variant::TopK { 6.25e-10 } else { 1e-8 },
        },
        gradient_clip: entry.gradient_clip.or(by_norm.then_some(1.0)),
        target_variance,
        precision,
    }
}

fn part(row: &[f32], columns: Columns) -> &[f32] {
    &row[columns.start..][..columns.count]
}

fn squared_norm(row: &[f32]) -> f64 {
    row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

/// The columns that are read, normalised, and for a transcoder those that are reconstructed, by the same scale.
fn normalise(
    rows: &[f32],
    width: usize,
    read: Columns,
    target: Columns,
    normalisation: Normalisation,
    inputs: &mut Vec<f32>,
    targets: &mut Vec<f32>,
) {
    let count = rows.len() / width;
    inputs.resize(count * read.count, 0.0);
    targets.resize(count * target.count, 0.0);
    let outputs = inputs.chunks_exact_mut(read.count).zip(targets.chunks_exact_mut(target.count));
    for (row, (input, output)) in rows.chunks_exact(width).zip(outputs) {
        let map = normalisation.row_map(part(row, read));
        map.apply(part(row, read), input);
        map.apply(part(row, target), output);
    }
}

/// The mean squared distance of a value to its column's mean.
fn variance(rows: &[f32], width: usize) -> f32 {
    let count = (rows.len() / width) as f64;
    let mut sums = vec![0.0; width];
    let mut squares = 0.0;
    for row in rows.chunks_exact(width) {
        squares += squared_norm(row);
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let means: f64 = sums.iter().map(|sum| sum * sum / count).sum();
    ((squares - means) / rows.len() as f64) as f32
}
