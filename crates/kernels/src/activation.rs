//! Activation functions of the MLP, and their gated products.
//!
//! * GELU (Hendrycks & Gimpel 2016): x Φ(x), with Φ exact; or its tanh form
//!   ½x (1 + tanh u) = x · sigmoid(2u), u = √(2/π) (x + 0.044715 x³);
//! * SiLU: x · sigmoid(x), sigmoid(u) = 1 / (1 + e⁻ᵘ); ReLU: max(x, 0);
//! * gated (Shazeer 2020): act(gate) · up.
//!
//! Relative error below 10⁻⁶, in the tails too, as long as the result is a normal f32.

use crate::elementary::{exp, exp_sum, normal_tail, tanh};
use crate::multiversion::multiversion;
use crate::outputs::Outputs;

/// Elements treated between a function and the store of its results.
const STRIP: usize = 512;

/// An element-wise activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x), exact.
    GeluErf,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// x · sigmoid(x), also called swish.
    Silu,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// act(x), element by element.
    ///
    /// # Panics
    /// If an output's length differs from that of `x`.
    pub fn apply(self, x: &[f32], mut outputs: Outputs<'_>) {
        outputs.check(x.len());
        let mut strip = [0.0; STRIP];
        for (index, values) in x.chunks(STRIP).enumerate() {
            let strip = &mut strip[..values.len()];
            strip.copy_from_slice(values);
            self.apply_in_place(strip);
            outputs.store(index * STRIP, strip);
        }
    }

    /// act(gate) · up for rows of `gate_up` `[rows, 2 · d_mlp]`, gate first; outputs `[rows, d_mlp]`.
    ///
    /// # Panics
    /// If a length contradicts these shapes.
    pub fn gated(self, gate_up: &[f32], d_mlp: usize, mut outputs: Outputs<'_>) {
        let rows = gate_up.len() / (2 * d_mlp);
        assert_eq!(gate_up.len(), rows * 2 * d_mlp, "gated: gate_up is not whole rows");
        outputs.check(rows * d_mlp);
        let mut strip = [0.0; STRIP];
        for (row, values) in gate_up.chunks_exact(2 * d_mlp).enumerate() {
            let (gate, up) = values.split_at(d_mlp);
            for (index, (gate, up)) in gate.chunks(STRIP).zip(up.chunks(STRIP)).enumerate() {
                let strip = &mut strip[..gate.len()];
                strip.copy_from_slice(gate);
                self.gate_in_place(strip, up);
                outputs.store(row * d_mlp + index * STRIP, strip);
            }
        }
    }

    /// x := act(x).
    pub(crate) fn apply_in_place(self, x: &mut [f32]) {
        activate(self, x);
    }

    /// gate := act(gate) · up.
    pub(crate) fn gate_in_place(self, gate: &mut [f32], up: &[f32]) {
        activate_and_multiply(self, gate, up);
    }
}

multiversion! {
    fn activate(activation: Activation, x: &mut [f32]) {
        match activation {
            Activation::GeluErf => x.iter_mut().for_each(|x| *x = gelu_erf(*x)),
            Activation::GeluTanh => x.iter_mut().for_each(|x| *x = gelu_tanh(*x)),
            Activation::Silu => x.iter_mut().for_each(|x| *x = silu(*x)),
            Activation::Relu => x.iter_mut().for_each(|x| *x = relu(*x)),
        }
    }
}

multiversion! {
    fn activate_and_multiply(activation: Activation, gate: &mut [f32], up: &[f32]) {
        let pairs = gate.iter_mut().zip(up);
        match activation {
            Activation::GeluErf => pairs.for_each(|(x, up)| *x = gelu_erf(*x) * up),
            Activation::GeluTanh => pairs.for_each(|(x, up)| *x = gelu_tanh(*x) * up),
            Activation::Silu => pairs.for_each(|(x, up)| *x = silu(*x) * up),
            Activation::Relu => pairs.for_each(|(x, up)| *x = relu(*x) * up),
        }
    }
}

multiversion! {
    /// Replaces every value x by c · tanh(x / c), c = `cap` (Gemma 2's soft-cap).
    pub fn softcap(values: &mut [f32], cap: f32) {
        for value in values {
            *value = cap * tanh(*value / cap);
        }
    }
}

