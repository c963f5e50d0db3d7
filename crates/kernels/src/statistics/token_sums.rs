//! Sums per token on one grid: every value is rounded to a multiple of 2⁻²⁰ before it is added to an f64,
//! so sums below 2³³ are exact in any order, and a value can be taken out again exactly.

use super::for_each_processor;

/// 1.5 · 2^(52 − 20): adding and subtracting it rounds to a multiple of 2⁻²⁰.
const MAGIC: f64 = 1.5 * (1_u64 << 32) as f64;

/// A value as it is added: the nearest multiple of 2⁻²⁰.
#[inline(always)]
pub fn on_grid(value: f32) -> f64 {
    (f64::from(value) + MAGIC) - MAGIC
}

for_each_processor! {
    /// Adds `values` to `sums`, each rounded to the grid.
    pub fn add_on_grid(values: &[f32], sums: &mut [f64]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += on_grid(*value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_out(values in prop::collection::vec(-1e4_f32..1e4, 2..100)) {
            let mut sums = [0.0];
            values.iter().for_each(|value| add_on_grid(&[*value], &mut sums));
            let last = values.iter().skip(1).map(|value| on_grid(*value)).sum::<f64>();
            prop_assert_eq!(sums[0] - last, on_grid(values[0]));
            prop_assert!((on_grid(values[0]) - f64::from(values[0])).abs() <= 0.5_f64.powi(21));
        }
    }
}
