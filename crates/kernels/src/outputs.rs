//! Where an element-wise kernel writes: in f32 for hooks, in bf16 for the next matrix product, or in both.

use half::bf16;

use crate::convert::narrow;

/// The destinations of a kernel's result; each has the length of the result. Absent ones cost nothing.
#[derive(Debug, Default)]
pub struct Outputs<'a> {
    /// The result as computed.
    pub f32: Option<&'a mut [f32]>,
    /// The result rounded to nearest even.
    pub bf16: Option<&'a mut [bf16]>,
}

impl<'a> Outputs<'a> {
    /// Writes f32 only.
    pub fn f32(values: &'a mut [f32]) -> Self {
        Self { f32: Some(values), bf16: None }
    }

    /// Writes bf16 only.
    pub fn bf16(values: &'a mut [bf16]) -> Self {
        Self { f32: None, bf16: Some(values) }
    }

    /// Writes both.
    pub fn both(wide: &'a mut [f32], narrow: &'a mut [bf16]) -> Self {
        Self { f32: Some(wide), bf16: Some(narrow) }
    }

    /// Panics unless every destination holds `length` elements.
    pub(crate) fn check(&self, length: usize) {
        if let Some(values) = &self.f32 {
            assert_eq!(values.len(), length, "f32 output has the wrong length");
        }
        if let Some(values) = &self.bf16 {
            assert_eq!(values.len(), length, "bf16 output has the wrong length");
        }
    }

    /// Stores `values` at `offset` in every destination.
    pub(crate) fn store(&mut self, offset: usize, values: &[f32]) {
        if let Some(wide) = &mut self.f32 {
            wide[offset..offset + values.len()].copy_from_slice(values);
        }
        if let Some(narrowed) = &mut self.bf16 {
            narrow(values, &mut narrowed[offset..offset + values.len()]);
        }
    }
}
