//! Activation functions of the MLP, and their gated products.
//!
//! * GELU (Hendrycks & Gimpel 2016): x Φ(x), with Φ from erf; or its tanh form
//!   ½x (1 + tanh(√(2/π) (x + 0.044715 x³)));
//! * SiLU: x / (1 + e⁻ˣ); ReLU: max(x, 0);
//! * gated (Shazeer 2020): act(gate) · up.

use crate::outputs::Outputs;

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
        let mut line = [0.0; 256];
        for (block, values) in x.chunks(256).enumerate() {
            let line = &mut line[..values.len()];
            for (out, v) in line.iter_mut().zip(values) {
                *out = self.value(*v);
            }
            outputs.store(block * 256, line);
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
        let mut line = vec![0.0; d_mlp];
        for (row, values) in gate_up.chunks_exact(2 * d_mlp).enumerate() {
            let (gate, up) = values.split_at(d_mlp);
            for ((out, g), u) in line.iter_mut().zip(gate).zip(up) {
                *out = self.value(*g) * u;
            }
            outputs.store(row * d_mlp, &line);
        }
    }

    fn value(self, x: f32) -> f32 {
        let x = f64::from(x);
        let y = match self {
            Self::GeluErf => x * normal_cdf(x),
            Self::GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
            }
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::Relu => x.max(0.0),
        };
        y as f32
    }
}

/// Φ(x) by its Taylor series near 0 and Laplace's continued fraction in the tails.
fn normal_cdf(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..100 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let tail = density / (1..100).rev().fold(x.abs(), |f, n| x.abs() + f64::from(n) / f);
    if x > 0.0 { 1.0 - tail } else { tail }
}
