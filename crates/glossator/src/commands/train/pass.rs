//! The pass: windows through the model into the buffer, batches out of it into every learner, checkpoints on the way.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use glossator_corpus::{Corpus, Shard};
use glossator_dictionary::Metadata;
use glossator_dictionary::training::{Parameters, Random, ShuffleBuffer, load_checkpoint, save_checkpoint};
use glossator_kernels::Backend;
use glossator_model::{Model, Precision};
use serde::{Deserialize, Serialize};

use super::activations::JointRows;
use super::learner::{Learner, LearnerState, Shared};
use super::run_file::RunFile;
use crate::arguments::model;
use crate::output;

/// Windows of a forward pass.
const BATCH_WINDOWS: usize = 64;
const CHECKPOINT: &str = "training.checkpoint";

/// The state of a run beside arrays.
#[derive(Serialize, Deserialize)]
struct State {
    run: RunFile,
    /// Batches of windows read.
    batches: usize,
    random: Random,
    learners: Vec<LearnerState>,
}

/// What came out.
#[derive(Serialize)]
pub(super) struct Summary {
    dictionaries: Vec<DictionarySummary>,
    rows: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct DictionarySummary {
    name: String,
    path: PathBuf,
    latents: usize,
    steps: u64,
    explained_variance: f64,
    l0: f64,
    dead: usize,
}

/// A run on its way.
struct Pass<'a> {
    run: &'a RunFile,
    model: Model,
    corpus: Corpus,
    joint: JointRows,
    buffer: ShuffleBuffer,
    learners: Vec<Learner>,
    batches: usize,
    steps: u64,
    batch: Vec<f32>,
}

/// Trains everything that a run file asks for.
pub(super) fn train(run: &RunFile, checkpoint_seconds: f64) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let mut pass = Pass::open(run)?;
    let path = run.out.join(CHECKPOINT);
    fs::create_dir_all(&run.out).with_context(|| format!("cannot create {}", run.out.display()))?;
    if path.exists() {
        pass.resume(&path)?;
    }
    let bar = output::progress(pass.steps * run.batch as u64, "rows");
    bar.set_message("training");
    bar.set_position(pass.steps_done() * run.batch as u64);
    bar.reset_eta();
    let mut saved = Instant::now();
    let total = pass.corpus.batches(BATCH_WINDOWS, Shard::WHOLE).count();
    for index in pass.batches..total {
        let windows = pass.corpus.batches(BATCH_WINDOWS, Shard::WHOLE).nth(index).unwrap_or_default();
        let rows = pass.joint.read(&pass.model, &windows)?;
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
    let summary = pass.finish(started)?;
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(summary)
}

impl<'a> Pass<'a> {
    fn open(run: &'a RunFile) -> anyhow::Result<Self> {
        let checkpoint = model::open(&run.model)?;
        let model = Model::from_checkpoint(checkpoint, run.precision)
            .with_context(|| format!("cannot load {}", run.model))?;
        let joint = JointRows::new(run, model.architecture())?;
        let corpus = Corpus::open(&run.plan(), model.tokenizer()?)?;
        let tokenizer = model.tokenizer()?;
        let taken = corpus.windows().map(|window| {
            let tokens = window.tokens.iter().enumerate();
            tokens.filter(|(position, token)| joint.takes(tokenizer, *position, **token)).count() as u64
        });
        let steps = taken.sum::<u64>() / run.batch as u64;
        ensure!(steps > 0, "the corpus does not give one batch of {} rows", run.batch);
        let width = joint.width();
        output::note(&format!(
            "{} steps of {} rows; buffer {:.0} MiB",
            steps,
            run.batch,
            (run.buffer * width * size_of::<f32>()) as f64 / f64::from(1 << 20)
        ));
        let buffer = ShuffleBuffer::new(width, run.seed);
        let batch = Vec::new();
        Ok(Self { run, model, corpus, joint, buffer, learners: Vec::new(), batches: 0, steps, batch })
    }

