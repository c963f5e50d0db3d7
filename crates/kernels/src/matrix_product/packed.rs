//! A weight matrix, packed once for the products that follow.

use half::bf16;

/// The number format that a matrix product multiplies in; sums are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 24-bit significands.
    F32,
    /// 8-bit significands: half the memory, and fast where the processor multiplies bf16 itself.
    Bf16,
}

/// A weight `[n_out, n_in]` in the kernels' own layout.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    n_out: usize,
    n_in: usize,
    precision: Precision,
    rows: Vec<f32>,
}

impl PackedMatrix {
    /// Packs the row-major `weight` `[n_out, n_in]`, rounding to nearest even for bf16.
    ///
    /// # Panics
    /// If the length is not `n_out · n_in` or a dimension is 0.
    pub fn pack(weight: &[f32], n_out: usize, n_in: usize, precision: Precision) -> Self {
        Self::pack_stacked(&[weight], n_in, precision).checked(n_out)
    }

    /// Packs several matrices with the same `n_in` on top of each other, as one (q, k and v; gate and up).
    ///
    /// # Panics
    /// If a part is not whole rows, or nothing is there.
    pub fn pack_stacked(parts: &[&[f32]], n_in: usize, precision: Precision) -> Self {
        assert!(n_in > 0 && parts.iter().all(|part| part.len() % n_in == 0), "pack: part is not whole rows");
        let mut rows = parts.concat();
        if precision == Precision::Bf16 {
            rows.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
        }
        assert!(!rows.is_empty(), "pack: empty matrix");
        Self { n_out: rows.len() / n_in, n_in, precision, rows }
    }

    fn checked(self, n_out: usize) -> Self {
        assert_eq!(self.n_out, n_out, "pack: weight has the wrong length");
        self
    }

    /// The number of results per row of x.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// The length of a row of x.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// The number format of the weight.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.rows.len() * size_of::<f32>()
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.n_in..][..self.n_in]
    }
}
