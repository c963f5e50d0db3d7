//! exp, tanh and the normal tail in f32, branch-free, so that loops over them vectorise.
//!
//! The polynomials are minimax fits in relative error (weighted least squares iterated towards equal ripple); the
//! tests compare with f64.

use std::f32::consts::LOG2_E;

/// ln 2 = `LN_2_HIGH` + `LN_2_LOW`; the high part has few enough bits that its multiples up to 2⁸ are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Adding 1.5 · 2²³ leaves the nearest integer in the low bits of the fraction.
const ROUNDER: f32 = 12_582_912.0;

/// eˣ as (p, n): p · 2ⁿ with p between √½ and √2, for −105 ≤ x ≤ 89.
#[inline(always)]
fn reduced(x: f32) -> (f32, i32) {
    let shifted = x.mul_add(LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let power = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let p = 0.001_381_453_5_f32;
    let p = p.mul_add(r, 0.008_368_707);
    let p = p.mul_add(r, 0.041_668_39);
    let p = p.mul_add(r, 0.166_665_21);
    let p = p.mul_add(r, 0.499_999_94);
    ((p * r).mul_add(r, r) + 1.0, power)
}

/// eˣ · (1 + `correction`), for a correction far below 1: e to the power of a sum of two f32.
///
/// Relative error below 2⁻²² wherever the result is normal; overflows to +∞ and underflows through subnormals to 0.
#[inline(always)]
pub(crate) fn exp_sum(x: f32, correction: f32) -> f32 {
    let clamped = if x > 89.0 { 89.0 } else { x };
    let clamped = if clamped < -105.0 { -105.0 } else { clamped };
    let (p, power) = reduced(clamped);
    let p = p.mul_add(correction, p);
    let half = power >> 1;
    p * power_of_two(half) * power_of_two(power.wrapping_sub(half))
}

/// eˣ.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    exp_sum(x, 0.0)
}

/// eˣ for weights that are summed, x ≤ 0: 0 below e^−87.3, where eˣ leaves the normal numbers.
///
/// Subnormal results stall the vector unit for a hundred cycles, and masked scores (x = −∞) would pass through them.
#[inline(always)]
pub(crate) fn exp_weight(x: f32) -> f32 {
    const SMALLEST: f32 = -87.3;
    let (p, power) = reduced(if x < SMALLEST { SMALLEST } else { x });
    if x < SMALLEST { 0.0 } else { p * power_of_two(power) }
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// tanh x, by its odd series below 0.65 and by eˣ above.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let s = x * x;
    let p = -0.005_468_098_f32;
    let p = p.mul_add(s, 0.020_415_04);
    let p = p.mul_add(s, -0.053_665_232);
    let p = p.mul_add(s, 0.133_304_15);
    let p = p.mul_add(s, -0.333_332_3);
    let small = (p * s).mul_add(x, x);
    let decay = exp(-2.0 * x.abs());
    let large = ((1.0 - decay) / (1.0 + decay)).copysign(x);
    if x.abs() < 0.65 { small } else { large }
}

/// Φ(−a) for a ≥ 0, where Φ is the normal distribution function: e^(−a²/2) t P(t) with t = 1 / (1 + 0.26 a).
///
/// a² is carried in two f32, as e^(−a²/2) magnifies its rounding error by a².
#[inline(always)]
pub(crate) fn normal_tail(a: f32) -> f32 {
    // Beyond, the tail is 0 in f32, and the square of infinity would leave no rest.
    let a = if a > 14.5 { 14.5 } else { a };
    let square = a * a;
    let rest = a.mul_add(a, -square);
    let t = 1.0 / 0.26_f32.mul_add(a, 1.0);
    let p = 0.030_505_063_f32;
    let p = p.mul_add(t, -0.152_829_66);
    let p = p.mul_add(t, 0.251_492_92);
    let p = p.mul_add(t, -0.150_950_74);
    let p = p.mul_add(t, 0.160_949_02);
    let p = p.mul_add(t, 0.051_027_212);
    let p = p.mul_add(t, 0.103_030_37);
    let p = p.mul_add(t, 0.103_016_734);
    let p = p.mul_add(t, 0.103_759_06);
    exp_sum(-0.5 * square, -0.5 * rest) * (p * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..=40_000).map(move |i| from + (to - from) * i as f32 / 40_000.0)
    }

    #[test]
    fn exp_agrees_with_f64() {
        for x in grid(-87.0, 88.7) {
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) - expected).abs() <= 2.4e-7 * expected, "exp({x})");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(-100.0) > 0.0, "subnormals are kept");
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn weights_are_normal_or_zero() {
        for x in grid(-87.3, 0.0) {
            assert_eq!(exp_weight(x).to_bits(), exp(x).to_bits());
            assert!(exp_weight(x).is_normal(), "{x}");
        }
        for x in [-87.4, -100.0, f32::NEG_INFINITY] {
            assert_eq!(exp_weight(x).to_bits(), 0);
        }
        assert!(exp_weight(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_agrees_with_f64() {
        for x in grid(-12.0, 12.0) {
            let expected = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - expected).abs() <= 3e-7 * expected.abs(), "tanh({x})");
        }
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert!(tanh(f32::NAN).is_nan());
    }
}