    fn shared(&self) -> Shared<'a> {
        let narrow = match self.run.precision {
            Precision::F32 | Precision::Int8 => false,
            Precision::Bf16 => true,
            Precision::Auto => Backend::best().multiplies_bf16(),
        };
        let precision =
            if narrow { glossator_kernels::Precision::Bf16 } else { glossator_kernels::Precision::F32 };
        Shared { out: &self.run.out, precision, steps: self.steps, width: self.joint.width() }
    }

    fn steps_done(&self) -> u64 {
        self.learners.first().map_or(0, |learner| learner.parameters.steps)
    }

    /// Draws batches until fewer than `leave` rows and a batch are left.
    fn learn(&mut self, leave: usize, path: &Path, bar: &indicatif::ProgressBar) -> anyhow::Result<()> {
        if self.learners.is_empty() {
            self.begin()?;
        }
        let width = self.joint.width();
        while self.buffer.len() >= leave + self.run.batch && self.steps_done() < self.steps {
            self.buffer.draw(self.run.batch, &mut self.batch);
            for learner in &mut self.learners {
                learner.step(&self.batch, width).with_context(|| {
                    let saved = if path.exists() { path.display().to_string() } else { "none yet".into() };
                    format!(
                        "stopped after {} batches of windows; last good checkpoint: {saved}",
                        self.batches
                    )
                })?;
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

    fn save(&self, path: &Path) -> anyhow::Result<()> {
        let learners = self.learners.iter().map(Learner::state).collect::<anyhow::Result<Vec<_>>>()?;
        let random = self.buffer.random().clone();
        let state = State { run: self.run.clone(), batches: self.batches, random, learners };
        let mut arrays: Vec<&[f32]> = vec![self.buffer.rows()];
        arrays.extend(self.learners.iter().flat_map(|learner| learner.parameters.arrays()));
        Ok(save_checkpoint(path, &state, &arrays)?)
    }

    fn resume(&mut self, path: &Path) -> anyhow::Result<()> {
        let (state, arrays) = load_checkpoint::<State>(path)?;
        ensure!(
            state.run == *self.run,
            "{} is of another run file: give another `out`, or remove it",
            path.display()
        );
        let mut arrays = arrays.into_iter();
        let rows = arrays.next().context("the checkpoint is empty")?;
        self.buffer = ShuffleBuffer::restore(self.joint.width(), rows, state.random);
        self.batches = state.batches;
        let shared = self.shared();
        for (entry, learner) in self.run.dictionary.iter().zip(state.learners) {
            let columns = self.joint.columns(entry, self.model.architecture())?;
            let own = arrays.by_ref().take(Parameters::ARRAYS).collect();
            self.learners.push(Learner::resume(entry, columns, learner, own, &shared)?);
        }
        output::note(&format!("going on from step {}", self.steps_done()));
        Ok(())
    }

    fn finish(&self, started: Instant) -> anyhow::Result<Summary> {
        let mut dictionaries = Vec::new();
        for learner in &self.learners {
            let entry = &learner.entry;
            let metadata = Metadata {
                model: Some(self.run.model.clone()),
                hook: Some(entry.hook.clone()),
                hook_out: entry.target_hook.clone(),
                head: entry.head,
                context_size: Some(self.run.context),
                prepend_bos: Some(self.corpus.bos().is_some()),
                dataset: Some(
                    self.run.corpus.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
                ),
                ..Metadata::default()
            };
            dictionaries.push(DictionarySummary {
                name: entry.name.clone(),
                path: learner.finish(metadata)?,
                latents: learner.parameters.latents,
                steps: learner.parameters.steps,
                explained_variance: learner.last.explained_variance,
                l0: learner.last.l0,
                dead: learner.last.dead,
            });
        }
        let rows = self.steps_done() * self.run.batch as u64;
        Ok(Summary { dictionaries, rows, seconds: started.elapsed().as_secs_f64() })
    }
}

impl Summary {
    /// A table for people.
    pub(super) fn table(&self) -> String {
        let mut table = format!("{} rows in {:.0} s; values of the last batch\n", self.rows, self.seconds);
        let _ = writeln!(
            table,
            "{:>10} {:>8} {:>8} {:>8} {:>6}  dictionary",
            "latents", "steps", "L0", "EV", "dead"
        );
        for d in &self.dictionaries {
            let _ = writeln!(
                table,
                "{:>10} {:>8} {:>8.1} {:>8.4} {:>6}  {}",
                d.latents,
                d.steps,
                d.l0,
                d.explained_variance,
                d.dead,
                d.path.display()
            );
        }
        table
    }
}
