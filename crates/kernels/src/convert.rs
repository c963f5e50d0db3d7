//! Conversion between f32 and bf16 (the upper half of an f32: 8 exponent bits, 7 fraction bits).

use half::bf16;

use crate::multiversion::multiversion;

multiversion! {
    /// Rounds `source` to bf16, to nearest with ties to even; NaN stays NaN.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn narrow(source: &[f32], target: &mut [bf16]) {
        assert_eq!(source.len(), target.len(), "narrow: lengths differ");
        for (target, value) in target.iter_mut().zip(source) {
            *target = bf16::from_bits(round_bits(*value));
        }
    }
}

multiversion! {
    /// Widens `source` to f32, exactly.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn widen(source: &[bf16], target: &mut [f32]) {
        assert_eq!(source.len(), target.len(), "widen: lengths differ");
        for (target, value) in target.iter_mut().zip(source) {
            *target = f32::from_bits(u32::from(value.to_bits()) << 16);
        }
    }
}

/// `source` rounded to bf16 in a new vector.
pub fn round_to_bf16(source: &[f32]) -> Vec<bf16> {
    let mut target = vec![bf16::ZERO; source.len()];
    narrow(source, &mut target);
    target
}

/// The bits of `value` rounded to bf16. Adding half a unit (less one for even) carries into the kept half; a NaN
/// keeps its sign and becomes quiet, as its payload may lie in the lost half.
#[inline(always)]
pub(crate) fn round_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let even = (bits >> 16) & 1;
    let rounded = bits.wrapping_add(0x7fff + even) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if value.is_nan() { quiet } else { rounded }) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_even_and_specials_survive() {
        let source =
            [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX, 1e-45];
        let rounded = round_to_bf16(&source);
        assert_eq!(rounded[0].to_f32(), 1.0);
        assert_eq!(rounded[1].to_f32(), 1.015_625);
        for (value, rounded) in source.iter().zip(&rounded) {
            assert_eq!(rounded.to_bits(), bf16::from_f32(*value).to_bits());
        }
    }

    proptest! {
        #[test]
        fn agrees_with_half(bits in prop::collection::vec(any::<u32>(), 0..70)) {
            let source: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
            let rounded = round_to_bf16(&source);
            let mut widened = vec![0.0; source.len()];
            widen(&rounded, &mut widened);
            for ((value, rounded), widened) in source.iter().zip(&rounded).zip(&widened) {
                let expected = bf16::from_f32(*value);
                prop_assert_eq!(rounded.is_nan(), value.is_nan());
                prop_assert!(value.is_nan() || rounded.to_bits() == expected.to_bits());
                prop_assert_eq!(widened.to_bits(), rounded.to_f32().to_bits());
            }
        }
    }
}
