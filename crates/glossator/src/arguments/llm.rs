//! `--llm` and its companions: which language model explains, and on what terms.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::Args;
use glossator_llm::prices::{Money, Price};
use glossator_llm::replay::Replay;
use glossator_llm::{Client, LanguageModel, Ledger};

/// A language model, and what may be asked of it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Language model")]
pub(crate) struct LlmArgs {
    /// Which language model: local (runs here, without key or network), a model directory or .gguf file, or replay
    /// (recorded answers, from the ledger or a recording that --llm-model does not name)
    #[arg(long, default_value = "local", value_name = "local|replay|PATH")]
    llm: String,
    /// The model's name at the endpoint, or in the recording
    #[arg(long, value_name = "NAME")]
    llm_model: Option<String>,
    /// Where answers are kept, so that none is asked or paid twice; one process writes to it at a time
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Stop before this run has spent so many dollars
    #[arg(long, value_name = "DOLLARS")]
    budget: Option<Money>,
}

impl LlmArgs {
    /// The client. Answers are kept in `ledger` unless the user names another file.
    pub(crate) fn client(&self, ledger: &Path) -> anyhow::Result<Client> {
        let ledger = self.ledger.as_deref().unwrap_or(ledger);
        let (model, price): (Box<dyn LanguageModel>, Option<Price>) = match self.llm.as_str() {
            "replay" => {
                ensure!(
                    ledger.exists(),
                    "there is no recording {}: name one with --ledger",
                    ledger.display()
                );
                let replay = Replay::open(ledger, self.llm_model.as_deref())?;
                // A recording is only read: what is missing in it is not to be kept as missing.
                return Ok(Client::new(Box::new(replay)));
            }
            place => (self.local(place)?, Some(Price::FREE)),
        };
        let client = Client::new(model).with_ledger(Arc::new(Ledger::open(ledger)?))?.with_price(price);
        Ok(match self.budget {
            Some(budget) => client.with_budget(budget)?,
            None => client,
        })
    }

    /// A model that runs in this process.
    fn local(&self, place: &str) -> anyhow::Result<Box<dyn LanguageModel>> {
        bail!("--llm {place}: models that run here are not built in yet")
    }
}
