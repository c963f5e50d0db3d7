//! out `[rows, n_out]` = x `[rows, n_in]` · Wᵀ + bias, with a weight W `[n_out, n_in]` that is packed once.
//!
//! Accumulation is in f32. Under [`Precision::Bf16`] weight and x are rounded to bf16 first; products of two
//! bf16 are exact in f32.

mod packed;

use half::bf16;

use crate::activation::Activation;
use crate::convert::{round_to_bf16, widen};
use crate::outputs::Outputs;
use crate::threads::Threads;

pub use packed::{PackedMatrix, Precision};

/// The rows that are multiplied: `[rows, n_in]`.
///
/// Under a bf16 weight, f32 rows are rounded on the way; under an f32 weight, bf16 rows are widened.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// Rows in f32.
    F32(&'a [f32]),
    /// Rows in bf16.
    Bf16(&'a [bf16]),
}

impl<'a> From<&'a [f32]> for Operand<'a> {
    fn from(rows: &'a [f32]) -> Self {
        Self::F32(rows)
    }
}

impl<'a> From<&'a [bf16]> for Operand<'a> {
    fn from(rows: &'a [bf16]) -> Self {
        Self::Bf16(rows)
    }
}

impl Operand<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(rows) => rows.len(),
            Self::Bf16(rows) => rows.len(),
        }
    }
}

/// One matrix product: the weight and what happens to its result.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    weight: &'a PackedMatrix,
    bias: Option<&'a [f32]>,
    accumulate: bool,
    threads: Threads,
}

impl<'a> Product<'a> {
    /// The plain product with `weight`, on the calling thread.
    pub fn new(weight: &'a PackedMatrix) -> Self {
        Self { weight, bias: None, accumulate: false, threads: Threads::One }
    }

    /// Adds `bias` `[n_out]` to every row.
    ///
    /// # Panics
    /// If the bias has another length.
    #[must_use]
    pub fn bias(self, bias: Option<&'a [f32]>) -> Self {
        assert!(bias.is_none_or(|b| b.len() == self.weight.n_out()), "product: bias has the wrong length");
        Self { bias, ..self }
    }

    /// Adds the result to what `out` holds (a residual connection) instead of overwriting it.
    #[must_use]
    pub fn accumulate(self) -> Self {
        Self { accumulate: true, ..self }
    }

    /// Runs on `threads`.
    #[must_use]
    pub fn threads(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// Writes (or adds) the product with `x` `[rows, n_in]` to `out` `[rows, n_out]`; rows follow from `out`.
    ///
    /// # Panics
    /// If the lengths contradict the weight's shape.
    pub fn run<'x>(&self, x: impl Into<Operand<'x>>, out: &mut [f32]) {
        let (x, rows) = (x.into(), out.len() / self.weight.n_out());
        assert_eq!(out.len(), rows * self.weight.n_out(), "product: out is not whole rows");
        assert_eq!(x.len(), rows * self.weight.n_in(), "product: x and out differ in rows");
        let x = match (x, self.weight.precision()) {
            (Operand::F32(x), Precision::F32) => x.to_vec(),
            (Operand::F32(x), Precision::Bf16) => round_to_bf16(x).iter().map(|v| v.to_f32()).collect(),
            (Operand::Bf16(x), _) => {
                let mut wide = vec![0.0; x.len()];
                widen(x, &mut wide);
                wide
            }
        };
        for (x, out) in x.chunks_exact(self.weight.n_in()).zip(out.chunks_exact_mut(self.weight.n_out())) {
            for (column, out) in out.iter_mut().enumerate() {
                let sum: f32 = x.iter().zip(self.weight.row(column)).map(|(a, b)| a * b).sum();
                let biased = sum + self.bias.map_or(0.0, |b| b[column]);
                *out = if self.accumulate { *out + biased } else { biased };
            }
        }
    }

    /// As [`Product::run`], rounding the result to bf16.
    ///
    /// # Panics
    /// If the lengths contradict the weight's shape, or the product accumulates.
    pub fn run_bf16<'x>(&self, x: impl Into<Operand<'x>>, out: &mut [bf16]) {
        assert!(!self.accumulate, "product: bf16 results do not accumulate");
        let mut wide = vec![0.0; out.len()];
        self.run(x, &mut wide);
        crate::convert::narrow(&wide, out);
    }

    /// The gated MLP's middle: act(gate) · up of x · [gate; up]ᵀ, where the weight stacks the gate matrix
    /// `[d_mlp, n_in]` on the up matrix `[d_mlp, n_in]`. Outputs are `[rows, d_mlp]`; gate and up themselves
    /// are not kept.
    ///
    /// # Panics
    /// If the lengths contradict the weight's shape.
    pub fn run_gated<'x>(&self, activation: Activation, x: impl Into<Operand<'x>>, outputs: Outputs<'_>) {
        let x = x.into();
        let rows = x.len() / self.weight.n_in();
        let mut gate_up = vec![0.0; rows * self.weight.n_out()];
        Self { accumulate: false, ..*self }.run(x, &mut gate_up);
        activation.gated(&gate_up, self.weight.n_out() / 2, outputs);
    }

    /// The plain MLP's middle: act(x · Wᵀ + bias). Outputs are `[rows, n_out]`.
    ///
    /// # Panics
    /// If the lengths contradict the weight's shape.
    pub fn run_activated<'x>(&self, activation: Activation, x: impl Into<Operand<'x>>, outputs: Outputs<'_>) {
        let x = x.into();
        let rows = x.len() / self.weight.n_in();
        let mut pre = vec![0.0; rows * self.weight.n_out()];
        Self { accumulate: false, ..*self }.run(x, &mut pre);
        activation.apply(&pre, outputs);
    }
}
