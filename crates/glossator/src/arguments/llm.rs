//! `--llm` and its companions: which language model explains, and on what terms.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use glossator_llm::batch::{BatchModel, Waiting};
use glossator_llm::http::{Endpoint, HttpModel, Probe, Timeouts, probe};
use glossator_llm::local::{LocalMemory, LocalModel, LocalOptions};
use glossator_llm::pacing::Limits;
use glossator_llm::prices::{Money, Price, Prices};
use glossator_llm::replay::Replay;
use glossator_llm::{Client, LanguageModel, Ledger, LlmError};
use glossator_model::runtime::RuntimeLimits;

use crate::output;

/// Where OpenAI is; its key is sent nowhere else unless that is asked for.
const OPENAI: &str = "https://api.openai.com/v1";
const OPENAI_KEY: &str = "OPENAI_API_KEY";

/// A language model, and what may be asked of it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Language model")]
pub(crate) struct LlmArgs {
    /// Which language model: local (runs here, without key or network), a model directory or .gguf file, http (an endpoint
    /// that speaks OpenAI's interface), batch (the same through its Batch API), or replay (recorded answers: the ledger,
    /// or the file that --ledger names)
    #[arg(long, default_value = "local", value_name = "local|PATH|http|batch|replay")]
    llm: String,
    /// The endpoint, such as http://127.0.0.1:8080/v1 [default: https://api.openai.com/v1]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The environment variable that holds the endpoint's key, which is neither stored nor logged [default: OPENAI_API_KEY
    /// for OpenAI, else none]
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
    /// The model's name at the endpoint, or in the recording; not needed where there is only one
    #[arg(long, value_name = "NAME")]
    llm_model: Option<String>,
    /// Where answers are kept, so that none is asked or paid twice; one process writes to it at a time
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Stop before this run has spent so many dollars
    #[arg(long, value_name = "DOLLARS")]
    budget: Option<Money>,
    /// A table of prices (TOML, as `glossator llm prices` prints it) instead of the built-in one
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// At most so many requests under way at once; fewer where the provider refuses
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// At most so many requests in any minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_minute: Option<u32>,
    /// At most so many tokens in any minute, read and written
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tokens_per_minute: Option<u64>,
    /// Longest time for one answer, however slowly it comes
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    request_timeout: u64,
    /// With a local model: memory for the keys and values of prompts, in MiB. What prompts begin with in common is kept in it
    #[arg(long, default_value_t = 2048, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    llm_cache: u32,
    /// With a local model: requests that are advanced together
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    llm_sequences: u16,
    /// With a local model: tokens that are computed in one step
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8192))]
    llm_rows: u16,
    /// With --llm batch: wait so long for answers, then stop; the same command goes on [default: as long as it takes]
    #[arg(long, value_name = "MINUTES")]
    batch_wait: Option<u64>,
}

impl LlmArgs {
    /// The client. Answers are kept in `ledger` unless the user names another file.
    pub(crate) fn client(&self, ledger: &Path) -> anyhow::Result<Client> {
        let path = self.ledger.as_deref().unwrap_or(ledger);
        if self.llm == "replay" {
            ensure!(path.exists(), "there is no recording {}: name one with --ledger", path.display());
            // A recording is only read: what is missing in it is not to be kept as missing.
            return Ok(Client::new(Box::new(Replay::open(path, self.llm_model.as_deref())?)));
        }
        let ledger = || Ledger::open(path).map(Arc::new);
        match self.llm.as_str() {
            "http" => {
                let endpoint = self.endpoint()?;
                let (price, ledger) = (self.price(&endpoint)?, ledger()?);
                let probe = known(&endpoint, &ledger)?;
                self.finish(HttpModel::new(endpoint, probe, self.limits()), ledger, price)
            }
            "batch" => {
                let endpoint = self.endpoint()?;
                let (price, ledger) = (self.price(&endpoint)?.map(Price::in_batch), ledger()?);
                let probe = known(&endpoint, &ledger)?;
                let most = self.batch_wait.map(|minutes| Duration::from_secs(60 * minutes));
                let waiting = Waiting { pause: Duration::from_secs(5), most };
                self.finish(BatchModel::new(endpoint, probe, Arc::clone(&ledger), waiting), ledger, price)
            }
            place => self.finish(self.local(place)?, ledger()?, Some(Price::FREE)),
        }
    }

