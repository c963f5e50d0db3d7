//! out `[rows, n_out]` = x `[rows, n_in]` · Wᵀ + bias, with a weight W `[n_out, n_in]` that is packed once.
//!
//! Accumulation is in f32. Under [`Precision::Bf16`] weight and x are rounded to bf16 first; products of two
//! bf16 are exact in f32. Under [`WeightFormat::Int8`] both are rotated and rounded to 8-bit
//! integers with a scale for every 128 terms.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bytes;
mod byte_tile;
mod driver;
mod epilogue;
mod int8;
#[cfg(test)]
mod int8_tests;
mod packed;
mod portable;
#[cfg(test)]
mod tests;
mod tile;

use half::bf16;

use crate::activation::Activation;
use crate::aligned::with_scratch;
use crate::detect::Backend;
use crate::outputs::Outputs;
use crate::shared_rows::SharedRows;
use crate::threads::Threads;
use driver::Sweep;
use epilogue::{Epilogue, Step};

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::multiply_registers;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::dot_registers;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512_bytes::byte_registers;
pub(crate) use byte_tile::{ByteGroups, QUAD, multiplies_bytes};
pub use packed::{PackedMatrix, Precision, WeightFormat};
pub(crate) use packed::{pack_bf16, pack_f32};
pub(crate) use tile::{Element, LANES, RowBlock, TILE_ROWS, Tile};

/// The rows that are multiplied: `[rows, n_in]`.
///
/// Under a bf16 or int8 weight, f32 rows are rounded on the way; under an f32 weight, bf16 rows are widened.
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
    backend: Backend,
}

impl<'a> Product<'a> {
    /// The plain product with `weight`, on the calling thread.
    pub fn new(weight: &'a PackedMatrix) -> Self {
        Self { weight, bias: None, accumulate: false, threads: Threads::One, backend: Backend::best() }
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

    /// Runs on another backend than the fastest, for tests and comparisons.
    ///
    /// # Panics
    /// If this processor does not run it.
    #[must_use]
    pub fn backend(self, backend: Backend) -> Self {
        assert!(backend.is_available(), "this processor does not run {backend}");
        Self { backend, ..self }
    }

    /// Writes (or adds) the product with `x` `[rows, n_in]` to `out` `[rows, n_out]`.
    ///
    /// # Panics
    /// If the lengths contradict the weight's shape.
    pub fn run<'x>(&self, x: impl Into<Operand<'x>>, out: &mut [f32]) {
        let step = if self.accumulate { Step::Add } else { Step::Store };
        self.sweep(x.into(), step, self.weight.n_out(), Outputs::f32(out));
    }

    /// As [`Product::run`], rounding the result to bf16.
    ///
    /// # Panics
    /// If the lengths contradict the weight's shape, or the product accumulates.
    pub fn run_bf16<'x>(&self, x: impl Into<Operand<'x>>, out: &mut [bf16]) {
        assert!(!self.accumulate, "product: bf16 results do not accumulate");
        self.sweep(x.into(), Step::Store, self.weight.n_out(), Outputs::bf16(out));
    }

    /// The gated MLP's middle: act(gate) · up of x · [gate; up]ᵀ (+ bias), where the weight stacks the gate matrix
    /// `[d_mlp, n_in]` on the up matrix `[d_mlp, n_in]` ([`PackedMatrix::pack_stacked`]). Outputs are
    /// `[rows, d_mlp]`; gate and up themselves are not kept.
    ///
    /// # Panics
    /// If the lengths contradict the weight's shape, or the weight is no stack of two equal parts.
    pub fn run_gated<'x>(&self, activation: Activation, x: impl Into<Operand<'x>>, outputs: Outputs<'_>) {
        let &[gate, up] = self.weight.part_rows() else {
            panic!("gated product: the weight is no stack of two")
        };
        assert!(
            gate == up && !self.accumulate,
            "gated product: gate and up differ, or the product accumulates"
        );
        self.sweep(x.into(), Step::Gate(activation), gate, outputs);
    }

    /// The plain MLP's middle: act(x · Wᵀ + bias). Outputs are `[rows, n_out]`.
    ///
    /// # Panics
    /// If the lengths contradict the weight's shape, or the product accumulates.
    pub fn run_activated<'x>(&self, activation: Activation, x: impl Into<Operand<'x>>, outputs: Outputs<'_>) {
        assert!(!self.accumulate, "product: activated results do not accumulate");
        self.sweep(x.into(), Step::Activate(activation), self.weight.n_out(), outputs);
    }

    fn sweep(&self, x: Operand<'_>, step: Step, width: usize, outputs: Outputs<'_>) {
        let &Self { weight, bias, threads, backend, .. } = self;
        let rows = x.len() / weight.n_in();
        assert_eq!(x.len(), rows * weight.n_in(), "product: x is not whole rows");
        outputs.check(rows * width);
        let epilogue = Epilogue {
            bias,
            step,
            f32: outputs.f32.map(|values| SharedRows::new(values, width)),
            bf16: outputs.bf16.map(|values| SharedRows::new(values, width)),
        };
        with_scratch(|scratch| match weight.format() {
            WeightFormat::F32 => {
                let rows = driver::rows_f32(x, weight, scratch);
                Sweep { backend, weight, rows, epilogue }.run(threads);
            }
            WeightFormat::Bf16 => {
                let rows = driver::rows_bf16(x, weight, scratch);
                Sweep { backend, weight, rows, epilogue }.run(threads);
            }
            WeightFormat::Int8 => {
                let rows = driver::rows_int8(x, weight, threads, scratch);
                Sweep { backend, weight, rows, epilogue }.run(threads);
            }
        });
    }
}
