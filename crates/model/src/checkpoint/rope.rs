//! Rotary embeddings: the inverse frequencies, with the scalings that stretch a model's context.
//!
//! Unscaled, `f_i = θ^(−2i/d)` for `i < d/2`.
//!
//! - *linear* (position interpolation): `f_i / s`.
//! - *llama3* (Llama 3.1): with wavelength `w = 2π/f` and old context `L`, `f/s` where `w > L/low`, `f` where
//!   `w < L/high`, and between them `(1 − t)·f/s + t·f` with `t = (L/w − low)/(high − low)`.
//! - *yarn* (Peng et al. 2023, "YaRN"): `f/s` and `f` blended by a linear ramp over the dimensions that turn
//!   between `beta_slow` and `beta_fast` times in the old context; cosine and sine are multiplied by
//!   `0.1·ln s + 1`.
//! - divisors (GGUF `rope_freqs.weight`): `f_i / c_i`.
//!
//! All of it in f32 and in the order of operations of transformers' `modeling_rope_utils.py`.

use std::f32::consts::PI;

use crate::architecture::RotarySpec;

/// How the frequencies are changed after training.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RopeScaling {
    None,
    Linear {
        factor: f32,
    },
    Llama3 {
        factor: f32,
        low: f32,
        high: f32,
        old_context: f32,
    },
    Yarn {
        factor: f32,
        attention_factor: Option<f32>,
        beta_fast: f32,
        beta_slow: f32,
        old_context: f32,
        truncate: bool,
    },
    Divisors(Vec<f32>),
}

/// The rotary embedding of `dims` leading dimensions with base `theta`.
pub(super) fn rotary(dims: usize, theta: f32, scaling: &RopeScaling) -> RotarySpec {
    let plain: Vec<f32> = (0..dims / 2).map(|i| 1.0 / power(theta, 2.0 * i as f32 / dims as f32)).collect();
    let mut attention_factor = 1.0;
    let inverse_frequencies = match scaling {
        RopeScaling::None => plain,
        RopeScaling::Linear { factor } => plain.iter().map(|f| f / factor).collect(),
        RopeScaling::Divisors(divisors) => plain.iter().zip(divisors).map(|(f, c)| f / c).collect(),
        &RopeScaling::Llama3 { factor, low, high, old_context } => {
            plain.iter().map(|&f| llama3(f, factor, low, high, old_context)).collect()
        }
        &RopeScaling::Yarn {
            factor,
            attention_factor: given,
            beta_fast,
            beta_slow,
            old_context,
            truncate,
        } => {
            attention_factor = given.unwrap_or(if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 });
            let dimension =
                |turns: f32| dims as f32 * (old_context / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
            let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
            if truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            yarn(&plain, factor, low.max(0.0), high.min(dims as f32 - 1.0))
        }
    };
    RotarySpec { dims, inverse_frequencies, attention_factor }
}

/// `base^exponent`, rounded once.
fn power(base: f32, exponent: f32) -> f32 {
    f64::from(base).powf(f64::from(exponent)) as f32
}

fn llama3(f: f32, factor: f32, low: f32, high: f32, old_context: f32) -> f32 {
    let wavelength = 2.0 * PI / f;
    if wavelength > old_context / low {
        f / factor
    } else if wavelength < old_context / high {
        f
    } else {
        let t = (old_context / wavelength - low) / (high - low);
        (1.0 - t) * f / factor + t * f
    }
}

fn yarn(plain: &[f32], factor: f32, low: f32, high: f32) -> Vec<f32> {
    // The ramp must not divide by zero where both corrections fall on one dimension.
    let width = if high - low == 0.0 { 0.001 } else { high - low };
    let blend = |(i, &f): (usize, &f32)| {
        let extrapolate = 1.0 - ((i as f32 - low) / width).clamp(0.0, 1.0);
        f / factor * (1.0 - extrapolate) + f * extrapolate
    };
    plain.iter().enumerate().map(blend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pair_turns_once_per_radian_and_the_last_slowest() {
        let rope = rotary(4, 10_000.0, &RopeScaling::None);
        assert_eq!(rope.inverse_frequencies, [1.0, 0.01]);
        assert_eq!(
            rotary(4, 10_000.0, &RopeScaling::Linear { factor: 4.0 }).inverse_frequencies,
            [0.25, 0.0025]
        );
    }
}
