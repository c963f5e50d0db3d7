//! One run of requests by batches: find what is under way, send what is not, wait, collect.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::BatchModel;
use super::lines::{Input, Results, outcome, read};
use super::service::{Progress, Service};
use crate::error::LlmError;
use crate::http::{AttemptError, What, build};
use crate::language_model::{LanguageModel, Oversight, Permit, Stop};
use crate::ledger::BatchRow;
use crate::request::{Fingerprint, Request};

/// Longest time between two looks at a batch.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The run.
pub(super) struct Run<'a> {
    model: &'a BatchModel,
    service: Service<'a>,
    requests: &'a [Request],
    prints: Vec<Fingerprint>,
    oversight: &'a dyn Oversight,
    /// Requests that have no outcome yet, by their fingerprint.
    wanted: HashMap<Fingerprint, usize>,
    stopping: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(model: &'a BatchModel, requests: &'a [Request], oversight: &'a dyn Oversight) -> Self {
        let prints: Vec<Fingerprint> =
            requests.iter().map(|request| request.fingerprint(model.name())).collect();
        let wanted = prints.iter().copied().zip(0..).collect();
        let service = Service::new(model.direct.endpoint());
        Self { model, service, requests, prints, oversight, wanted, stopping: false }
    }

    /// Until every request has its outcome, or there is a reason to stop.
    pub(super) fn finish(mut self) -> Result<(), Stop> {
        let mut open = self.under_way()?;
        loop {
            let sent: HashSet<Fingerprint> =
                open.iter().flat_map(|batch| batch.requests.iter().copied()).collect();
            for file in self.files(&sent) {
                open.push(self.submit(file)?);
            }
            open = self.collect(open)?;
            if self.wanted.is_empty() || self.stopping {
                return Ok(());
            }
        }
    }

    /// The batches of earlier runs that hold something that is wanted.
    fn under_way(&self) -> Result<Vec<BatchRow>, Stop> {
        let ledger = &self.model.ledger;
        let mut open = ledger.open_batches(self.model.name()).map_err(|error| broken(&error))?;
        for batch in open.iter_mut().filter(|batch| batch.id.is_none()) {
            // It was noted and not named: the process ended between the two.
            batch.id = self.service.find(&batch.token).map_err(stop)?;
            match &batch.id {
                Some(id) => ledger.name_batch(&batch.token, id),
                None => ledger.leave_batch(&batch.token, &batch.requests),
            }
            .map_err(|error| broken(&error))?;
        }
        open.retain(|batch| {
            batch.id.is_some() && batch.requests.iter().any(|print| self.wanted.contains_key(print))
        });
        Ok(open)
    }

    /// Files of what is not under way, as far as it may be sent.
    fn files(&mut self, sent: &HashSet<Fingerprint>) -> Vec<Input> {
        let mut files: BTreeMap<&str, Vec<Input>> = BTreeMap::new();
        for index in 0..self.requests.len() {
            let print = self.prints[index];
            if sent.contains(&print) || self.wanted.get(&print) != Some(&index) {
                continue;
            }
            let endpoint = self.model.direct.endpoint();
            let built = build(&self.requests[index], endpoint.model(), self.model.direct.probe().dialect);
            let (path, body) = match built {
                Ok(built) => built,
                Err(error) => {
                    self.wanted.remove(&print);
                    self.oversight.answered(index, Err(error.failure()));
                    continue;
                }
            };
            match self.oversight.begin(index) {
                Permit::Granted => Input::add(files.entry(path).or_default(), print, path, &body),
                // What is under way is waited for; then there may be money again.
                Permit::Wait => break,
                Permit::Denied => {
                    self.stopping = true;
                    break;
                }
            }
        }
        files.into_values().flatten().collect()
    }

    fn submit(&self, file: Input) -> Result<BatchRow, Stop> {
        let (ledger, token) = (&self.model.ledger, file.token());
        ledger.note_batch(&token, self.model.name(), &file.requests).map_err(|error| broken(&error))?;
        let id = self.service.submit(&token, file.path, &file.bytes).map_err(stop)?;
        ledger.name_batch(&token, &id).map_err(|error| broken(&error))?;
        tracing::info!("batch {id} was submitted with {} requests", file.requests.len());
        Ok(BatchRow { token, id: Some(id), requests: file.requests })
    }

    /// Waits until the batches have ended, and hands their outcomes on.
    fn collect(&mut self, mut open: Vec<BatchRow>) -> Result<Vec<BatchRow>, Stop> {
        let (start, waiting) = (Instant::now(), self.model.waiting);
        let mut pause = waiting.pause;
        loop {
            let mut left = Vec::new();
            for batch in open {
                let Some(id) = &batch.id else { continue };
                match self.service.progress(id).map_err(stop)? {
                    Progress::UnderWay => left.push(batch),
                    Progress::Ended { files, why } => self.take(&batch, &files, &why)?,
                }
            }
            if left.is_empty() {
                if !self.stopping && !self.wanted.is_empty() {
                    // Another run's money may be set aside.
                    std::thread::sleep(waiting.pause.min(Duration::from_secs(1)));
                }
                return Ok(left);
            }
            if waiting.most.is_some_and(|most| start.elapsed() + pause > most) {
                let ids: Vec<&str> = left.iter().filter_map(|batch| batch.id.as_deref()).collect();
                return Err(Stop {
                    reason: format!("the provider is working on {}", ids.join(", ")),
                    advice: "run the same command again later to collect the answers".to_owned(),
                });
            }
            open = left;
            std::thread::sleep(pause);
            pause = pause.mul_f64(1.5).min(LONGEST_PAUSE.max(waiting.pause));
        }
    }

    /// Keeps the outcomes of a batch that ended. Those whose requests are not at hand cannot be read: they stay with the
    /// provider until a run asks for them.
    fn take(&mut self, batch: &BatchRow, files: &[String], why: &str) -> Result<(), Stop> {
        let ledger = &self.model.ledger;
        let mut results = Results::new();
        for file in files {
            read(&self.service.download(file).map_err(stop)?, &mut results);
        }
        let kept = ledger.outcomes(&batch.requests).map_err(|error| broken(&error))?;
        let mut settled = Vec::new();
        for (print, kept) in batch.requests.iter().zip(kept) {
            if let Some(index) = self.wanted.remove(print) {
                let dialect = self.model.direct.probe().dialect;
                let outcome = outcome(results.remove(print), why, &self.requests[index], dialect);
                self.stopping |= !self.oversight.answered(index, outcome);
                settled.push(*print);
            } else if kept.is_some() {
                settled.push(*print);
            }
        }
        ledger.leave_batch(&batch.token, &settled).map_err(|error| broken(&error))
    }
}

fn broken(error: &LlmError) -> Stop {
    let reason = error.to_string();
    Stop {
        reason,
        advice: "what was submitted is noted; mend the ledger and run the same command again".to_owned(),
    }
}

fn stop(error: AttemptError) -> Stop {
    let advice = match error.what {
        What::Run(advice) => advice,
        _ => "run the same command again when it is back: batches under way are found again",
    };
    Stop { reason: error.message, advice: advice.to_owned() }
}
