//! What commands that ask a language model about an atlas have in common: the language model, prompts, the ledger's place, the
//! estimate before a run, and the failures after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use glossator_explain::ExplainError;
use glossator_explain::pending::First;
use glossator_explain::prompts::Prompts;
use glossator_llm::Client;

use crate::arguments::llm::LlmArgs;
use crate::output;

/// Whom to ask, and with what.
#[derive(Args)]
pub(crate) struct AskingArgs {
    /// Prompts to use in place of the built-in ones (`glossator prompts DIR` writes those)
    #[arg(long, value_name = "DIR")]
    prompts: Option<PathBuf>,
    /// Only say what a language model would be asked, and what that costs
    #[arg(long)]
    pub(crate) estimate: bool,
    #[command(flatten)]
    llm: LlmArgs,
}

impl AskingArgs {
    /// The language model. Answers about an atlas are kept in it, unless the user says otherwise.
    pub(crate) fn client(&self, atlas: &Path) -> anyhow::Result<Client> {
        self.llm.client(&atlas.join("llm.sqlite"))
    }

    /// The prompts.
    pub(crate) fn prompts(&self) -> anyhow::Result<Prompts> {
        prompts(self.prompts.as_deref())
    }

    /// Says what a run called `what` over `units` units will ask, judged by the `first` requests. Whether it is to be made: not
    /// without units, and not if only the estimate is wanted.
    pub(crate) fn announce(
        &self,
        client: Option<&Client>,
        what: &str,
        units: usize,
        first: impl FnOnce() -> Result<Vec<First>, ExplainError>,
    ) -> anyhow::Result<bool> {
        if units == 0 {
            output::note(&format!("{what}: nothing is left to do"));
            return Ok(false);
        }
        if let Some(client) = client {
            estimate(client, what, &first()?, units)?;
        }
        Ok(!self.estimate)
    }
}

/// The built-in prompts, with those of a directory in their place.
pub(crate) fn prompts(directory: Option<&Path>) -> anyhow::Result<Prompts> {
    let prompts = Prompts::builtin()?;
    Ok(match directory {
        Some(directory) => prompts.with(directory)?,
        None => prompts,
    })
}

/// Says what a run over `units` units will ask, judged by its first requests of each kind.
fn estimate(client: &Client, what: &str, first: &[First], units: usize) -> anyhow::Result<()> {
    let (mut numbers, mut dollars, mut saved) = ([0.0; 3], Some(0.0), 0);
    for First { requests, of, units } in first {
        let estimate = client.estimate(requests)?;
        let factor = *units as f64 / (*of).max(1) as f64;
        let counts = [estimate.calls, estimate.prompt_tokens, estimate.completion_tokens];
        numbers.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count as f64 * factor);
        dollars = dollars.zip(estimate.cost).map(|(sum, cost)| sum + cost.dollars() * factor);
        saved += estimate.saved;
    }
    let [calls, read, written] = numbers.map(|number| number.round() as u64);
    let cost = dollars.map_or_else(|| "cost not known".to_owned(), |dollars| format!("about ${dollars:.4}"));
    output::note(&format!(
        "{what}: about {} for {}, {} to read and at most {written} to write, {cost}{}",
        output::count(calls, "call"),
        output::count(units, "unit"),
        output::count(read, "token"),
        if saved > 0 { "; part of it is answered already" } else { "" },
    ));
    Ok(())
}

/// `; 3 answers could not be used (2 refused, 1 truncated)`, or nothing.
pub(crate) fn failures(failures: &BTreeMap<String, u64>) -> String {
    if failures.is_empty() {
        return String::new();
    }
    let kinds: Vec<String> = failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let answers = output::count(failures.values().sum::<u64>(), "answer");
    format!("; {answers} could not be used ({})", kinds.join(", "))
}
