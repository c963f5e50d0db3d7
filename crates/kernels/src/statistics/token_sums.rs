//! Sums per token on one grid: every value is rounded to a multiple of 2⁻²⁰ before it is added, so sums are exact in
//! any order, and a value can be taken out again exactly. They are kept as f64 below 2³³, or, in half the memory, as
//! i32 numbers of steps of the grid below 2¹¹.

use super::for_each_processor;
use crate::prefetch::prefetch;

/// 1.5 · 2^(52 − 20): adding and subtracting it rounds to a multiple of 2⁻²⁰.
const MAGIC: f64 = 1.5 * (1_u64 << 32) as f64;
/// Steps of the grid to 1.
const STEPS: f64 = (1 << 20) as f64;
/// Values and sums below this fit into an i32 of steps.
pub const STEPS_LIMIT: f32 = 2048.0;

/// A value as it is added: the nearest multiple of 2⁻²⁰.
#[inline(always)]
pub fn on_grid(value: f32) -> f64 {
    (f64::from(value) + MAGIC) - MAGIC
}

/// How many tokens ahead the sums are fetched into the cache.
const AHEAD: usize = 3;

/// Adds columns `first..first + units` of `values` `[row, width]` to `sums` `[column, units]` in steps of the grid, to
/// which each is rounded; they must stay below [`STEPS_LIMIT`]. `tokens` are (column of `sums`, row of `values`), best in
/// order of column: the sums are many, lie in main memory, and equal ones in a row are then fetched once.
///
/// # Panics
/// If there is no such row or column.
pub fn add_tokens(
    sums: &mut [i32],
    units: usize,
    tokens: &[(u32, u32)],
    values: &[f32],
    width: usize,
    first: usize,
) {
    assert!(first + units <= width, "token sums: the units go beyond the width");
    tokens.iter().take(AHEAD).for_each(|(column, _)| prefetch(&sums[*column as usize * units..][..units]));
    for (place, (column, row)) in tokens.iter().enumerate() {
        if let Some([(before, _), (ahead, _)]) = tokens.get(place + AHEAD - 1..=place + AHEAD)
            && before != ahead
        {
            prefetch(&sums[*ahead as usize * units..][..units]);
        }
        let row = &values[*row as usize * width + first..][..units];
        add_steps(row, &mut sums[*column as usize * units..][..units]);
    }
}

/// The sum that a number of steps stands for.
#[inline(always)]
pub fn from_steps(steps: i32) -> f64 {
    f64::from(steps) / STEPS
}

for_each_processor! {
    /// Adds `values` to `sums` of steps, each rounded to the grid. Sums whose size reaches [`STEPS_LIMIT`] are wrong.
    fn add_steps(values: &[f32], sums: &mut [i32]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            // The lower half of the bits of MAGIC is 0: here it is the number of steps.
            *sum = sum.wrapping_add((f64::from(*value) + MAGIC).to_bits() as i32);
        }
    }
}

for_each_processor! {
    /// Adds `values` to `sums`, each rounded to the grid.
    pub fn add_on_grid(values: &[f32], sums: &mut [f64]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += on_grid(*value);
        }
    }
}

/// Products that [`add_products`] takes are smaller than this.
pub const PRODUCT_LIMIT: f32 = (1_u64 << 31) as f32;

for_each_processor! {
    /// Adds `value` · `values` to `sums`, each product rounded to the grid, in steps of it. Products of [`PRODUCT_LIMIT`] and
    /// more are wrong.
    pub fn add_products(value: f32, values: &[f32], sums: &mut [i64]) {
        let value = f64::from(value);
        for (sum, other) in sums.iter_mut().zip(values) {
            let on_grid = value * f64::from(*other) + MAGIC;
            *sum += (on_grid.to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64);
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

        #[test]
        fn products_are_summed_on_the_grid(
            value in -3e4_f32..3e4, values in prop::collection::vec(prop_oneof![-1.0_f32..1.0, -6e4_f32..6e4], 1..40),
        ) {
            let mut sums = vec![7; values.len()];
            add_products(value, &values, &mut sums);
            for (sum, other) in sums.iter().zip(&values) {
                let exact = f64::from(value) * f64::from(*other);
                prop_assert!(((sum - 7) as f64 / STEPS - exact).abs() <= 0.5_f64.powi(21), "{sum} {exact}");
            }
        }

        #[test]
        fn tokens_are_added_to_their_own_sums(
            tokens in prop::collection::vec((0_u32..6, 0_u32..4), 0..30), units in 1_usize..20, first in 0_usize..3,
        ) {
            let width = first + units + 1;
            let values: Vec<f32> = (0..4 * width).map(|place| place as f32 * 0.37 - 3.0).collect();
            let (mut sums, mut expected) = (vec![0; 6 * units], vec![0.0; 6 * units]);
            add_tokens(&mut sums, units, &tokens, &values, width, first);
            for (column, row) in tokens {
                for unit in 0..units {
                    expected[column as usize * units + unit] += on_grid(values[row as usize * width + first + unit]);
                }
            }
            prop_assert_eq!(sums.into_iter().map(from_steps).collect::<Vec<_>>(), expected);
        }
    }
}
