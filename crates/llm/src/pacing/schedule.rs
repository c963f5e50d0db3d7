//! The order of attempts: which request goes out next and when, and what becomes of it after a failure.
//!
//! [`Pace`] belongs to the provider and lasts as long as the program; a [`Schedule`] belongs to one run of requests.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::backoff;
use super::breaker::{Breaker, State};
use super::concurrency::Concurrency;
use super::rate::Rate;

/// What the user allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way at once, at most.
    pub concurrency: usize,
    /// Requests a minute, at most.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, read and written, at most.
    pub tokens_per_minute: Option<u64>,
    /// Attempts at one request, at most.
    pub attempts: u32,
    /// How long nothing is sent after many failures in a row; each time after a trial that failed, twice as long.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 16,
            requests_per_minute: None,
            tokens_per_minute: None,
            attempts: 6,
            pause: Duration::from_secs(10),
        }
    }
}

/// What a provider bears.
#[derive(Debug)]
pub struct Pace {
    concurrency: Concurrency,
    rate: Rate,
    breaker: Breaker,
    under_way: usize,
    attempts: u32,
}

/// The requests of one run that have no outcome yet.
#[derive(Debug)]
pub struct Schedule {
    /// Tokens of each request.
    tokens: Vec<u64>,
    failures: Vec<u32>,
    /// The first request that has never been sent.
    fresh: usize,
    /// Requests to be sent again, by time.
    again: BinaryHeap<Reverse<(Duration, usize)>>,
    under_way: usize,
    stopped: bool,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send the request of this index.
    Send(usize),
    /// Ask again at that time, or when an attempt has ended.
    Wait(Duration),
    /// Ask again when an attempt has ended.
    Busy,
    /// Nothing is left to send.
    Done,
    /// The provider is down.
    Down,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// With an outcome, good or bad.
    Answered,
    /// The provider is there but has too much to do; it may say for how long.
    Overloaded(Option<Duration>),
    /// The provider failed or did not answer; it may say for how long.
    Failed(Option<Duration>),
}

impl Pace {
    /// A provider of which nothing is known.
    pub fn new(limits: Limits) -> Self {
        Self {
            concurrency: Concurrency::new(limits.concurrency),
            rate: Rate::new(limits.requests_per_minute, limits.tokens_per_minute),
            breaker: Breaker::new(limits.pause),
            under_way: 0,
            attempts: limits.attempts.max(1),
        }
    }
}

impl Schedule {
    /// A run of requests that take so many tokens each.
    pub fn new(tokens: Vec<u64>) -> Self {
        let failures = vec![0; tokens.len()];
        Self { tokens, failures, fresh: 0, again: BinaryHeap::new(), under_way: 0, stopped: false }
    }

    /// Sends nothing more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// What to do now. A request that is to be sent counts as under way.
    pub fn next(&mut self, pace: &mut Pace, now: Duration) -> Next {
        if self.stopped {
            return Next::Done;
        }
        let due = self.again.peek().map(|Reverse((time, _))| *time);
        let index = match due {
            Some(time) if time <= now => self.again.peek().map(|Reverse((_, index))| *index),
            _ => (self.fresh < self.tokens.len()).then_some(self.fresh),
        };
        let Some(index) = index else {
            return match due {
                Some(time) => Next::Wait(time),
                None if self.under_way > 0 => Next::Busy,
                None => Next::Done,
            };
        };
        match pace.breaker.state(now) {
            State::Down => return Next::Down,
            State::Open(until) => return Next::Wait(until),
            State::Trying => return Next::Busy,
            State::Closed => {}
        }
        if pace.under_way >= pace.concurrency.limit() {
            return Next::Busy;
        }
        let ready = pace.rate.ready(self.tokens[index], now);
        if ready > now {
            return Next::Wait(ready);
        }
        self.send(index, pace, now);
        Next::Send(index)
    }

    fn send(&mut self, index: usize, pace: &mut Pace, now: Duration) {
        if index == self.fresh {
            self.fresh += 1;
        } else {
            self.again.pop();
        }
        pace.rate.sent(self.tokens[index], now);
        pace.breaker.sent();
        pace.under_way += 1;
        self.under_way += 1;
    }

    /// A request that was to be sent was not: it may be later, when something has ended.
    pub fn put_back(&mut self, index: usize, pace: &mut Pace, later: Duration) {
        pace.under_way -= 1;
        self.under_way -= 1;
        self.again.push(Reverse((later, index)));
    }

