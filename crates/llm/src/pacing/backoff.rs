//! How long to wait before another attempt: exponential back-off with full jitter, wait ~ U(0, min(cap, base · 2ⁿ))
//! (Brooker 2015, "Exponential backoff and jitter"), and at least what the provider asks for (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

const BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_mins(1);
/// Providers that ask for more are asked again after this all the same.
const LONGEST: Duration = Duration::from_mins(30);

/// The wait after the `failures`th failure (from 1) of a request; `random` is uniform in [0, 1).
pub(super) fn wait(failures: u32, retry_after: Option<Duration>, random: f64) -> Duration {
    let most = BASE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(CAP);
    let jitter = most.mul_f64(random.clamp(0.0, 1.0));
    match retry_after {
        // The jitter goes on top, so that not all requests come back in the same moment.
        Some(asked) => asked.min(LONGEST) + jitter.min(asked.min(LONGEST) / 10),
        None => jitter,
    }
}

/// Reads a `Retry-After` header: seconds, or a date.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_never_undercut_the_provider() {
        let most = |failures| wait(failures, None, 1.0).as_millis();
        assert_eq!([1, 2, 3, 7, 8, 40].map(most), [500, 1000, 2000, 32_000, 60_000, 60_000]);
        assert_eq!(wait(9, None, 0.0), Duration::ZERO);
        let asked = Duration::from_secs(20);
        assert_eq!(wait(1, Some(asked), 0.0), asked);
        assert!(wait(9, Some(asked), 1.0) <= asked.mul_f64(1.1));
        assert!(wait(1, Some(Duration::MAX), 1.0) < Duration::from_hours(1));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        let read = |value| retry_after(value, now);
        assert_eq!(read(" 120 "), Some(Duration::from_mins(2)));
        assert_eq!(read("0.25"), Some(Duration::from_millis(250)));
        assert_eq!(read("Wed, 21 Oct 2015 07:29:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(read("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO), "a date that has passed");
        assert_eq!([read("soon"), read("-1"), read("NaN"), read("")], [None; 4]);
    }
}
