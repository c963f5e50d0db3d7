//! Conversion between f32 and bf16 (the upper half of an f32: 8 exponent bits, 7 fraction bits).

use half::bf16;

/// Rounds `source` to bf16, to nearest with ties to even; NaN stays NaN.
///
/// # Panics
/// If the lengths differ.
pub fn narrow(source: &[f32], target: &mut [bf16]) {
    assert_eq!(source.len(), target.len(), "narrow: lengths differ");
    for (t, s) in target.iter_mut().zip(source) {
        *t = bf16::from_f32(*s);
    }
}

/// Widens `source` to f32, exactly.
///
/// # Panics
/// If the lengths differ.
pub fn widen(source: &[bf16], target: &mut [f32]) {
    assert_eq!(source.len(), target.len(), "widen: lengths differ");
    for (t, s) in target.iter_mut().zip(source) {
        *t = s.to_f32();
    }
}

/// `source` rounded to bf16 in a new vector.
pub fn round_to_bf16(source: &[f32]) -> Vec<bf16> {
    let mut target = vec![bf16::ZERO; source.len()];
    narrow(source, &mut target);
    target
}
