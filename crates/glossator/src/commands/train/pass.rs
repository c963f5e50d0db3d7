//! The pass: windows through the model into the buffer, batches out of it into every learner, checkpoints on the way.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use glossator_corpus::{Corpus, Shard};
use glossator_dictionary::Metadata;
use glossator_dictionary::training::{Random, ShuffleBuffer, load_checkpoint, save_checkpoint};
use glossator_kernels::Backend;
use glossator_model::{Model, Precision};
use serde::{Deserialize, Serialize};

use super::activations::JointRows;
use super::cache::{self, Cache, Manifest};
use super::learner::{Learner, LearnerState, Shared};
use super::measured::measure;
use super::run_file::RunFile;
use super::summary::{DictionarySummary, Summary};
use crate::arguments::model;
use crate::output;

/// Windows of a forward pass.
const BATCH_WINDOWS: usize = 64;
const CHECKPOINT: &str = "training.checkpoint";

/// The state of a run beside arrays.
#[derive(Serialize, Deserialize)]
struct State {
    run: RunFile,
    /// Whether activations came through a cache, rounded.
    cached: bool,
    /// Batches of windows read.
    batches: usize,
    random: Random,
    learners: Vec<LearnerState>,
}

/// A run on its way.
struct Pass<'a> {
    run: &'a RunFile,
    model: Model,
    corpus: Corpus,
    joint: JointRows,
    cache: Option<Cache>,
    buffer: ShuffleBuffer,
    learners: Vec<Learner>,
    batches: usize,
    steps: u64,
    batch: Vec<f32>,
}

/// Trains everything that a run file asks for.
pub(super) fn train(run: &RunFile, cache: Option<&Path>, checkpoint_seconds: f64) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let mut pass = Pass::open(run, cache)?;
    let path = run.out.join(CHECKPOINT);
    fs::create_dir_all(&run.out).with_context(|| format!("cannot create {}", run.out.display()))?;
    if path.exists() {
        pass.resume(&path)?;
    }
    let bar = output::progress(pass.steps * run.batch as u64, "tokens");
    bar.set_message("training");
    bar.set_position(pass.steps_done() * run.batch as u64);
    let mut saved = Instant::now();
    let total = pass.corpus.batches(BATCH_WINDOWS, Shard::WHOLE).count();
    for index in pass.batches..total {
        let rows = pass.rows(index)?;
        pass.buffer.push(&rows);
        pass.batches = index + 1;
        let last = pass.batches == total;
        if last || pass.buffer.len() >= run.buffer {
            pass.learn(if last { 0 } else { run.buffer / 2 }, &path, &bar)?;
        }
        if !pass.learners.is_empty() && saved.elapsed().as_secs_f64() >= checkpoint_seconds && !last {
            pass.save(&path)?;
            saved = Instant::now();
        }
    }
    bar.finish_and_clear();
    pass.check_weights(&path)?;
    let summary = pass.finish(started)?;
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(summary)
}

impl<'a> Pass<'a> {
    fn open(run: &'a RunFile, cache: Option<&Path>) -> anyhow::Result<Self> {
        let checkpoint = model::open(&run.model)?;
        let checkpoint = if run.shuffled_weights { model::shuffled(checkpoint) } else { checkpoint };
        let model = Model::from_checkpoint(checkpoint, run.precision)
            .with_context(|| format!("cannot load {}", run.model))?;
        let cached = cache.map(cache::cached_hooks).transpose()?.unwrap_or_default();
        let joint = JointRows::new(run, model.architecture(), cached)?;
        for entry in &run.dictionary {
            Learner::check(entry, joint.columns(entry, model.architecture())?)?;
        }
        let corpus = Corpus::open(&run.plan(), model.tokenizer()?)?;
        let tokenizer = model.tokenizer()?;
        let taken = corpus.windows().map(|window| {
            let tokens = window.tokens.iter().enumerate();
            tokens.filter(|(position, token)| joint.takes(tokenizer, *position, **token)).count() as u64
        });
        let rows = taken.sum::<u64>();
        let steps = rows / run.batch as u64;
        ensure!(steps > 0, "the corpus does not give one batch of {} rows", run.batch);
        let width = joint.width();
        output::note(&format!(
            "{} steps of {} rows; buffer {:.0} MiB",
            steps,
            run.batch,
            (run.buffer * width * size_of::<f32>()) as f64 / f64::from(1 << 20)
        ));
        let wanted = manifest(run, &model, &corpus, &joint, rows);
        let cache = cache.map(|directory| Cache::open(directory, wanted)).transpose()?;
        let buffer = ShuffleBuffer::new(width, run.seed);
        let (learners, batch) = (Vec::new(), Vec::new());
        Ok(Self { run, model, corpus, joint, cache, buffer, learners, batches: 0, steps, batch })
    }