    /// The endpoint that the flags name.
    pub(crate) fn endpoint(&self) -> anyhow::Result<Endpoint> {
        let base = self.base_url.as_deref().unwrap_or(OPENAI);
        let variable = match &self.api_key_env {
            None if base.trim_end_matches('/') == OPENAI => Some(OPENAI_KEY),
            name => name.as_deref(),
        };
        let key = variable
            .map(|name| {
                std::env::var(name).with_context(|| {
                    format!("{base} needs a key: put it into the environment variable {name}, or name another with --api-key-env")
                })
            })
            .transpose()?;
        let timeouts = Timeouts { whole: Duration::from_secs(self.request_timeout), ..Timeouts::default() };
        Ok(match &self.llm_model {
            Some(model) => Endpoint::new(base, key, model, timeouts)?,
            None => Endpoint::with_only_model(base, key, timeouts)?,
        })
    }

    /// What its tokens cost, if that is known; if not, that is said.
    pub(crate) fn price(&self, endpoint: &Endpoint) -> anyhow::Result<Option<Price>> {
        let prices = self.prices.as_deref().map_or_else(|| Ok(Prices::built_in()), Prices::read)?;
        let price = prices.of(&endpoint.name(), endpoint.model());
        if price.is_none() {
            let name = endpoint.name();
            // Before anything is asked, the probe included.
            ensure!(self.budget.is_none(), LlmError::NoPrice { model: name });
            output::note(&format!(
                "note: there is no price for {name}, so that tokens are counted and money is not"
            ));
        }
        Ok(price)
    }

    fn limits(&self) -> Limits {
        Limits {
            concurrency: self.concurrency.into(),
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            ..Limits::default()
        }
    }

    /// A model that runs in this process; `local` is the demo's explainer, where `make demo-explainer` puts it.
    fn local(&self, place: &str) -> anyhow::Result<LocalModel> {
        let location = if place == "local" {
            let demo = std::env::var_os("GLOSSATOR_DEMO_DIR")
                .map_or_else(|| PathBuf::from(".cache/demo"), PathBuf::from);
            let path = demo.join("explainer/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf");
            ensure!(
                path.exists(),
                "{} is not there: run make demo-explainer, or name a model directory or .gguf file with --llm",
                path.display()
            );
            path.display().to_string()
        } else {
            place.to_owned()
        };
        let limits = RuntimeLimits {
            cache_bytes: (self.llm_cache as usize) << 20,
            sequences: self.llm_sequences.into(),
            rows: self.llm_rows.into(),
            ..RuntimeLimits::default()
        };
        let options = LocalOptions { limits, ..LocalOptions::default() };
        let announce = |memory: LocalMemory| {
            let mib = |bytes: usize| bytes.div_ceil(1 << 20);
            output::note(&format!(
                "loading {location}: {} MiB of weights, and up to {} MiB for keys and values (--llm-cache)",
                mib(memory.weights),
                mib(memory.cache)
            ));
        };
        Ok(LocalModel::load_announced(&location, options, announce)?)
    }

    fn finish(
        &self,
        model: impl LanguageModel + 'static,
        ledger: Arc<Ledger>,
        price: Option<Price>,
    ) -> anyhow::Result<Client> {
        let client = Client::new(Box::new(model)).with_ledger(ledger)?.with_price(price);
        Ok(match self.budget {
            Some(budget) => client.with_budget(budget)?,
            None => client,
        })
    }
}

/// What the ledger knows of the endpoint, or what it says now. What was found with other questions than today's is asked again.
fn known(endpoint: &Endpoint, ledger: &Ledger) -> anyhow::Result<Probe> {
    let name = endpoint.name();
    let known: Option<Probe> = ledger.probe(&name)?;
    let again = if known.is_some() { " (the ledger knows it from an older probe)" } else { "" };
    if let Some(known) = known.filter(Probe::is_current) {
        return Ok(known);
    }
    output::note(&format!("{name}: finding out what it offers{again}"));
    let probe = probe(endpoint)?;
    ledger.put_model(&name, probe.capabilities, Some(&probe))?;
    Ok(probe)
}
