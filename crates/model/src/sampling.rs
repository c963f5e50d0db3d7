//! Choosing the next token from logits: greedy, temperature, nucleus (Holtzman et al. 2020).

use glossator_kernels::{softmax, top_k};

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the largest logit (the first of equals).
    pub temperature: f32,
    /// Keeps the fewest tokens whose probabilities sum to at least this; 1 keeps all.
    pub top_p: f32,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

/// Draws tokens, one after the other, as a [`Sampling`] says.
pub(crate) struct Sampler {
    sampling: Sampling,
    random: SplitMix64,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        Self { sampling, random: SplitMix64(sampling.seed) }
    }

    /// The next token, from logits `[vocab_size]` that are used up.
    pub(crate) fn next(&mut self, logits: &mut [f32]) -> u32 {
        self.draw().pick(logits)
    }

    /// The chance of the next token, drawn before its logits are known.
    pub(crate) fn draw(&mut self) -> Draw {
        let greedy = self.sampling.temperature <= 0.0;
        Draw { sampling: self.sampling, uniform: if greedy { 0.0 } else { self.random.uniform() } }
    }
}

/// A number in `[0, 1)` that decides between tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    sampling: Sampling,
    uniform: f64,
}

/// Likeliest tokens that are ranked at first, and by how much their number grows until it is enough.
const RANKED: usize = 64;
const GROWTH: usize = 16;

impl Draw {
    /// The token, from logits `[vocab_size]` that are used up.
    pub(crate) fn pick(&self, logits: &mut [f32]) -> u32 {
        if self.sampling.temperature <= 0.0 {
            return largest(logits);
        }
        for logit in &mut *logits {
            *logit /= self.sampling.temperature;
        }
        softmax(logits);
        if self.sampling.top_p >= 1.0 {
            return self.among_all(logits);
        }
        let (kept, total) = self.nucleus(logits);
        let mut left = self.uniform * total;
        for (token, probability) in &kept {
            left -= f64::from(*probability);
            if left < 0.0 {
                return *token;
            }
        }
        kept.last().map_or(0, |(token, _)| *token)
    }

    /// The tokens that are sampled from, likeliest first, and their probability. Only as many are ranked as are needed.
    fn nucleus(&self, probabilities: &[f32]) -> (Vec<(u32, f32)>, f64) {
        let mut ranked = RANKED;
        loop {
            let mut kept = Vec::new();
            let mut total = 0.0;
            for entry in top_k(probabilities, ranked) {
                total += f64::from(entry.value);
                kept.push((entry.index, entry.value));
                if total >= f64::from(self.sampling.top_p) {
                    return (kept, total);
                }
            }
            if ranked >= probabilities.len() {
                return (kept, total);
            }
            ranked *= GROWTH;
        }
    }

    /// A token out of all of them, which need not be ranked.
    fn among_all(&self, probabilities: &[f32]) -> u32 {
        let total: f64 = probabilities.iter().map(|probability| f64::from(*probability)).sum();
        let mut left = self.uniform * total;
        for (token, probability) in probabilities.iter().enumerate() {
            left -= f64::from(*probability);
            if left < 0.0 {
                return token as u32;
            }
        }
        largest(probabilities)
    }
}

fn largest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// `SplitMix64` (Steele, Lea & Flood 2014): small, well studied, the same on every machine.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`, from the upper 53 bits.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(temperature: f32, top_p: f32, seed: u64) -> Vec<u32> {
        let mut sampler = Sampler::new(Sampling { temperature, top_p, seed });
        (0..4000).map(|_| sampler.next(&mut [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()])).collect()
    }

    #[test]
    fn generator_follows_the_published_sequence() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn temperature_zero_takes_the_largest() {
        assert!(draws(0.0, 1.0, 1).iter().all(|token| *token == 0));
        assert_eq!(Sampler::new(Sampling::default()).next(&mut [1.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let tokens = draws(1.0, 1.0, 7);
        let share = |token| tokens.iter().filter(|t| **t == token).count() as f64 / 4000.0;
        for (token, expected) in [(0, 0.5), (1, 0.3), (2, 0.2)] {
            // Five standard deviations of a binomial share.
            let allowed = 5.0 * f64::sqrt(expected * (1.0 - expected) / 4000.0);
            assert!((share(token) - expected).abs() < allowed, "{token}: {}", share(token));
        }
    }

    #[test]
    fn nucleus_drops_the_tail_and_seeds_repeat() {
        assert!(draws(1.0, 0.75, 3).iter().all(|token| *token < 2));
        assert!(draws(1.0, 0.4, 3).iter().all(|token| *token == 0));
        assert_eq!(draws(1.0, 1.0, 5), draws(1.0, 1.0, 5));
        assert_ne!(draws(1.0, 1.0, 5), draws(1.0, 1.0, 6));
    }
}
