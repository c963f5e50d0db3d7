//! One dictionary of a run: its columns, normalisation, recipe, weights and metrics.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use glossator_dictionary::formats::Format;
use glossator_dictionary::training::{
    Batch, Parameters, ParametersState, Random, Schedule, StepReport, Trainer, WeightAverage, resample,
};
use glossator_dictionary::{Dictionary, DictionaryError, Metadata, Normalisation};
use glossator_kernels::Precision;
use serde::{Deserialize, Serialize};

use super::activations::Columns;
use super::entry::{DictionaryEntry, NormalisationEntry};
use super::metrics::{Metrics, MetricsFiles, Written};
use super::recipe::{self, Setting};

/// Rows that the geometric median, the scale and the variance are taken from.
const SAMPLE: usize = 8192;
/// Formats that a dictionary is saved in: the first that can say what it computes. The last can say everything.
const FORMATS: [Format; 3] = [Format::SaeLens, Format::Sparsify, Format::Glossator];

/// What a learner is made of beside its arrays.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct LearnerState {
    parameters: ParametersState,
    normalisation: Normalisation,
    written: Written,
    target_variance: f32,
}

/// A dictionary in training.
pub(super) struct Learner {
    pub(super) entry: DictionaryEntry,
    read: Columns,
    target: Columns,
    normalisation: Normalisation,
    schedule: Schedule,
    pub(super) parameters: Parameters,
    average: Option<WeightAverage>,
    trainer: Trainer,
    pub(super) directory: PathBuf,
    metrics: MetricsFiles,
    inputs: Vec<f32>,
    targets: Vec<f32>,
    pub(super) last: StepReport,
}

/// What all learners of a run share.
pub(super) struct Shared<'a> {
    pub(super) out: &'a Path,
    pub(super) precision: Precision,
    pub(super) steps: u64,
    /// Rows of a step.
    pub(super) batch: usize,
    pub(super) width: usize,
}

/// What a learner begins or goes on with.
#[derive(Clone, Copy)]
struct Origin {
    normalisation: Normalisation,
    variance: f32,
    written: Written,
}

impl Learner {
    /// Refuses an entry that contradicts the hook points' widths, before the model runs for minutes to fill the buffer.
    pub(super) fn check(entry: &DictionaryEntry, [read, target]: [Columns; 2]) -> anyhow::Result<()> {
        let setting = Setting {
            widths: [read.count, target.count],
            latents: latents(entry, read),
            variance: 1.0,
            steps: 0,
            precision: Precision::F32,
        };
        recipe::recipe(entry, &setting).map(|_| ())
    }

    /// A learner that begins with what the first joint rows show.
    pub(super) fn begin(
        entry: &DictionaryEntry,
        [read, target]: [Columns; 2],
        rows: &[f32],
        shared: &Shared<'_>,
    ) -> anyhow::Result<Self> {
        let rows = &rows[..rows.len().min(SAMPLE * shared.width)];
        let scale = |norm: f64| {
            let squares: f64 = rows.chunks_exact(shared.width).map(|row| squared_norm(part(row, read))).sum();
            let mean = squares / (rows.len() / shared.width) as f64;
            let scale = (norm / mean).sqrt() as f32;
            ensure!(
                scale.is_finite() && scale > 0.0,
                "{}: the activations of {} have a mean squared norm of {mean}, which cannot be scaled",
                entry.name,
                entry.hook
            );
            Ok(Normalisation::Scale(scale))
        };
        let normalisation = match entry.normalisation {
            NormalisationEntry::None => Normalisation::None,
            NormalisationEntry::Scale => scale(read.count as f64)?,
            NormalisationEntry::Unit => scale(1.0)?,
            NormalisationEntry::LayerNorm => Normalisation::LayerNorm { epsilon: 1e-5 },
        };
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        normalise(rows, shared.width, read, target, normalisation, &mut inputs, &mut targets);
        let variance = variance(&targets, target.count);
        ensure!(variance > 0.0, "{}: all activations of {} are the same", entry.name, entry.hook);
        let setting = setting(entry, [read, target], variance, shared);
        let parameters = recipe::begin(entry, &setting, &targets);
        let origin = Origin { normalisation, variance, written: Written::default() };
        Self::assemble(entry, [read, target], origin, parameters, shared)
    }

