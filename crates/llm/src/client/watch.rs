//! One run of requests as the client sees it: attempts are noted, outcomes kept, money counted.

use std::sync::Mutex;

use super::estimate::most_new_tokens;
use super::{Client, Totals, unpoisoned};
use crate::answer::{Answer, Failure, FailureKind, Outcome, Usage};
use crate::error::LlmError;
use crate::language_model::{Oversight, Permit, Stop};
use crate::prices::Money;
use crate::request::{Fingerprint, Request};

/// The run.
pub(super) struct Watch<'a> {
    client: &'a Client,
    requests: &'a [Request],
    prints: Vec<Fingerprint>,
    outcomes: Mutex<Vec<Option<Outcome>>>,
    end: Mutex<Option<End>>,
    progress: &'a (dyn Fn(&Totals) + Sync),
}

/// Why the run ends before all is answered.
enum End {
    Model(Stop),
    Budget,
    Error(LlmError),
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        client: &'a Client,
        requests: &'a [Request],
        progress: &'a (dyn Fn(&Totals) + Sync),
    ) -> Self {
        let prints = client.fingerprints(requests);
        let outcomes = Mutex::new(vec![None; requests.len()]);
        Self { client, requests, prints, outcomes, end: Mutex::default(), progress }
    }

    /// All outcomes, or why there are not all.
    pub(super) fn finish(self) -> Result<Vec<Outcome>, LlmError> {
        let outcomes = self.outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (model, asked) = (self.client.name().to_owned(), outcomes.len());
        let answered: Vec<Outcome> = outcomes.into_iter().flatten().collect();
        let left = asked - answered.len();
        let end = self.end.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        match end {
            // What cannot be kept would be paid again: that stops a run even if all was answered.
            Some(End::Error(error)) => Err(error),
            _ if left == 0 => Ok(answered),
            Some(End::Model(Stop { reason, advice })) => {
                Err(LlmError::Stopped { model, reason, advice, left, asked })
            }
            Some(End::Budget) => {
                let account = unpoisoned(&self.client.account);
                let uncertain = match account.uncertain() {
                    Money::ZERO => String::new(),
                    lost => format!(", and at most {lost} for answers that were lost"),
                };
                let budget = account.budget().unwrap_or_default();
                Err(LlmError::Budget { budget, spent: account.spent(), uncertain, left, asked })
            }
            None => Err(LlmError::Unanswered { model, left, asked }),
        }
    }

    fn end(&self, end: End) {
        let mut first = unpoisoned(&self.end);
        if first.is_none() || matches!(end, End::Error(_)) {
            *first = Some(end);
        }
    }

    /// What the request costs at most.
    fn worst(&self, index: usize) -> Money {
        let request = &self.requests[index];
        let usage = Usage {
            prompt_tokens: self.client.model.most_prompt_tokens(request),
            cached_tokens: 0,
            completion_tokens: most_new_tokens(request),
        };
        self.client.price.map_or(Money::ZERO, |price| price.cost(usage))
    }

    fn keep(&self, index: usize, outcome: &Outcome, cost: Option<Money>) {
        let Some(ledger) = &self.client.ledger else { return };
        if let Err(error) = ledger.finish(&self.prints[index], self.client.name(), outcome, cost) {
            self.end(End::Error(error));
        }
    }
}

impl Oversight for Watch<'_> {
    fn begin(&self, index: usize) -> Permit {
        if unpoisoned(&self.end).is_some() {
            return Permit::Denied;
        }
        let permit = unpoisoned(&self.client.account).reserve(self.prints[index], self.worst(index));
        match permit {
            Permit::Granted => {
                unpoisoned(&self.client.totals).attempts += 1;
                if let Some(ledger) = &self.client.ledger
                    && let Err(error) = ledger.begin(&self.prints[index], self.client.name())
                {
                    self.end(End::Error(error));
                    unpoisoned(&self.client.account).lose(self.prints[index], false);
                    return Permit::Denied;
                }
            }
            Permit::Wait => {}
            Permit::Denied => self.end(End::Budget),
        }
        permit
    }

    fn lost(&self, index: usize, failure: &Failure, perhaps_paid: bool) {
        tracing::info!(request = %self.prints[index], "an attempt failed: {}", failure.message);
        unpoisoned(&self.client.account).lose(self.prints[index], perhaps_paid);
    }

    fn answered(&self, index: usize, outcome: Outcome) -> bool {
        let outcome = outcome.and_then(finite);
        let usage = match &outcome {
            Ok(answer) => answer.usage,
            Err(failure) => failure.usage,
        };
        let cost = self.client.price.map(|price| price.cost(usage));
        self.keep(index, &outcome, cost);
        unpoisoned(&self.client.account).settle(self.prints[index], cost.unwrap_or_default());
        unpoisoned(&self.client.totals).count_answered(&outcome);
        unpoisoned(&self.outcomes)[index] = Some(outcome);
        (self.progress)(&self.client.totals());
        unpoisoned(&self.end).is_none()
    }

    fn stopped(&self, stop: Stop) {
        self.end(End::Model(stop));
    }
}

/// Probabilities that are no numbers are no answer; JSON could not even keep them.
fn finite(answer: Answer) -> Outcome {
    let tokens = answer.tokens.iter().all(|token| {
        token.logprob.is_finite() && token.alternatives.iter().all(|(_, logprob)| logprob.is_finite())
    });
    let grades = answer.grades.iter().flat_map(|grade| &grade.0).all(|probability| probability.is_finite());
    if tokens && grades {
        return Ok(answer);
    }
    Err(Failure {
        kind: FailureKind::Malformed,
        message: "the answer holds probabilities that are no numbers".to_owned(),
        usage: answer.usage,
    })
}