    /// An attempt that was sent at `sent` has ended. True if the request is going to be sent again; `random` is uniform in
    /// [0, 1).
    pub fn ended(
        &mut self,
        index: usize,
        attempt: Attempt,
        pace: &mut Pace,
        [sent, now]: [Duration; 2],
        random: f64,
    ) -> bool {
        pace.under_way -= 1;
        self.under_way -= 1;
        let retry_after = match attempt {
            Attempt::Answered => {
                pace.concurrency.succeeded();
                pace.breaker.alive();
                return false;
            }
            Attempt::Overloaded(retry_after) => {
                pace.concurrency.overloaded(sent, now);
                pace.breaker.alive();
                retry_after
            }
            Attempt::Failed(retry_after) => {
                pace.concurrency.overloaded(sent, now);
                pace.breaker.failed(now);
                retry_after
            }
        };
        self.failures[index] += 1;
        if self.failures[index] >= pace.attempts {
            return false;
        }
        let wait = backoff::wait(self.failures[index], retry_after, random);
        self.again.push(Reverse((now + wait, index)));
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a schedule on a clock of its own against a provider that takes a second for each request; `attempt` says how
    /// each attempt ends. Returns the times at which each request was sent, and whether the provider was given up.
    fn run(
        requests: usize,
        limits: Limits,
        mut attempt: impl FnMut(usize, Duration) -> Attempt,
    ) -> (Vec<Vec<Duration>>, bool) {
        let mut pace = Pace::new(limits);
        let mut schedule = Schedule::new(vec![1; requests]);
        let mut log = vec![Vec::new(); requests];
        let mut under_way: Vec<(Duration, usize)> = Vec::new();
        let mut now = Duration::ZERO;
        loop {
            let wake = match schedule.next(&mut pace, now) {
                Next::Send(index) => {
                    log[index].push(now);
                    under_way.push((now, index));
                    assert!(under_way.len() <= limits.concurrency);
                    continue;
                }
                Next::Wait(until) => Some(until),
                Next::Busy => None,
                Next::Done => return (log, false),
                Next::Down => return (log, true),
            };
            let end = under_way.first().map(|(sent, _)| *sent + Duration::from_secs(1));
            now = wake.into_iter().chain(end).min().unwrap().max(now);
            if end.is_some_and(|end| end <= now) {
                let (sent, index) = under_way.remove(0);
                schedule.ended(index, attempt(index, now), &mut pace, [sent, now], 0.5);
            }
        }
    }

    #[test]
    fn a_busy_provider_is_asked_again_when_it_says_and_less_at_once() {
        let wait = Duration::from_secs(7);
        let mut refused = 0;
        let (log, down) = run(10, Limits::default(), |_, _| {
            refused += 1;
            if refused <= 4 { Attempt::Overloaded(Some(wait)) } else { Attempt::Answered }
        });
        assert!(!down);
        for times in &log[..4] {
            assert_eq!(times.len(), 2);
            assert!(times[1] >= times[0] + Duration::from_secs(1) + wait);
        }
        assert!(log[4..].iter().all(|times| times.len() == 1));
    }

    #[test]
    fn a_request_that_always_fails_is_left_after_its_attempts() {
        let limits = Limits { attempts: 3, ..Limits::default() };
        let (log, down) =
            run(6, limits, |index, _| if index == 2 { Attempt::Failed(None) } else { Attempt::Answered });
        assert!(!down);
        assert_eq!(log.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 3, 1, 1, 1]);
    }

    #[test]
    fn a_provider_that_is_down_is_given_up_and_few_requests_are_spent_on_it() {
        let (log, down) = run(100, Limits::default(), |_, _| Attempt::Failed(None));
        assert!(down);
        let attempts: usize = log.iter().map(Vec::len).sum();
        assert!(attempts < 30, "{attempts}");
    }

    #[test]
    fn a_stopped_schedule_sends_nothing_more() {
        let mut pace = Pace::new(Limits::default());
        let mut schedule = Schedule::new(vec![1; 3]);
        assert_eq!(schedule.next(&mut pace, Duration::ZERO), Next::Send(0));
        schedule.put_back(0, &mut pace, Duration::from_secs(1));
        assert_eq!(schedule.next(&mut pace, Duration::ZERO), Next::Send(1));
        schedule.stop();
        assert_eq!(schedule.next(&mut pace, Duration::from_secs(2)), Next::Done);
    }

    proptest! {
        /// Whatever fails, every request is sent at least once, at most as often as allowed, and the run ends.
        #[test]
        fn every_request_is_sent_and_none_too_often(
            requests in 1..40_usize,
            concurrency in 1..20_usize,
            per_minute in proptest::option::of(1..100_u32),
            fates in proptest::collection::vec(0..10_u8, 400),
        ) {
            let limits =
                Limits { concurrency, requests_per_minute: per_minute, attempts: 4, ..Limits::default() };
            let mut fates = fates.into_iter().cycle();
            let (log, down) = run(requests, limits, |_, _| match fates.next() {
                Some(0) => Attempt::Failed(None),
                Some(1) => Attempt::Overloaded(Some(Duration::from_secs(3))),
                _ => Attempt::Answered,
            });
            prop_assert!(down || log.iter().all(|times| (1..=4).contains(&times.len())));
        }
    }
}