    /// The joint rows of a batch of windows.
    fn rows(&mut self, index: usize) -> anyhow::Result<Vec<f32>> {
        let (corpus, joint, model) = (&self.corpus, &self.joint, &self.model);
        let compute = |index: usize| {
            let windows = corpus.batches(BATCH_WINDOWS, Shard::WHOLE).nth(index).unwrap_or_default();
            joint.read(model, &windows)
        };
        match &mut self.cache {
            Some(cache) => cache.rows(index, compute),
            None => compute(index),
        }
    }

    fn shared(&self) -> Shared<'a> {
        let narrow = match self.run.precision {
            Precision::F32 | Precision::Int8 => false,
            Precision::Bf16 => true,
            Precision::Auto => Backend::best().multiplies_bf16(),
        };
        let precision =
            if narrow { glossator_kernels::Precision::Bf16 } else { glossator_kernels::Precision::F32 };
        let (batch, width) = (self.run.batch, self.joint.width());
        Shared { out: &self.run.out, precision, steps: self.steps, batch, width }
    }

    fn steps_done(&self) -> u64 {
        self.learners.first().map_or(0, |learner| learner.parameters.steps)
    }

    /// Draws batches until fewer than `leave` rows and a batch are left.
    fn learn(&mut self, leave: usize, path: &Path, bar: &indicatif::ProgressBar) -> anyhow::Result<()> {
        if self.learners.is_empty() {
            self.begin()?;
        }
        let shared = self.shared();
        while self.buffer.len() >= leave + self.run.batch && self.steps_done() < self.steps {
            self.buffer.draw(self.run.batch, &mut self.batch);
            for learner in &mut self.learners {
                let step = learner.step(&self.batch, self.buffer.rows(), &shared);
                step.with_context(|| stopped(self.batches, path))?;
            }
            bar.inc(self.run.batch as u64);
            if let Some(learner) = self.learners.first() {
                let last = learner.last;
                let dead = 100.0 * last.dead as f64 / learner.parameters.latents as f64;
                bar.set_message(format!(
                    "loss {:.4} L0 {:.1} EV {:.3} dead {dead:.1} %",
                    last.loss, last.l0, last.explained_variance
                ));
            }
        }
        Ok(())
    }

    /// Makes all learners from the first rows, which are shuffled for it.
    fn begin(&mut self) -> anyhow::Result<()> {
        let shared = self.shared();
        for entry in &self.run.dictionary {
            let columns = self.joint.columns(entry, self.model.architecture())?;
            self.learners.push(Learner::begin(entry, columns, self.buffer.rows(), &shared)?);
        }
        Ok(())
    }

    /// Refuses to keep weights that are not finite.
    fn check_weights(&self, path: &Path) -> anyhow::Result<()> {
        let check = self.learners.iter().try_for_each(Learner::check_weights);
        check.with_context(|| stopped(self.batches, path))
    }

    fn save(&self, path: &Path) -> anyhow::Result<()> {
        self.check_weights(path)?;
        let learners = self.learners.iter().map(Learner::state).collect::<anyhow::Result<Vec<_>>>()?;
        let random = self.buffer.random().clone();
        let (cached, batches) = (self.cache.is_some(), self.batches);
        let state = State { run: self.run.clone(), cached, batches, random, learners };
        let mut arrays: Vec<&[f32]> = vec![self.buffer.rows()];
        arrays.extend(self.learners.iter().flat_map(Learner::arrays));
        Ok(save_checkpoint(path, &state, &arrays)?)
    }

    fn resume(&mut self, path: &Path) -> anyhow::Result<()> {
        let (state, arrays) = load_checkpoint::<State>(path)?;
        ensure!(
            state.run == *self.run,
            "{} is of another run file: give another `out`, or remove it",
            path.display()
        );
        ensure!(
            state.cached == self.cache.is_some(),
            "{} is of a run {} --cache, which rounds activations: do the same again",
            path.display(),
            if state.cached { "with" } else { "without" }
        );
        let mut arrays = arrays.into_iter();
        let rows = arrays.next().context("the checkpoint is empty")?;
        ensure!(
            rows.len().is_multiple_of(self.joint.width()),
            "{} is of other hook points: use the same --cache, or remove it",
            path.display()
        );
        self.buffer = ShuffleBuffer::restore(self.joint.width(), rows, state.random);
        self.batches = state.batches;
        let shared = self.shared();
        for (entry, learner) in self.run.dictionary.iter().zip(state.learners) {
            let columns = self.joint.columns(entry, self.model.architecture())?;
            self.learners.push(Learner::resume(entry, columns, learner, &mut arrays, &shared)?);
        }
        output::note(&format!("going on from step {}", self.steps_done()));
        Ok(())
    }

    fn finish(&self, started: Instant) -> anyhow::Result<Summary> {
        let mut finished = Vec::new();
        let mut paths = Vec::new();
        for (place, learner) in self.learners.iter().enumerate() {
            let dictionary = learner.dictionary(self.metadata(learner));
            paths.push(learner.save(&dictionary)?);
            finished.push((place, dictionary));
        }
        let measured = measure(self.run, &self.model, finished)?;
        let dictionaries = self.learners.iter().zip(paths).enumerate().map(|(place, (learner, path))| {
            let last = learner.last;
            DictionarySummary {
                name: learner.entry.name.clone(),
                path,
                latents: learner.parameters.latents,
                steps: learner.parameters.steps,
                explained_variance: Some(last.explained_variance).filter(|value| value.is_finite()),
                l0: last.l0,
                dead: last.dead,
                held_out: measured.get(&place).map(Into::into),
            }
        });
        let summary = Summary {
            dictionaries: dictionaries.collect(),
            rows: self.steps_done() * self.run.batch as u64,
            seconds: started.elapsed().as_secs_f64(),
            report: self.run.out.join("report.html"),
        };
        summary.write_page(&self.run.out)?;
        Ok(summary)
    }

    fn metadata(&self, learner: &Learner) -> Metadata {
        let (run, entry) = (self.run, &learner.entry);
        let texts = run.corpus.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        Metadata {
            model: Some(run.subject()),
            hook: Some(entry.hook.clone()),
            hook_out: entry.target_hook.clone(),
            head: entry.head,
            context_size: Some(run.context),
            prepend_bos: Some(self.corpus.bos().is_some()),
            dataset: Some(texts.join(", ")),
            ..Metadata::default()
        }
    }
}

/// Where a run stopped, and what is left to go on from.
fn stopped(batches: usize, checkpoint: &Path) -> String {
    let saved = if checkpoint.exists() { checkpoint.display().to_string() } else { "none yet".into() };
    format!("stopped after {batches} batches of windows; last good checkpoint: {saved}")
}

/// What a cache of this run's activations, `rows` joint rows, would hold.
fn manifest(run: &RunFile, model: &Model, corpus: &Corpus, joint: &JointRows, rows: u64) -> Manifest {
    let manifest = Manifest {
        version: 1,
        model: run.subject(),
        model_bytes: cache::model_bytes(&run.model),
        precision: format!("{:?}", model.precision()).to_lowercase(),
        corpus: corpus.report().fingerprint.clone(),
        context: run.context,
        skip_first: run.skip_first,
        skip_special: run.skip_special,
        hooks: joint.hooks().iter().map(ToString::to_string).collect(),
        width: joint.width(),
        rows: 0,
        batches: 0,
        batches_per_shard: 1,
    };
    manifest.divided(rows, corpus.batches(BATCH_WINDOWS, Shard::WHOLE).count())
}
