//! The learning rate over a run: a linear warm-up, a constant part, and a linear decay to zero.

use serde::{Deserialize, Serialize};

/// When the learning rate rises and falls, in steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Steps of the whole run.
    pub steps: u64,
    /// The first steps, over which the rate rises linearly from one part in `warm_up` to the whole.
    pub warm_up: u64,
    /// The last steps, over which the rate falls linearly towards zero.
    pub decay: u64,
}

impl Schedule {
    /// The share of the full rate at step `step`, counted from 1. Never zero within the run.
    pub fn factor(&self, step: u64) -> f64 {
        let rise = if self.warm_up == 0 { 1.0 } else { step as f64 / self.warm_up as f64 };
        let left = self.steps.saturating_sub(step) + 1;
        let fall = if self.decay == 0 { 1.0 } else { left as f64 / self.decay as f64 };
        rise.min(fall).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_stays_and_falls() {
        let schedule = Schedule { steps: 100, warm_up: 10, decay: 20 };
        assert_eq!(schedule.factor(1), 0.1);
        assert_eq!(schedule.factor(10), 1.0);
        assert_eq!(schedule.factor(81), 1.0);
        assert_eq!(schedule.factor(91), 0.5);
        assert_eq!(schedule.factor(100), 0.05);
        assert_eq!(Schedule { steps: 5, ..Schedule::default() }.factor(5), 1.0);
    }
}
