//! Activations between two kernels: rows in f32, in bf16, or both, whichever the next product reads.

use glossator_kernels::{Buffer, Operand, Outputs, Precision, bf16};

use super::plan::Touch;

/// A reusable buffer of rows. It remembers in which format the next product must read it.
#[derive(Default)]
pub(super) struct Rows {
    wide: Buffer<f32>,
    narrow: Buffer<bf16>,
    length: usize,
    read_narrow: bool,
}

impl Rows {
    /// Destinations for `length` values, before they are touched.
    ///
    /// A product in bf16 reads bf16. Observers read f32, and a change is made in f32 and rounded after.
    pub(super) fn outputs(&mut self, length: usize, precision: Precision, touch: Touch) -> Outputs<'_> {
        self.length = length;
        self.read_narrow = precision == Precision::Bf16 && touch != Touch::Changed;
        let wide = !self.read_narrow || touch == Touch::Observed;
        Outputs {
            f32: wide.then(|| self.wide.sized(length)),
            bf16: self.read_narrow.then(|| self.narrow.sized(length)),
        }
    }

    /// The f32 values, present when they were touched or the precision is f32.
    pub(super) fn wide(&mut self) -> &mut [f32] {
        self.wide.sized(self.length)
    }

    /// The operand of the next product.
    pub(super) fn operand(&self) -> Operand<'_> {
        if self.read_narrow {
            Operand::Bf16(&self.narrow.as_slice()[..self.length])
        } else {
            Operand::F32(&self.wide.as_slice()[..self.length])
        }
    }
}
