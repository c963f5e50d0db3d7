//! How fast requests go out: as many at once as the provider bears, no more in a minute than is allowed, later again after
//! a failure, and not at all while the provider is down.
//!
//! All of it is arithmetic on times that are handed in (the time since some beginning), so that tests need no clock.

mod backoff;
mod breaker;
mod concurrency;
mod rate;
mod schedule;

pub use backoff::retry_after;
pub use schedule::{Attempt, Limits, Next, Pace, Schedule};
