//! What commands that ask a language model have in common: the ledger's place, prompts, the estimate before a run, and
//! the failures after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glossator_explain::prompts::Prompts;
use glossator_llm::{Client, Request};

use crate::output;

/// Where answers about an atlas are kept, unless the user says otherwise.
pub(crate) fn ledger(atlas: &Path) -> PathBuf {
    atlas.join("llm.sqlite")
}

/// The built-in prompts, with those of a directory in their place.
pub(crate) fn prompts(directory: Option<&Path>) -> anyhow::Result<Prompts> {
    let prompts = Prompts::builtin()?;
    Ok(match directory {
        Some(directory) => prompts.with(directory)?,
        None => prompts,
    })
}

/// Says what a run over `units` units will ask, judged by the requests for the first `of` of them.
pub(crate) fn estimate(
    client: &Client,
    what: &str,
    requests: &[Request],
    of: usize,
    units: usize,
) -> anyhow::Result<()> {
    let estimate = client.estimate(requests)?;
    let factor = units as f64 / of.max(1) as f64;
    let scaled = |number: u64| (number as f64 * factor).round() as u64;
    let cost = estimate
        .cost
        .map_or_else(|| "cost not known".to_owned(), |cost| format!("about ${:.4}", cost.dollars() * factor));
    output::note(&format!(
        "{what}: about {} calls for {units} units, {} tokens to read and at most {} to write, {cost}{}",
        scaled(estimate.calls),
        scaled(estimate.prompt_tokens),
        scaled(estimate.completion_tokens),
        if estimate.saved > 0 { "; part of it is answered already" } else { "" },
    ));
    Ok(())
}

/// `; 3 answers could not be used (2 refused, 1 truncated)`, or nothing.
pub(crate) fn failures(failures: &BTreeMap<String, u64>) -> String {
    if failures.is_empty() {
        return String::new();
    }
    let kinds: Vec<String> = failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("; {} answers could not be used ({})", failures.values().sum::<u64>(), kinds.join(", "))
}
