//! `glossator merge`: joins the parts of a recording into an atlas, as if it had been recorded at once.

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use glossator_atlas::{RecordSource, merge, write_records};

use super::record::{Summary, finish, token_texts, write_run_file};
use crate::arguments::dictionary::Dictionaries;
use crate::arguments::model::{PrecisionArgument, load};
use crate::checksum::checksum;
use crate::output;

/// Join the shards that `glossator record --shard` wrote into an atlas
///
/// The atlas has the same bytes as one recorded at once. All shards must be there, in any order.
#[derive(Args)]
pub(crate) struct Merge {
    /// The shards
    #[arg(required = true, value_name = "SHARD")]
    shards: Vec<PathBuf>,
    /// The directory to write
    #[arg(long, value_name = "DIR")]
    atlas: PathBuf,
    /// Where the model lies now [default: where it lay for the first shard]
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    dictionaries: Dictionaries,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

impl Merge {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let merged = merge(&self.shards)?;
        let settings = merged.recorder.settings();
        let location = self.model.as_deref().unwrap_or(&settings.run.model_location);
        let precision = match settings.run.precision.as_str() {
            "bf16" => PrecisionArgument::Bf16,
            _ => PrecisionArgument::F32,
        };
        let mut model = load(location, precision)?;
        ensure!(
            checksum(&model.checkpoint().files())? == settings.run.model_checksum,
            "{location} is not the model that the shards were recorded with: name that one with --model"
        );
        self.dictionaries.splice_recorded(&mut model, &settings.run.dictionaries)?;
        let texts = token_texts(&model, settings.run.vocab_size)?;
        let source = RecordSource {
            token_texts: &texts,
            window: &|id| merged.windows.get(id as usize).cloned(),
            tokens: &|id| merged.windows.get(id as usize).map(|window| Cow::Borrowed(&window.tokens[..])),
        };
        let mut summary = Summary::new(&self.atlas, settings);
        write_run_file(&self.atlas, &merged.run_file)?;
        let bar = output::progress(settings.units(), "units");
        bar.set_message("writing");
        write_records(&self.atlas, &merged.recorder, &source, &|units| bar.inc(units))?;
        bar.finish_and_clear();
        summary.writing = started.elapsed().as_secs_f64();
        finish(&self.atlas, &model, settings.units(), &mut summary)?;
        summary.print(self.json)?;
        Ok(ExitCode::SUCCESS)
    }
}
