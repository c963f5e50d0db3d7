//! The learning rate over a run: a warm-up, a constant part, and a linear decay to zero.

use serde::{Deserialize, Serialize};

/// How the learning rate rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmUp {
    /// In equal steps from one part of all steps to the whole.
    #[default]
    Linear,
    /// By half a cosine from a tenth to the whole (Gemma Scope).
    Cosine,
}

/// When the learning rate rises and falls, in steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Steps of the whole run.
    pub steps: u64,
    /// The first steps, over which the rate rises.
    pub warm_up: u64,
    /// How it does.
    pub rise: WarmUp,
    /// The last steps, over which the rate falls linearly towards zero.
    pub decay: u64,
}

impl Schedule {
    /// The share of the full rate at step `step`, counted from 1. Never zero within the run.
    pub fn factor(&self, step: u64) -> f64 {
        let risen = if self.warm_up == 0 { 1.0 } else { (step as f64 / self.warm_up as f64).min(1.0) };
        let rise = match self.rise {
            WarmUp::Linear => risen,
            WarmUp::Cosine => 1.0 - 0.45 * (1.0 + (std::f64::consts::PI * risen).cos()),
        };
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
        let schedule = Schedule { steps: 100, warm_up: 10, decay: 20, ..Schedule::default() };
        assert_eq!(schedule.factor(1), 0.1);
        assert_eq!(schedule.factor(10), 1.0);
        assert_eq!(schedule.factor(81), 1.0);
        assert_eq!(schedule.factor(91), 0.5);
        assert_eq!(schedule.factor(100), 0.05);
        assert_eq!(Schedule { steps: 5, ..Schedule::default() }.factor(5), 1.0);
        let cosine = Schedule { rise: WarmUp::Cosine, ..schedule };
        assert!((cosine.factor(5) - 0.55).abs() < 1e-12 && cosine.factor(1) > 0.1);
        assert_eq!((cosine.factor(10), cosine.factor(50), cosine.factor(100)), (1.0, 1.0, 0.05));
    }
}
