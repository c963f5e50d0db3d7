//! Reproducible random numbers: SplitMix64 (Steele, Lea and Flood 2014) and the Box–Muller transform.

/// A generator; the same seed gives the same numbers everywhere.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1].
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }

    /// Normal with mean 0 and variance 1.
    pub(super) fn gaussian(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::new(3);
        let uniform: f64 = (0..10_000).map(|_| random.uniform()).sum::<f64>() / 1e4;
        let gaussian: Vec<f64> = (0..10_000).map(|_| random.gaussian()).collect();
        let mean = gaussian.iter().sum::<f64>() / 1e4;
        let square = gaussian.iter().map(|x| x * x).sum::<f64>() / 1e4;
        assert!((uniform - 0.5).abs() < 0.02 && mean.abs() < 0.05 && (square - 1.0).abs() < 0.05);
        assert_eq!(Random::new(3).uniform(), Random::new(3).uniform());
    }
}