#[inline(always)]
fn gelu_erf(x: f32) -> f32 {
    let tail = normal_tail(x.abs());
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// The exponent −2u = −x (2√(2/π) + 2√(2/π) 0.044715 x²) is carried in two f32, as e⁻²ᵘ magnifies its rounding
/// error by |2u|.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const LINEAR: f32 = 1.595_769_2;
    const LINEAR_REST: f32 = -4.534_068e-8;
    const CUBIC: f32 = 0.071_354_814;
    const CUBIC_REST: f32 = 2.398_832_4e-9;
    // Beyond ±30, e⁻²ᵘ is 0 or infinite in f32.
    let bounded = if x < -30.0 { -30.0 } else { x };
    let bounded = if bounded > 30.0 { 30.0 } else { bounded };
    let square = bounded * bounded;
    let square_rest = bounded.mul_add(bounded, -square);
    let cubic = square * CUBIC;
    let cubic_rest = square.mul_add(CUBIC, -cubic) + square.mul_add(CUBIC_REST, square_rest * CUBIC);
    // Knuth's two-sum: `sum_rest` is exactly what rounding `slope` lost.
    let slope = cubic + LINEAR;
    let linear_part = slope - cubic;
    let sum_rest = (cubic - (slope - linear_part)) + (LINEAR - linear_part);
    let slope_rest = sum_rest + cubic_rest + LINEAR_REST;
    let exponent = -bounded * slope;
    let exponent_rest = (-bounded).mul_add(slope, -exponent) - bounded * slope_rest;
    let direction = if x < 0.0 { -1.0 } else { 1.0 };
    let decay = exp_sum(direction * exponent, direction * exponent_rest);
    x * sigmoid(x, decay)
}

/// 1 / (1 + e⁻ᵘ) from the sign of u and e^−|u|, which never overflows.
#[inline(always)]
fn sigmoid(sign: f32, decay: f32) -> f32 {
    (if sign < 0.0 { decay } else { 1.0 }) / (1.0 + decay)
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x * sigmoid(x, exp(-x.abs()))
}

/// A comparison rather than `f32::max`, which would turn NaN into 0.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Activation; 4] =
        [Activation::GeluErf, Activation::GeluTanh, Activation::Silu, Activation::Relu];

    /// The definitions in f64.
    fn reference(activation: Activation, x: f32) -> f64 {
        let x = f64::from(x);
        match activation {
            Activation::GeluErf => x * normal_cdf(x),
            Activation::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                x / (1.0 + (-2.0 * u).exp())
            }
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Relu => x.max(0.0),
        }
    }

    /// Φ(x) by its Taylor series near 0 and Laplace's continued fraction in the tails.
    fn normal_cdf(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x.abs() < 2.5 {
            let terms = (0..80).scan(x, |term, n| {
                let value = *term;
                *term *= x * x / f64::from(2 * n + 3);
                Some(value)
            });
            let series: f64 = terms.sum();
            return 0.5 + density * series;
        }
        let fraction = (1..200).rev().fold(x.abs(), |f, n| x.abs() + f64::from(n) / f);
        if x > 0.0 { 1.0 - density / fraction } else { density / fraction }
    }

    #[test]
    fn relative_error_stays_below_a_millionth() {
        for activation in ALL {
            let x: Vec<f32> = (-60_000..=60_000).map(|i| i as f32 * 2e-4).collect();
            let mut y = vec![0.0; x.len()];
            activation.apply(&x, Outputs::f32(&mut y));
            for (x, y) in x.iter().zip(&y) {
                let expected = reference(activation, *x);
                let error = (f64::from(*y) - expected).abs();
                let allowed = (1e-6 * expected.abs()).max(f64::from(f32::MIN_POSITIVE));
                assert!(error <= allowed, "{activation:?}({x}) = {y}, expected {expected}");
            }
        }
    }

    #[test]
    fn specials() {
        for activation in ALL {
            let mut y = [f32::NAN, f32::INFINITY, 0.0, -1e30];
            activation.apply_in_place(&mut y);
            assert!(y[0].is_nan(), "{activation:?}");
            assert_eq!(y[1], f32::INFINITY, "{activation:?}");
            assert_eq!(y[2], 0.0, "{activation:?}");
            assert!(y[3] <= 0.0 && y[3] > -1e-30, "{activation:?}({}) = {}", -1e30, y[3]);
        }
    }

    #[test]
    fn softcap_bounds_and_keeps_small_values() {
        let mut values = [1e4, -1e4, 0.01, f32::NAN];
        softcap(&mut values, 30.0);
        assert_eq!(values[..2], [30.0, -30.0]);
        assert!((values[2] - 0.01).abs() < 1e-8);
        assert!(values[3].is_nan());
    }

    proptest! {
        #[test]
        fn gated_is_the_product(rows in 0_usize..4, d_mlp in 1_usize..700, seed in any::<u32>()) {
            let gate_up: Vec<f32> =
                (0..rows * 2 * d_mlp).map(|i| ((i as u32 ^ seed) % 1009) as f32 / 100.0 - 5.0).collect();
            let (mut wide, mut narrow) = (vec![0.0; rows * d_mlp], vec![half::bf16::ZERO; rows * d_mlp]);
            Activation::Silu.gated(&gate_up, d_mlp, Outputs::both(&mut wide, &mut narrow));
            for (i, (wide, narrow)) in wide.iter().zip(&narrow).enumerate() {
                let row = &gate_up[i / d_mlp * 2 * d_mlp..];
                let expected = reference(Activation::Silu, row[i % d_mlp]) * f64::from(row[d_mlp + i % d_mlp]);
                prop_assert!((f64::from(*wide) - expected).abs() <= 1e-6 * expected.abs());
                prop_assert_eq!(*narrow, half::bf16::from_f32(*wide));
            }
        }
    }
}
