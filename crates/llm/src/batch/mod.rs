//! The Batch API: many requests as one file, answered within a day at a lower price
//! (<https://platform.openai.com/docs/guides/batch>).
//!
//! Files are written, uploaded and submitted, and their answers collected into the ledger; a process that is killed
//! meanwhile finds its batches again in the ledger, and one that it could not note any more by the token in its metadata.

mod lines;
mod run;
mod service;

use std::sync::Arc;
use std::time::Duration;

use run::Run;

use crate::answer::Outcome;
use crate::http::{Endpoint, HttpModel, Probe, Unwatched};
use crate::language_model::{Capabilities, LanguageModel, Oversight};
use crate::ledger::Ledger;
use crate::pacing::Limits;
use crate::request::Request;

/// A language model behind a Batch API.
pub struct BatchModel {
    /// The same model without batches.
    direct: HttpModel,
    ledger: Arc<Ledger>,
    waiting: Waiting,
}

/// How long to wait for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Between the first two looks; later ones are further apart, up to a minute.
    pub pause: Duration,
    /// In all; then the run stops, and the next one goes on waiting. `None` for as long as it takes.
    pub most: Option<Duration>,
}

impl BatchModel {
    /// The model at `endpoint`, of which `probe` is known; batches under way are noted in `ledger`.
    pub fn new(endpoint: Endpoint, probe: Probe, ledger: Arc<Ledger>, waiting: Waiting) -> Self {
        // Its limits are the provider's: one file at a time.
        let direct = HttpModel::new(endpoint, probe, Limits::default());
        Self { direct, ledger, waiting }
    }
}

impl LanguageModel for BatchModel {
    fn name(&self) -> &str {
        self.direct.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.direct.capabilities()
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        self.answer_watched(requests, &Unwatched(answered));
    }

    fn answer_watched(&self, requests: &[Request], oversight: &dyn Oversight) {
        if let Err(stop) = Run::new(self, requests, oversight).finish() {
            oversight.stopped(stop);
        }
    }

    fn estimate_prompt_tokens(&self, request: &Request) -> u64 {
        self.direct.estimate_prompt_tokens(request)
    }
}
