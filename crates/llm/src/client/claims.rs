//! Who is asking what: two threads never ask the same request at the same time.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::{Condvar, Mutex, PoisonError};

use super::unpoisoned;
use crate::request::Fingerprint;

/// Requests that some thread is asking.
#[derive(Default)]
pub(super) struct Claims {
    asked: Mutex<HashSet<Fingerprint>>,
    released: Condvar,
}

/// Requests that this thread asks, until it is dropped.
pub(super) struct Claimed<'a> {
    claims: &'a Claims,
    mine: HashSet<Fingerprint>,
}

impl Claims {
    /// Claims those that nobody else has.
    pub(super) fn claim(&self, wanted: impl Iterator<Item = Fingerprint>) -> Claimed<'_> {
        let mut asked = unpoisoned(&self.asked);
        let mine = wanted.filter(|print| asked.insert(*print)).collect();
        Claimed { claims: self, mine }
    }

    /// Waits until nobody asks this one.
    pub(super) fn wait_for(&self, print: Fingerprint) {
        let asked = unpoisoned(&self.asked);
        let waited = self.released.wait_while(asked, |asked| asked.contains(&print));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Deref for Claimed<'_> {
    type Target = HashSet<Fingerprint>;

    fn deref(&self) -> &Self::Target {
        &self.mine
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        unpoisoned(&self.claims.asked).retain(|print| !self.mine.contains(print));
        self.claims.released.notify_all();
    }
}
