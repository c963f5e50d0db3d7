//! What a variant learns about the run beside weights: thresholds and schedules that follow the batches.

use serde::{Deserialize, Serialize};

/// State that goes from step to step, and into checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Progress {
    /// BatchTopK: the running threshold for use, none until a batch has kept something.
    pub threshold: Option<f32>,
    /// p-annealing: the moves of p so far.
    pub annealed: u64,
    /// p-annealing: what λ has been multiplied by, less 1 (so that nothing is the default).
    pub(super) rescaled: Exact,
    /// p-annealing: Σ fᵖ of recent batches, with the present p and the next.
    pub(super) recent: Vec<[Exact; 2]>,
}

/// An f64 that JSON gives back bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub(super) struct Exact(pub(super) f64);

impl From<u64> for Exact {
    fn from(bits: u64) -> Self {
        Self(f64::from_bits(bits))
    }
}

impl From<Exact> for u64 {
    fn from(value: Exact) -> Self {
        value.0.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_json_bit_for_bit() {
        let progress = Progress {
            threshold: Some(0.1 + 0.2),
            rescaled: Exact(0.1 + 0.2),
            recent: vec![[Exact(1.0 / 3.0), Exact(f64::MIN_POSITIVE)]],
            ..Progress::default()
        };
        let json = serde_json::to_string(&progress).unwrap();
        assert_eq!(serde_json::from_str::<Progress>(&json).unwrap(), progress);
    }
}
