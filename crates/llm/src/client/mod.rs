//! What explainers and scorers talk to: a model, and before it the ledger, the budget and the counts.
//!
//! A request passes here in this order: equal requests become one; what the ledger keeps is taken from it; what another
//! thread is asking at the moment is waited for; the rest is asked, each attempt being noted and counted against the
//! budget, each outcome being kept before it is handed on.

mod account;
mod claims;
mod estimate;
mod totals;
mod watch;

pub use estimate::Estimate;
pub use totals::Totals;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use account::Account;
use claims::Claims;
use watch::Watch;

use crate::answer::Outcome;
use crate::error::LlmError;
use crate::language_model::{Capabilities, LanguageModel};
use crate::ledger::Ledger;
use crate::prices::{Money, Price};
use crate::request::{Fingerprint, Request};

/// A model, and what stands before it.
pub struct Client {
    model: Box<dyn LanguageModel>,
    ledger: Option<Arc<Ledger>>,
    price: Option<Price>,
    account: Mutex<Account>,
    totals: Mutex<Totals>,
    claims: Claims,
}

impl Client {
    /// Asks `model` directly.
    pub fn new(model: Box<dyn LanguageModel>) -> Self {
        Self {
            model,
            ledger: None,
            price: None,
            account: Mutex::default(),
            totals: Mutex::default(),
            claims: Claims::default(),
        }
    }

    /// Keeps outcomes in `ledger`, and takes from it what it has.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn with_ledger(mut self, ledger: Arc<Ledger>) -> Result<Self, LlmError> {
        ledger.put_model(self.model.name(), self.model.capabilities(), None::<&()>)?;
        self.ledger = Some(ledger);
        Ok(self)
    }

    /// Counts money: what the model's tokens cost, or `None` if that is not known.
    #[must_use]
    pub fn with_price(mut self, price: Option<Price>) -> Self {
        self.price = price;
        self
    }

    /// Stops before more than `budget` has been spent by this client. What a ledger says of earlier runs does not count.
    ///
    /// # Errors
    /// If the model has no price.
    pub fn with_budget(mut self, budget: Money) -> Result<Self, LlmError> {
        if self.price.is_none() {
            return Err(LlmError::NoPrice { model: self.name().to_owned() });
        }
        self.account = Mutex::new(Account::with_budget(budget));
        Ok(self)
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        self.model.name()
    }

    /// What the model offers.
    pub fn capabilities(&self) -> Capabilities {
        self.model.capabilities()
    }

    /// What the model's tokens cost, if that is known.
    pub fn price(&self) -> Option<Price> {
        self.price
    }

    /// What has been asked so far, and what it took.
    pub fn totals(&self) -> Totals {
        let mut totals = unpoisoned(&self.totals).clone();
        if self.price.is_some() {
            let account = unpoisoned(&self.account);
            totals.cost = Some(account.spent());
            totals.uncertain_cost = account.uncertain();
        }
        totals
    }

    /// Asks all of `requests` and returns their outcomes in the same order. A passing failure is an outcome too; asked
    /// again, it is tried again.
    ///
    /// # Errors
    /// If the run must stop. Outcomes that were there by then are not lost: asked again, they are not asked twice.
    pub fn ask(&self, requests: &[Request]) -> Result<Vec<Outcome>, LlmError> {
        self.ask_with(requests, &|_| {})
    }

    /// As [`Self::ask`]; `progress` sees the totals after every outcome.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn ask_with(
        &self,
        requests: &[Request],
        progress: &(dyn Fn(&Totals) + Sync),
    ) -> Result<Vec<Outcome>, LlmError> {
        let prints = self.fingerprints(requests);
        let mut outcomes: HashMap<Fingerprint, Outcome> = HashMap::new();
        loop {
            let mut seen = HashSet::new();
            let missing: Vec<usize> = (0..requests.len())
                .filter(|&index| !outcomes.contains_key(&prints[index]) && seen.insert(prints[index]))
                .collect();
            let missing = self.take_kept(&missing, &prints, &mut outcomes, progress)?;
            if missing.is_empty() {
                break;
            }
            // Another thread may be asking some of these: they are looked for again when it has finished.
            let claimed = self.claims.claim(missing.iter().map(|&index| prints[index]));
            if claimed.is_empty() {
                self.claims.wait_for(prints[missing[0]]);
                continue;
            }
            let mine: Vec<usize> =
                missing.into_iter().filter(|&index| claimed.contains(&prints[index])).collect();
            let asked: Vec<Request> = mine.iter().map(|&index| requests[index].clone()).collect();
            let answered = self.ask_model(&asked, progress)?;
            outcomes.extend(mine.iter().map(|&index| prints[index]).zip(answered));
        }
        let in_order = prints.iter().filter_map(|print| outcomes.get(print).cloned());
        Ok(in_order.collect())
    }

    /// What asking all of `requests` will take at most.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn estimate(&self, requests: &[Request]) -> Result<Estimate, LlmError> {
        let prints = self.fingerprints(requests);
        let kept = match &self.ledger {
            Some(ledger) => ledger.outcomes(&prints)?.iter().map(Option::is_some).collect(),
            None => vec![false; prints.len()],
        };
        Ok(Estimate::of(self.model.as_ref(), self.price, requests, &prints, &kept))
    }

    fn fingerprints(&self, requests: &[Request]) -> Vec<Fingerprint> {
        requests.iter().map(|request| request.fingerprint(self.name())).collect()
    }

    /// Moves what the ledger keeps into `outcomes`; returns what is still missing.
    fn take_kept(
        &self,
        missing: &[usize],
        prints: &[Fingerprint],
        outcomes: &mut HashMap<Fingerprint, Outcome>,
        progress: &(dyn Fn(&Totals) + Sync),
    ) -> Result<Vec<usize>, LlmError> {
        let Some(ledger) = &self.ledger else { return Ok(missing.to_vec()) };
        let wanted: Vec<Fingerprint> = missing.iter().map(|&index| prints[index]).collect();
        let mut left = Vec::new();
        for (&index, kept) in missing.iter().zip(ledger.outcomes(&wanted)?) {
            match kept {
                Some(outcome) => {
                    unpoisoned(&self.totals).count_kept(&outcome);
                    outcomes.insert(prints[index], outcome);
                }
                None => left.push(index),
            }
        }
        if left.len() < missing.len() {
            progress(&self.totals());
        }
        Ok(left)
    }

    fn ask_model(
        &self,
        requests: &[Request],
        progress: &(dyn Fn(&Totals) + Sync),
    ) -> Result<Vec<Outcome>, LlmError> {
        let watch = Watch::new(self, requests, progress);
        self.model.answer_watched(requests, &watch);
        watch.finish()
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