    /// A learner as it was, with as many of `arrays` as it has.
    pub(super) fn resume(
        entry: &DictionaryEntry,
        columns: [Columns; 2],
        state: LearnerState,
        arrays: &mut impl Iterator<Item = Vec<f32>>,
        shared: &Shared<'_>,
    ) -> anyhow::Result<Self> {
        let LearnerState { parameters, normalisation, written, target_variance } = state;
        let contradiction = || format!("{}: the checkpoint contradicts itself", entry.name);
        let own = arrays.take(Parameters::ARRAYS).collect();
        let parameters = Parameters::restore(parameters, own).with_context(contradiction)?;
        let origin = Origin { normalisation, variance: target_variance, written };
        let mut learner = Self::assemble(entry, columns, origin, parameters, shared)?;
        if let Some(decay) = entry.average {
            let sums = arrays.take(Parameters::TENSORS).collect();
            let average = WeightAverage::restore(decay, &learner.parameters, sums);
            learner.average = Some(average.with_context(contradiction)?);
        }
        Ok(learner)
    }

    fn assemble(
        entry: &DictionaryEntry,
        columns: [Columns; 2],
        origin: Origin,
        parameters: Parameters,
        shared: &Shared<'_>,
    ) -> anyhow::Result<Self> {
        let directory = shared.out.join(&entry.name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let metrics = MetricsFiles::open(&directory, origin.written)?;
        let recipe = recipe::recipe(entry, &setting(entry, columns, origin.variance, shared))?;
        let [read, target] = columns;
        Ok(Self {
            entry: entry.clone(),
            read,
            target,
            normalisation: origin.normalisation,
            schedule: recipe::schedule(entry, shared.steps),
            average: entry.average.map(|decay| WeightAverage::new(decay, &parameters)),
            parameters,
            trainer: Trainer::new(recipe),
            directory,
            metrics,
            inputs: Vec::new(),
            targets: Vec::new(),
            last: StepReport::default(),
        })
    }

    /// What has to be saved beside the arrays.
    pub(super) fn state(&self) -> anyhow::Result<LearnerState> {
        Ok(LearnerState {
            parameters: self.parameters.state(),
            normalisation: self.normalisation,
            written: self.metrics.written()?,
            target_variance: self.trainer.recipe().target_variance,
        })
    }

    /// Weights, moments and averages.
    pub(super) fn arrays(&self) -> Vec<&[f32]> {
        let mut arrays = self.parameters.arrays();
        arrays.extend(self.average.iter().flat_map(WeightAverage::arrays));
        arrays
    }

    /// Refuses weights that the last update has made infinite or NaN: its loss was still that of the weights before.
    pub(super) fn check_weights(&self) -> anyhow::Result<()> {
        let finite = self.arrays().into_iter().flatten().all(|weight| weight.is_finite());
        let (name, step) = (&self.entry.name, self.parameters.steps);
        ensure!(finite, "{name}: the update of step {step} has made weights that are not finite numbers");
        Ok(())
    }

    /// One step on joint rows `rows`; `buffered` are those that wait.
    pub(super) fn step(&mut self, rows: &[f32], buffered: &[f32], shared: &Shared<'_>) -> anyhow::Result<()> {
        let resampled = self.resample(buffered, shared);
        let width = shared.width;
        let (read, target, normalisation) = (self.read, self.target, self.normalisation);
        normalise(rows, width, read, target, normalisation, &mut self.inputs, &mut self.targets);
        let step = self.parameters.steps + 1;
        if !self.inputs.iter().all(|x| x.is_finite()) {
            let name = &self.entry.name;
            bail!("{name}: the batch of step {step} holds activations that are not finite numbers");
        }
        let latents = self.parameters.latents;
        let rate = recipe::learning_rate(&self.entry, latents) * self.schedule.factor(step);
        let warm_up = self.entry.penalty_warm_up;
        let risen = if warm_up == 0 { 1.0 } else { (step as f64 / warm_up as f64).min(1.0) };
        self.trainer.scale_penalty(risen as f32);
        let targets = if self.entry.transcodes() { &self.targets } else { &self.inputs };
        let mut report =
            self.trainer.step(&mut self.parameters, Batch { inputs: &self.inputs, targets }, rate);
        if !report.loss.is_finite() {
            bail!("{}: the loss of step {step} is {}", self.entry.name, report.loss);
        }
        if let Some(average) = &mut self.average {
            average.update(&self.parameters);
        }
        report.dead = self.parameters.idle_for(self.entry.dead_after).len();
        self.metrics.write(&Metrics {
            step,
            rows: step * shared.batch as u64,
            loss: report.loss,
            squared_error: report.squared_error,
            explained_variance: Some(report.explained_variance).filter(|value| value.is_finite()),
            l0: report.l0,
            extra_loss: report.extra_loss,
            dead_share: report.dead as f64 / latents as f64,
            learning_rate: rate,
            resampled,
        })?;
        self.last = report;
        Ok(())
    }

    /// Lets dead latents begin anew, after the steps that the entry names.
    fn resample(&mut self, buffered: &[f32], shared: &Shared<'_>) -> usize {
        let (entry, steps) = (&self.entry, self.parameters.steps);
        if !entry.resample_at.contains(&steps) || buffered.is_empty() {
            return 0;
        }
        let window = entry.resample_window.unwrap_or(entry.resample_at[0] / 2).max(1);
        let dead = self.parameters.idle_for(window * shared.batch as u64);
        // The buffer's rows are in no order that means anything.
        let rows = &buffered[..buffered.len().min(entry.resample_rows.saturating_mul(shared.width))];
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        let (read, target, normalisation) = (self.read, self.target, self.normalisation);
        normalise(rows, shared.width, read, target, normalisation, &mut inputs, &mut targets);
        let batch = Batch { inputs: &inputs, targets: &targets };
        let mut random = Random::new(entry.seed ^ steps.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        resample(&mut self.parameters, self.trainer.recipe(), batch, &dead, &mut random)
    }

    /// The dictionary as it is now.
    pub(super) fn dictionary(&self, metadata: Metadata) -> Dictionary {
        let averaged = self.average.as_ref().filter(|_| self.parameters.steps > 0);
        let averaged = averaged.map(|average| average.averaged(&self.parameters));
        let parameters = averaged.as_ref().unwrap_or(&self.parameters);
        parameters.dictionary(self.trainer.recipe(), self.normalisation, metadata)
    }

    /// Writes a dictionary of this learner to its directory, in the first format that can say what it computes.
    pub(super) fn save(&self, dictionary: &Dictionary) -> anyhow::Result<PathBuf> {
        let path = self.directory.join("dictionary");
        for format in FORMATS {
            match format.write(dictionary, &path) {
                Ok(()) => return Ok(path),
                Err(DictionaryError::Unsupported { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("{}: no format can say what this dictionary computes", self.entry.name)
    }
}

fn setting(
    entry: &DictionaryEntry,
    [read, target]: [Columns; 2],
    variance: f32,
    shared: &Shared<'_>,
) -> Setting {
    Setting {
        widths: [read.count, target.count],
        latents: latents(entry, read),
        variance,
        steps: shared.steps,
        precision: shared.precision,
    }
}

fn latents(entry: &DictionaryEntry, read: Columns) -> usize {
    entry.latents.or(entry.expansion.map(|e| e * read.count)).unwrap_or(read.count)
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
