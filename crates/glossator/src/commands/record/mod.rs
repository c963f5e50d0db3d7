//! `glossator record`: one pass over a corpus that records every unit of some hook points into an atlas.

mod pass;
mod prepare;
mod summary;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, CommandFactory, FromArgMatches};
use glossator_corpus::Shard;
use glossator_model::HookPattern;

use crate::arguments::corpus::CorpusArgs;
use crate::arguments::dictionary::Dictionaries;
use crate::arguments::model::PrecisionArgument;
use crate::arguments::run_file;
use crate::cli::Cli;

pub(crate) use pass::{finish, token_texts, write_run_file};
pub(crate) use summary::Summary;

/// Flags that do not change what an atlas holds.
const NOT_OF_THE_RUN: [&str; 8] =
    ["run", "atlas", "shard", "out", "json", "memory-limit", "batch-windows", "checkpoint-minutes"];

/// Record what every unit of some hook points does on a corpus
///
/// One pass keeps, for each unit, moments, a histogram, top, quantile and random excerpts and its mean activation per
/// token; then follow logit weights and nearest units. Started again after an interruption, it goes on from the last
/// checkpoint and ends with the same bytes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  glossator record --model model.gguf --hook 'blocks.*.mlp.hook_post' --corpus texts/ --tokens 1000000 --atlas atlas/
  glossator record --run atlas/run.toml --tokens 5000000 --atlas larger/
Features of a dictionary beside the neurons of its layer:
  glossator record --model model.gguf --hook blocks.15.mlp.hook_post --dictionary sae/ --corpus texts/ --atlas atlas/
In parts, on several machines:
  glossator record --run run.toml --atlas a/ --shard 1/2      (writes a/1-of-2.shard)
  glossator merge a/1-of-2.shard b/2-of-2.shard --atlas atlas/")]
pub(crate) struct Record {
    /// A TOML file with these flags by name; flags given here override it. An atlas holds its own as run.toml
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
    /// The model: a Hugging Face directory, a .gguf file, or hf:organisation/name[@revision]
    #[arg(long, required_unless_present = "run")]
    model: Option<String>,
    /// A hook point, or a pattern of them such as blocks.*.mlp.hook_post; may be given several times
    #[arg(long = "hook", value_name = "HOOK", required_unless_present_any = ["run", "dictionaries"])]
    hooks: Vec<HookPattern>,
    #[command(flatten)]
    dictionaries: Dictionaries,
    /// Files, directories, globs, or `-` for standard input; may be given several times
    #[arg(long = "corpus", value_name = "PATH", required_unless_present = "run")]
    sources: Vec<PathBuf>,
    /// The directory to write
    #[arg(long, value_name = "DIR", required_unless_present = "run")]
    atlas: Option<PathBuf>,
    #[command(flatten)]
    corpus: CorpusArgs,
    /// Number format of matrix products
    #[arg(long, value_enum, default_value_t = PrecisionArgument::Auto)]
    precision: PrecisionArgument,
    /// Leave the first N positions of each window out of everything that is counted; a begin-of-sequence token always is.
    /// Models park attention at the first position, whatever its token, and units that only follow that would look well
    /// explained
    #[arg(long, default_value_t = 1, value_name = "N")]
    skip_first: u32,
    /// Fewest occurrences of a token that gets a mean activation per unit
    #[arg(long, default_value_t = 3, value_name = "N")]
    token_min_count: u64,
    /// Memory for the mean activations per token, in MiB: the most frequent tokens that fit are kept
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    token_table_memory: u64,
    /// Memory for the correlations of each dictionary's features with the neurons of their layer, in MiB: 8 bytes for each
    /// pair, or none are kept. They are kept where those neurons are recorded too
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    neuron_table_memory: u64,
    /// Refuse to start if recording would hold more memory than this, in MiB (the model comes on top)
    #[arg(long, value_name = "MIB")]
    memory_limit: Option<u64>,
    /// Record only this part of the corpus, such as 2/4, to be joined by `glossator merge`
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Where the part is written [default: I-of-N.shard in the atlas directory]
    #[arg(long, value_name = "FILE", requires = "shard")]
    out: Option<PathBuf>,
    /// Windows per forward pass
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_windows: u32,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 5.0, value_name = "MINUTES")]
    checkpoint_minutes: f64,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

impl Record {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (record, table) = match &self.run {
            None => resolve(std::env::args_os().collect())?,
            Some(file) => resolve(run_file::expand(file, &Cli::command(), std::env::args_os().collect())?)?,
        };
        record.record(table)?;
        Ok(ExitCode::SUCCESS)
    }

    fn record(self, run: toml::Table) -> anyhow::Result<()> {
        let directory = self.atlas.clone().context("--atlas is missing")?;
        let interval = Duration::try_from_secs_f64(self.checkpoint_minutes * 60.0)
            .context("--checkpoint-minutes must be a time")?;
        let prepared = prepare::Prepared::new(&self, run)?;
        let summary = match self.shard {
            Some(shard) => {
                let name = format!("{}-of-{}.shard", shard.index() + 1, shard.count());
                let out = self.out.clone().unwrap_or_else(|| directory.join(name));
                prepared.record_shard(&directory, shard, &out, interval)?
            }
            None => prepared.record_atlas(&directory, interval)?,
        };
        summary.print(self.json)
    }
}

/// The subcommand that these arguments stand for, and its flags as a table.
fn resolve(arguments: Vec<OsString>) -> anyhow::Result<(Record, toml::Table)> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let matches = matches.subcommand_matches("record").context("not a `glossator record` command")?;
    let subcommand = command.find_subcommand("record").context("not a `glossator record` command")?;
    let table = run_file::resolved(subcommand, matches, &NOT_OF_THE_RUN);
    Ok((Record::from_arg_matches(matches)?, table))
}
