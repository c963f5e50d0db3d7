//! At most so many requests, and so many tokens, in any sixty seconds.
//!
//! What went out in the last minute is remembered, rather than a bucket refilled: a bucket that holds a minute's worth
//! lets through twice the limit in its first minute. A request that is larger than the limit goes alone.

use std::collections::VecDeque;
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

/// The last minute.
#[derive(Debug)]
pub(super) struct Rate {
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u64>,
    /// When, and with how many tokens, oldest first.
    sent: VecDeque<(Duration, u64)>,
    tokens: u64,
}

impl Rate {
    pub(super) fn new(requests_per_minute: Option<u32>, tokens_per_minute: Option<u64>) -> Self {
        Self { requests_per_minute, tokens_per_minute, sent: VecDeque::new(), tokens: 0 }
    }

    /// When a request of so many tokens may go out: now, or later.
    pub(super) fn ready(&mut self, tokens: u64, now: Duration) -> Duration {
        while let Some(&(time, used)) = self.sent.front()
            && time + MINUTE <= now
        {
            self.sent.pop_front();
            self.tokens -= used;
        }
        let mut ready = now;
        if let Some(most) = self.requests_per_minute {
            let most = most.max(1) as usize;
            if self.sent.len() >= most {
                ready = self.sent[self.sent.len() - most].0 + MINUTE;
            }
        }
        if let Some(most) = self.tokens_per_minute {
            let mut left = self.tokens;
            for &(time, used) in &self.sent {
                if left + tokens <= most {
                    break;
                }
                left -= used;
                ready = ready.max(time + MINUTE);
            }
        }
        ready
    }

    /// A request goes out.
    pub(super) fn sent(&mut self, tokens: u64, now: Duration) {
        self.sent.push_back((now, tokens));
        self.tokens += tokens;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_limits_everything_goes_at_once() {
        let mut rate = Rate::new(None, None);
        for _ in 0..1000 {
            assert_eq!(rate.ready(1 << 40, MINUTE), MINUTE);
            rate.sent(1 << 40, MINUTE);
        }
    }

    proptest! {
        /// Sending whenever it is ready, no minute holds more than is allowed, and nobody waits for ever.
        #[test]
        fn no_minute_holds_more(
            requests in 1..20_u32,
            tokens in 1..500_u64,
            sizes in proptest::collection::vec(0..700_u64, 1..80),
            pauses in proptest::collection::vec(0..40_000_u64, 80),
        ) {
            let mut rate = Rate::new(Some(requests), Some(tokens));
            let mut now = Duration::ZERO;
            let mut log: Vec<(Duration, u64)> = Vec::new();
            for (size, pause) in sizes.into_iter().zip(pauses) {
                let ready = rate.ready(size, now);
                prop_assert!(ready <= now + MINUTE);
                now = ready;
                prop_assert_eq!(rate.ready(size, now), now);
                rate.sent(size, now);
                log.push((now, size));
                let window: Vec<u64> =
                    log.iter().filter(|(time, _)| *time + MINUTE > now).map(|(_, size)| *size).collect();
                prop_assert!(window.len() <= requests as usize);
                prop_assert!(window.len() == 1 || window.iter().sum::<u64>() <= tokens);
                now += Duration::from_millis(pause / 10);
            }
        }
    }
}
