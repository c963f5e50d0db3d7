//! Recorded answers: a model that says again what another one said, for tests and for reruns without a network.
//!
//! A recording is a ledger, or a JSONL file: a first line `{"model": NAME, "capabilities": {…}}`, then one [`Entry`] a
//! line, as `glossator llm ledger FILE --jsonl` writes them. A request is answered if the recorded model was asked exactly
//! the same; else it fails, and the failure names its fingerprint.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::answer::{Failure, FailureKind, Outcome};
use crate::error::{AtPath, LlmError};
use crate::language_model::{Capabilities, LanguageModel};
use crate::ledger::{Entry, Ledger};
use crate::request::{Fingerprint, Request};

/// How an SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The first line of a recording in JSONL.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heading {
    /// The model that was asked.
    pub model: String,
    /// What it offered.
    pub capabilities: Capabilities,
}

/// A model that answers from a recording.
pub struct Replay {
    heading: Heading,
    outcomes: HashMap<Fingerprint, Outcome>,
}

impl Replay {
    /// Reads the recording of `model`, which need not be named where there is only one.
    ///
    /// # Errors
    /// If the file is no recording, or `model` is not in it.
    pub fn open(path: &Path, model: Option<&str>) -> Result<Self, LlmError> {
        let mut start = Vec::new();
        File::open(path).at(path)?.take(SQLITE.len() as u64).read_to_end(&mut start).at(path)?;
        if start == SQLITE { Self::of_ledger(path, model) } else { Self::of_lines(path, model) }
    }

    fn of_ledger(path: &Path, model: Option<&str>) -> Result<Self, LlmError> {
        let ledger = Ledger::open_reading(path)?;
        let models = ledger.models()?;
        let model = match (model, models.as_slice()) {
            (Some(model), models) if models.iter().any(|other| other == model) => model.to_owned(),
            (None, [only]) => only.clone(),
            (_, models) => {
                let message = match models {
                    [] => "nothing is recorded in it".to_owned(),
                    models => format!("name one of its models with --llm-model: {}", models.join(", ")),
                };
                return Err(LlmError::Recording { path: path.to_owned(), message });
            }
        };
        let capabilities = ledger.capabilities(&model)?.unwrap_or_default();
        let mut outcomes = HashMap::new();
        ledger.entries(Some(&model), &mut |entry| {
            if let Some(print) = Fingerprint::parse(&entry.fingerprint) {
                outcomes.insert(print, entry.outcome);
            }
            true
        })?;
        Ok(Self { heading: Heading { model, capabilities }, outcomes })
    }

    fn of_lines(path: &Path, model: Option<&str>) -> Result<Self, LlmError> {
        let wrong = |number: usize, message: String| LlmError::Recording {
            path: path.to_owned(),
            message: format!("line {number}: {message}"),
        };
        let mut lines = BufReader::new(File::open(path).at(path)?).lines().zip(1..);
        let first = lines.next().map(|(line, _)| line).transpose().at(path)?.unwrap_or_default();
        let heading: Heading = serde_json::from_str(&first)
            .map_err(|error| wrong(1, format!("neither a ledger nor the heading of a recording: {error}")))?;
        if let Some(model) = model.filter(|model| *model != heading.model) {
            return Err(wrong(1, format!("this is a recording of {}, not of {model}", heading.model)));
        }
        let mut outcomes = HashMap::new();
        for (line, number) in lines {
            let entry: Entry = serde_json::from_str(&line.at(path)?)
                .map_err(|error| wrong(number, format!("no request with its outcome: {error}")))?;
            let print = Fingerprint::parse(&entry.fingerprint)
                .ok_or_else(|| wrong(number, format!("`{}` is no fingerprint", entry.fingerprint)))?;
            if entry.model != heading.model {
                return Err(wrong(number, format!("an answer of another model, {}", entry.model)));
            }
            outcomes.insert(print, entry.outcome);
        }
        Ok(Self { heading, outcomes })
    }
}

impl LanguageModel for Replay {
    fn name(&self) -> &str {
        &self.heading.model
    }

    fn capabilities(&self) -> Capabilities {
        self.heading.capabilities
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        for (index, request) in requests.iter().enumerate() {
            let print = request.fingerprint(self.name());
            let outcome = self.outcomes.get(&print).cloned().unwrap_or_else(|| {
                // Passing, so that a ledger before this model does not keep it.
                let message = format!("the recording has no answer to request {print}");
                Err(Failure::new(FailureKind::Unreachable, message))
            });
            if !answered(index, outcome) {
                return;
            }
        }
    }

    fn estimate_prompt_tokens(&self, request: &Request) -> u64 {
        self.most_prompt_tokens(request) / 4
    }
}

#[cfg(test)]
mod tests;
