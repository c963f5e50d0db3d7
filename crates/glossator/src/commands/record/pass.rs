//! The pass over the windows, its checkpoints, and what follows it.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use glossator_atlas::{
    Manifest, RecordSource, Recorder, Shard as RecordedShard, ShardProgress, WindowTokens, write_records,
};
use glossator_corpus::Shard;
use glossator_model::{Batch, Model, Run};

use super::prepare::Prepared;
use super::summary::Summary;
use crate::output;

/// The name of the checkpoint in the atlas directory.
const CHECKPOINT: &str = "recording.checkpoint";
/// The name of the run file in the atlas directory.
pub(crate) const RUN_FILE: &str = "run.toml";

impl Prepared {
    /// Records everything and finishes the atlas.
    pub(super) fn record_atlas(self, directory: &Path, interval: Duration) -> anyhow::Result<Summary> {
        let mut summary = Summary::new(directory, &self.settings);
        if directory.join("manifest.json").exists() {
            self.check_same_run(directory)?;
            output::note(&format!("{} is recorded already; finishing what is missing", directory.display()));
        } else {
            let recorded = self.pass(directory, Shard::WHOLE, interval, &mut summary)?;
            let started = Instant::now();
            self.write_records(directory, &recorded.recorder)?;
            summary.writing = started.elapsed().as_secs_f64();
        }
        // Also after a run that was killed between the manifest and this line.
        remove_checkpoint(&directory.join(CHECKPOINT))?;
        finish(directory, &self.model, self.settings.units(), &mut summary)?;
        Ok(summary)
    }

    /// Records a part and writes it to a file.
    pub(super) fn record_shard(
        self,
        directory: &Path,
        shard: Shard,
        out: &Path,
        interval: Duration,
    ) -> anyhow::Result<Summary> {
        let mut summary = Summary::new(out, &self.settings);
        let mut recorded = self.pass(directory, shard, interval, &mut summary)?;
        let started = Instant::now();
        let ids = self.corpus.batches(self.batch_windows, shard).flatten().map(|window| window.id);
        recorded.windows = ids.filter_map(|id| self.window_row(id)).collect();
        recorded.run_file.clone_from(&self.run_file);
        recorded.save(out)?;
        summary.writing = started.elapsed().as_secs_f64();
        remove_checkpoint(&directory.join(checkpoint_name(shard)))?;
        Ok(summary)
    }

    /// One forward pass over all windows of the part, from the last checkpoint on.
    fn pass(
        &self,
        directory: &Path,
        shard: Shard,
        interval: Duration,
        summary: &mut Summary,
    ) -> anyhow::Result<RecordedShard> {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let checkpoint = directory.join(checkpoint_name(shard));
        let start = ShardProgress {
            shard: shard.index() as u64,
            shards: shard.count() as u64,
            batch_windows: self.batch_windows as u64,
            batches: 0,
        };
        let mut recorded = if checkpoint.exists() {
            RecordedShard::resume(&checkpoint, &self.settings, start)
                .with_context(|| format!("remove {} to start again", checkpoint.display()))?
        } else {
            RecordedShard::new(Recorder::new(self.settings.clone())?, start)
        };
        let context = u64::from(self.settings.run.context);
        let total: usize = self.corpus.batches(self.batch_windows, shard).map(|batch| batch.len()).sum();
        let bar = output::progress(total as u64 * context, "tokens");
        bar.set_message("recording");
        bar.set_position(recorded.recorder.recorded() * context);
        let hooks = self.settings.hook_points();
        let run = Run { hooks: &hooks, ..Run::default() };
        let (started, mut saved) = (Instant::now(), Instant::now());
        let done = recorded.progress.batches as usize;
        for windows in self.corpus.batches(self.batch_windows, shard).skip(done) {
            let tokens: Vec<&[u32]> = windows.iter().map(|window| window.tokens.as_slice()).collect();
            let batch: Vec<WindowTokens<'_>> =
                windows.iter().map(|window| WindowTokens { id: window.id, tokens: &window.tokens }).collect();
            self.model.run(&Batch::from_sequences(&tokens), &run, &recorded.recorder.observer(&batch))?;
            recorded.recorder.complete(windows.len())?;
            recorded.progress.batches += 1;
            bar.inc(windows.len() as u64 * context);
            summary.tokens += windows.len() as u64 * context;
            if saved.elapsed() >= interval {
                recorded.save(&checkpoint)?;
                saved = Instant::now();
            }
        }
        bar.finish_and_clear();
        summary.passed(started.elapsed(), recorded.recorder.time());
        Ok(recorded)
    }

    fn write_records(&self, directory: &Path, recorder: &Recorder) -> anyhow::Result<()> {
        let texts = token_texts(&self.model, self.settings.run.vocab_size)?;
        let source = RecordSource {
            token_texts: &texts,
            window: &|id| self.window_row(id),
            tokens: &|id| self.corpus.window(id).map(|window| Cow::Owned(window.tokens)),
        };
        write_run_file(directory, &self.run_file)?;
        let bar = output::progress(self.settings.units(), "units");
        bar.set_message("writing");
        write_records(directory, recorder, &source, &|units| bar.inc(units))?;
        bar.finish_and_clear();
        Ok(())
    }

    fn check_same_run(&self, directory: &Path) -> anyhow::Result<()> {
        let manifest = Manifest::read(directory)?;
        if manifest.run != self.settings.run || manifest.hooks != self.settings.hooks {
            bail!(
                "{} holds another run (see its run.toml): give another --atlas, or remove it",
                directory.display()
            );
        }
        Ok(())
    }
}

/// Removes a checkpoint that is no longer needed, if there is one.
fn remove_checkpoint(checkpoint: &Path) -> anyhow::Result<()> {
    match fs::remove_file(checkpoint) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", checkpoint.display()))
        }
        _ => Ok(()),
    }
}

fn checkpoint_name(shard: Shard) -> String {
    match shard.count() {
        1 => CHECKPOINT.to_owned(),
        count => format!("{}-of-{count}.checkpoint", shard.index() + 1),
    }
}

/// The texts of all tokens.
pub(crate) fn token_texts(model: &Model, vocab_size: u32) -> anyhow::Result<Vec<String>> {
    let tokenizer = model.tokenizer()?;
    Ok((0..vocab_size).map(|token| tokenizer.token_text(token)).collect())
}

/// Writes run.toml, atomically.
pub(crate) fn write_run_file(directory: &Path, text: &str) -> anyhow::Result<()> {
    let path = directory.join(RUN_FILE);
    let partial = directory.join("run.toml.partial");
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&partial, text))
        .and_then(|()| fs::rename(&partial, &path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Runs the stages after the recording.
pub(crate) fn finish(
    directory: &Path,
    model: &Model,
    units: u64,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let started = Instant::now();
    // Logit weights and neighbours each go over all units.
    let bar = output::progress(2 * units, "units");
    bar.set_message("directions");
    glossator_atlas::finish(directory, model, &|units| bar.inc(units))?;
    bar.finish_and_clear();
    summary.finishing = started.elapsed().as_secs_f64();
    Ok(())
}
