//! A circuit breaker (Nygard, "Release It!"): after many failures in a row nothing is sent for a while, then one trial;
//! a success closes it, and after some trials that failed the provider counts as down.

use std::time::Duration;

/// Failures in a row that open it.
const FAILURES: u32 = 8;
/// Trials that fail before the provider counts as down.
const TRIALS: u32 = 4;

/// Whether the provider seems to be there.
#[derive(Debug)]
pub(super) struct Breaker {
    /// The first pause; each further one is twice as long.
    pause: Duration,
    failures: u32,
    trials: u32,
    /// While it is open: when the next trial may go out.
    open_until: Option<Duration>,
    trying: bool,
}

/// Whether to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    /// Nothing before that time.
    Open(Duration),
    /// A trial is under way.
    Trying,
    /// The provider is down.
    Down,
}

impl Breaker {
    /// Closed.
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, failures: 0, trials: 0, open_until: None, trying: false }
    }

    pub(super) fn state(&self, now: Duration) -> State {
        match self.open_until {
            _ if self.trials >= TRIALS => State::Down,
            Some(_) if self.trying => State::Trying,
            Some(until) if now < until => State::Open(until),
            None | Some(_) => State::Closed,
        }
    }

    /// Something is sent: a trial, if it was open.
    pub(super) fn sent(&mut self) {
        self.trying = self.open_until.is_some();
    }

    /// The provider answered, even if only to say that it is busy.
    pub(super) fn alive(&mut self) {
        *self = Self::new(self.pause);
    }

    /// It did not.
    pub(super) fn failed(&mut self, now: Duration) {
        self.failures += 1;
        if self.trying {
            self.trying = false;
            self.trials += 1;
        } else if self.open_until.is_some() || self.failures < FAILURES {
            // Requests that were under way when it opened say nothing new.
            return;
        }
        self.open_until = Some(now + self.pause * (1 << self.trials));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn it_opens_tries_and_gives_up() {
        let mut breaker = Breaker::new(PAUSE);
        for _ in 0..FAILURES - 1 {
            breaker.failed(SECOND);
        }
        assert_eq!(breaker.state(SECOND), State::Closed);
        breaker.failed(SECOND);
        let mut until = SECOND + PAUSE;
        assert_eq!(breaker.state(SECOND), State::Open(until));
        breaker.failed(2 * SECOND);
        assert_eq!(breaker.state(2 * SECOND), State::Open(until), "one that was under way changes nothing");
        for trial in 1..=TRIALS {
            assert_eq!(breaker.state(until), State::Closed);
            breaker.sent();
            assert_eq!(breaker.state(until), State::Trying);
            breaker.failed(until);
            until += PAUSE * (1 << trial);
        }
        assert_eq!(breaker.state(until), State::Down);
    }

    #[test]
    fn one_success_closes_it() {
        let mut breaker = Breaker::new(PAUSE);
        (0..FAILURES).for_each(|_| breaker.failed(SECOND));
        breaker.sent();
        breaker.alive();
        assert_eq!(breaker.state(SECOND), State::Closed);
        breaker.failed(SECOND);
        assert_eq!(breaker.state(SECOND), State::Closed);
    }
}
