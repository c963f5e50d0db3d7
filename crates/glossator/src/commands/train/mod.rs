//! `glossator train`: dictionaries on the activations of a subject model, streamed from text to weights.

mod activations;
mod cache;
mod disk;
mod entry;
mod learner;
mod measured;
mod metrics;
mod pass;
mod recipe;
mod run_file;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::output;

/// Train dictionaries on the activations of a model, as a run file says
///
/// The model runs while the dictionaries train, up to the last hook point; nothing is stored but checkpoints, unless
/// --cache asks for it. Several dictionaries train side by side on one pass. Started again after an interruption, it goes
/// on from the last checkpoint and ends with the same weights. At the end the dictionaries are measured on held-out text,
/// and report.html shows the curves.
#[derive(Args)]
#[command(after_help = "\
A run file names the model, the corpus and one or more dictionaries:
  model = \"model.gguf\"
  corpus = [\"texts/\"]
  out = \"runs/first\"
  tokens = 2000000
  [[dictionary]]
  name = \"middle\"
  hook = \"blocks.15.hook_resid_post\"
  expansion = 16
  k = 32
A list of values in a dictionary (k = [16, 32, 64]) makes a dictionary of each. Variants: top_k, multi_top_k,
batch_top_k, matryoshka (with k); l1, l1_by_norm, p_annealing, gated (with l1); jump_relu (with l0).")]
pub(crate) struct Train {
    /// The run file (TOML)
    #[arg(value_name = "RUN.toml")]
    run: PathBuf,
    /// Write here instead of where the run file says
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keep the activations here in bf16, or read them from here if an earlier run kept the same
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Tokens to read, instead of those of the run file
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 5.0, value_name = "MINUTES")]
    checkpoint_minutes: f64,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

impl Train {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut run = run_file::RunFile::read(&self.run)?;
        run.out = self.out.unwrap_or(run.out);
        run.tokens = self.tokens.unwrap_or(run.tokens);
        let summary = pass::train(&run, self.cache.as_deref(), self.checkpoint_minutes * 60.0)?;
        if self.json {
            output::print_json(&summary)?;
        } else {
            output::print(&summary.text())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
