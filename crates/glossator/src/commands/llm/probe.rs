//! `glossator llm probe`: what an endpoint offers.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use glossator_llm::http::{Probe as Report, probe};
use serde_json::json;

use crate::arguments::llm::LlmArgs;
use crate::output;

/// Ask an endpoint what it offers, and print what was found and how
///
/// It is asked about a dozen small questions, each of which shows one thing: log-probabilities, grades of a given text,
/// JSON that follows a schema, repeatable sampling, going on with a turn that is begun. Nothing is kept.
#[derive(Args)]
#[command(after_help = "\
Examples:
  glossator llm probe --base-url http://127.0.0.1:8080/v1
  glossator llm probe --llm-model gpt-4o-mini")]
pub(crate) struct Probe {
    #[command(flatten)]
    llm: LlmArgs,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Probe {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let endpoint = self.llm.endpoint()?;
        let price = self.llm.price(&endpoint)?;
        let found = probe(&endpoint)?;
        if self.json {
            output::print_json(&json!({ "model": endpoint.name(), "price": price, "probe": found }))?;
        } else {
            output::print(&table(&endpoint.name(), &found)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(name: &str, found: &Report) -> Result<String, std::fmt::Error> {
    let mut text = format!("{name}\n");
    for finding in &found.findings {
        let offered = if finding.offered { "yes" } else { "no" };
        writeln!(text, "  {:<16} {offered:<4} {}", finding.what, finding.why)?;
    }
    Ok(text)
}
