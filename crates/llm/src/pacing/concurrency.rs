//! How many requests are under way at once: additive increase, multiplicative decrease (Chiu and Jain 1989). Every
//! success adds 1/limit, so that a whole round adds one; a refusal for load halves the limit, once for all the requests
//! that were under way at the time.

use std::time::Duration;

/// The limit.
#[derive(Debug)]
pub(super) struct Concurrency {
    limit: f64,
    most: f64,
    /// Requests sent before this time have been punished for.
    reduced: Duration,
}

impl Concurrency {
    /// At most `most`, and a few to begin with.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        Self { limit: most.min(4.0), most, reduced: Duration::ZERO }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    pub(super) fn succeeded(&mut self) {
        self.limit = (self.limit + 1.0 / self.limit).min(self.most);
    }

    /// A request that was sent at `sent` was refused for load.
    pub(super) fn overloaded(&mut self, sent: Duration, now: Duration) {
        if sent >= self.reduced {
            self.limit = (self.limit / 2.0).max(1.0);
            self.reduced = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_one_a_round_and_halves_once_for_a_burst() {
        let at = Duration::from_secs;
        let mut concurrency = Concurrency::new(16);
        assert_eq!(concurrency.limit(), 4);
        (0..5).for_each(|_| concurrency.succeeded());
        assert_eq!(concurrency.limit(), 5);
        (0..1000).for_each(|_| concurrency.succeeded());
        assert_eq!(concurrency.limit(), 16);
        (0..16).for_each(|_| concurrency.overloaded(at(5), at(6)));
        assert_eq!(concurrency.limit(), 8);
        concurrency.overloaded(at(7), at(8));
        assert_eq!(concurrency.limit(), 4);
        (10..30).for_each(|time| concurrency.overloaded(at(time), at(time)));
        assert_eq!(concurrency.limit(), 1);
        assert_eq!(Concurrency::new(0).limit(), 1);
    }
}
