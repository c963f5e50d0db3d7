//! Rate and time left of a progress bar, from the last minutes.
//!
//! Much of the work here comes in blocks, with half a minute and more between two of them. A rate that is smoothed over
//! seconds falls to nothing in between, and the time left grows to days.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use indicatif::style::ProgressTracker;
use indicatif::{HumanDuration, ProgressState};

/// How far back the rate looks, as long as that is at least [`STEPS`] steps.
const WINDOW: Duration = Duration::from_mins(5);

/// Steps that the rate looks back at least, where there were so many.
const STEPS: usize = 8;

/// What is there so soon after the beginning was done by an earlier run.
const START: Duration = Duration::from_secs(1);

/// What a place in a bar shows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown {
    /// Things a second, or seconds for each.
    Rate,
    /// Time left.
    Left,
}

/// Follows a bar's position.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    shown: Shown,
    begun: Option<Instant>,
    /// When the position changed, and to what; the first is where the rate is counted from.
    steps: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// A pace without steps.
    pub(crate) fn new(shown: Shown) -> Self {
        Self { shown, begun: None, steps: VecDeque::new() }
    }

    fn see(&mut self, now: Instant, position: u64) {
        if now.duration_since(*self.begun.get_or_insert(now)) < START {
            self.steps.clear();
        }
        if self.steps.back().is_none_or(|&(_, last)| last != position) {
            self.steps.push_back((now, position));
        }
        while self.steps.len() > STEPS + 1 && self.steps.get(1).is_some_and(|&(then, _)| now - then > WINDOW)
        {
            self.steps.pop_front();
        }
    }

    /// Things a second; none before the first is done.
    fn rate(&self) -> Option<f64> {
        let (&(begun, first), &(then, last)) = (self.steps.front()?, self.steps.back()?);
        let seconds = then.duration_since(begun).as_secs_f64();
        (last > first && seconds > 0.0).then(|| (last - first) as f64 / seconds)
    }

    fn left(&self, now: Instant, length: u64) -> Option<Duration> {
        let &(then, last) = self.steps.back()?;
        let seconds = length.saturating_sub(last) as f64 / self.rate()?;
        Duration::try_from_secs_f64(seconds).ok().map(|left| left.saturating_sub(now.duration_since(then)))
    }
}

impl ProgressTracker for Pace {
    fn clone_box(&self) -> Box<dyn ProgressTracker> {
        Box::new(self.clone())
    }

    fn tick(&mut self, state: &ProgressState, now: Instant) {
        self.see(now, state.pos());
    }

    fn reset(&mut self, _: &ProgressState, _: Instant) {
        *self = Self::new(self.shown);
    }

    fn write(&self, state: &ProgressState, text: &mut dyn Write) {
        // A string takes all that is written to it.
        let _ = match self.shown {
            Shown::Rate => write_rate(text, self.rate()),
            Shown::Left => match self.left(Instant::now(), state.len().unwrap_or_default()) {
                Some(left) => write!(text, "{:#}", HumanDuration(left)),
                None => text.write_char('-'),
            },
        };
    }
}

fn write_rate(text: &mut dyn Write, rate: Option<f64>) -> fmt::Result {
    match rate {
        None => text.write_str("-/s"),
        Some(rate) if rate >= 10.0 => write!(text, "{rate:.0}/s"),
        Some(rate) if rate >= 0.5 => write!(text, "{rate:.1}/s"),
        Some(rate) => write!(text, "{:#} each", HumanDuration(Duration::from_secs_f64(rate.recip()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rate: Option<f64>) -> String {
        let mut text = String::new();
        write_rate(&mut text, rate).unwrap();
        text
    }

    /// Blocks of 10 in 40 s each, seen every second; `done` of 1,000 were there before.
    fn paced(seconds: u64, done: u64) -> (Pace, Instant) {
        let begun = Instant::now();
        let mut pace = Pace::new(Shown::Left);
        pace.see(begun, 0);
        for second in 0..=seconds {
            let now = begun + Duration::from_millis(500) + Duration::from_secs(second);
            pace.see(now, done + second / 40 * 10);
        }
        (pace, begun + Duration::from_millis(500) + Duration::from_secs(seconds))
    }

    #[test]
    fn time_left_stays_between_blocks_and_leaves_out_what_was_there() {
        for done in [0, 400] {
            for seconds in [40, 79, 400, 1_239] {
                let (pace, now) = paced(seconds, done);
                let left = pace.left(now, 1_000).unwrap().as_secs_f64();
                let expected = 4.0 * (1_000 - done) as f64 - seconds as f64;
                assert!((left - expected).abs() < 2.0, "{seconds} s after {done}: {left} for {expected}");
                assert!((pace.rate().unwrap() - 0.25).abs() < 0.01);
            }
        }
        assert!(paced(39, 0).0.rate().is_none());
    }

    #[test]
    fn a_changed_pace_is_followed_after_minutes() {
        let (mut pace, now) = paced(400, 0);
        for second in 1..=400 {
            pace.see(now + Duration::from_secs(second), 100 + second * 5);
        }
        assert!((pace.rate().unwrap() - 5.0).abs() < 0.1, "{:?}", pace.rate());
    }

    #[test]
    fn rates_are_readable() {
        let found = [None, Some(1443.2), Some(2.56), Some(0.05)].map(shown);
        assert_eq!(found, ["-/s", "1443/s", "2.6/s", "20s each"]);
    }
}
