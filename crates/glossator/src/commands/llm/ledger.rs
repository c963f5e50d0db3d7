//! `glossator llm ledger`: what a ledger holds.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use glossator_llm::replay::Heading;
use glossator_llm::{Ledger as Book, Summary};

use crate::output;

/// Print what a ledger holds: requests, failures, tokens and cost by model
///
/// It may be read while a run writes to it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  glossator llm ledger my.atlas/llm.sqlite
  glossator llm ledger my.atlas/llm.sqlite --jsonl --llm-model qwen.gguf > recording.jsonl")]
pub(crate) struct Ledger {
    /// The ledger
    file: PathBuf,
    /// Print the answers of one model as a recording that --llm replay reads: a heading, then a line for each request
    #[arg(long)]
    jsonl: bool,
    /// The model whose answers are printed, if the ledger has several
    #[arg(long, value_name = "NAME", requires = "jsonl")]
    llm_model: Option<String>,
    /// Print the summary as JSON
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,
}

impl Ledger {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let ledger = Book::open_reading(&self.file)?;
        if self.jsonl {
            self.print_answers(&ledger)?;
        } else if self.json {
            output::print_json(&ledger.summary()?)?;
        } else {
            output::print(&table(&ledger.summary()?)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print_answers(&self, ledger: &Book) -> anyhow::Result<()> {
        let models = ledger.models()?;
        let model = match (&self.llm_model, models.as_slice()) {
            (Some(model), models) if models.contains(model) => model.clone(),
            (None, [only]) => only.clone(),
            (_, []) => bail!("{} is empty", self.file.display()),
            (_, models) => bail!("name one of its models with --llm-model: {}", models.join(", ")),
        };
        let capabilities = ledger.capabilities(&model)?.unwrap_or_default();
        let line = |value: &serde_json::Value| output::print(&format!("{value}\n"));
        line(&serde_json::to_value(Heading { model: model.clone(), capabilities })?)?;
        let mut written = Ok(());
        ledger.entries(Some(&model), &mut |entry| {
            written =
                serde_json::to_value(entry).context("an answer cannot be written").and_then(|it| line(&it));
            written.is_ok()
        })?;
        written
    }
}

fn table(summaries: &[Summary]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for summary in summaries {
        let Summary { model, answered, failed, uncertain, attempts, usage, cost, without_price } = summary;
        writeln!(text, "{model}")?;
        writeln!(text, "  answered    {answered}")?;
        for (kind, number) in failed {
            writeln!(text, "  {kind:<11} {number}")?;
        }
        if *uncertain > 0 {
            writeln!(
                text,
                "  under way   {uncertain} (now, or when a run was killed; asked again by the next)"
            )?;
        }
        writeln!(text, "  attempts    {attempts}")?;
        let (prompt, cached, written) = (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens);
        writeln!(text, "  tokens      {prompt} read ({cached} of them from a cache), {written} written")?;
        let unknown = match without_price {
            0 => String::new(),
            number => format!(", and {number} answers without a known price"),
        };
        writeln!(text, "  cost        {cost}{unknown}")?;
    }
    if summaries.is_empty() {
        text.push_str("nothing has been asked\n");
    }
    Ok(text)
}
