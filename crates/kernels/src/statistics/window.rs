//! Power sums, extremes, positive counts and histogram of one window, per unit: `Σ x, Σ x², Σ x³, Σ x⁴` in f64.

use super::histogram::count_buckets;
use super::{BUCKETS, for_each_processor};

/// The statistics of one window for a range of units.
#[derive(Clone, Debug)]
pub struct WindowStatistics {
    /// `[power − 1][unit]`: sums of the first four powers.
    pub powers: [Vec<f64>; 4],
    /// `[unit]`: smallest value.
    pub min: Vec<f32>,
    /// `[unit]`: largest value.
    pub max: Vec<f32>,
    /// `[unit]`: number of values above 0.
    pub positive: Vec<u32>,
}

impl WindowStatistics {
    /// Room for the statistics of `units` units.
    pub fn new(units: usize) -> Self {
        Self {
            powers: std::array::from_fn(|_| vec![0.0; units]),
            min: vec![0.0; units],
            max: vec![0.0; units],
            positive: vec![0; units],
        }
    }

    /// Takes the statistics of columns `first..` of `rows` `[token, width]`, and counts the values in `histogram`
    /// `[unit, BUCKETS]`. Undefined values end up in the sums, not in the extremes.
    ///
    /// # Panics
    /// If the columns go beyond `width`, the rows are not whole, or the histogram is not that of these units.
    pub fn compute(&mut self, rows: &[f32], width: usize, first: usize, histogram: &mut [u32]) {
        let units = self.min.len();
        assert!(
            first + units <= width && rows.len().is_multiple_of(width) && histogram.len() == units * BUCKETS,
            "statistics: the rows have another width"
        );
        #[cfg(target_arch = "x86_64")]
        if crate::Backend::Avx512.is_available() {
            // SAFETY: the processor has the features that the function is compiled for.
            unsafe { super::wide::compute(self, rows, width, first, histogram) };
            self.unite_zeros();
            return;
        }
        self.compute_by_rows(rows, width, first, histogram);
        self.unite_zeros();
    }

    /// The same on any processor.
    fn compute_by_rows(&mut self, rows: &[f32], width: usize, first: usize, histogram: &mut [u32]) {
        let units = self.min.len();
        self.powers.iter_mut().for_each(|sums| sums.fill(0.0));
        self.min.fill(f32::INFINITY);
        self.max.fill(f32::NEG_INFINITY);
        self.positive.fill(0);
        for row in rows.chunks_exact(width) {
            add_row(&row[first..first + units], self);
        }
        count_buckets(rows, width, first, histogram);
    }

    /// One representation of zero, whichever was met first.
    fn unite_zeros(&mut self) {
        self.min.iter_mut().chain(&mut self.max).for_each(|value| *value += 0.0);
    }
}

for_each_processor! {
    fn add_row(row: &[f32], to: &mut WindowStatistics) {
        let units = row.len();
        let [one, two, three, four] = &mut to.powers;
        let (one, two, three, four) = (&mut one[..units], &mut two[..units], &mut three[..units], &mut four[..units]);
        let (min, max, positive) = (&mut to.min[..units], &mut to.max[..units], &mut to.positive[..units]);
        for unit in 0..units {
            let x = row[unit];
            let wide = f64::from(x);
            let square = wide * wide;
            one[unit] += wide;
            two[unit] += square;
            three[unit] += square * wide;
            four[unit] += square * square;
            min[unit] = if x < min[unit] { x } else { min[unit] };
            max[unit] = if x > max[unit] { x } else { max[unit] };
            positive[unit] += u32::from(x > 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::statistics::bucket;

    proptest! {
        #[test]
        fn agrees_with_one_unit_at_a_time(
            tokens in 1_usize..20, units in 1_usize..40, first in 0_usize..5, spare in 0_usize..5, seed in any::<u32>(),
        ) {
            let width = first + units + spare;
            let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) as f32 / 1e9) - 2.0;
            let rows: Vec<f32> = (0..tokens * width).map(value).collect();
            let mut statistics = WindowStatistics::new(units);
            let mut histogram = vec![0; units * BUCKETS];
            statistics.compute(&rows, width, first, &mut histogram);
            let (mut by_rows, mut counts) = (WindowStatistics::new(units), vec![0; units * BUCKETS]);
            by_rows.compute_by_rows(&rows, width, first, &mut counts);
            prop_assert_eq!(&by_rows.powers, &statistics.powers);
            prop_assert_eq!(&counts, &histogram);
            for unit in 0..units {
                let column: Vec<f32> = (0..tokens).map(|token| rows[token * width + first + unit]).collect();
                for power in 0..4 {
                    let powered = |x: &f32| match (f64::from(*x), power) {
                        (x, 0) => x,
                        (x, 1) => x * x,
                        (x, 2) => x * x * x,
                        (x, _) => (x * x) * (x * x),
                    };
                    prop_assert_eq!(statistics.powers[power][unit], column.iter().map(powered).fold(0.0, |a, b| a + b));
                }
                prop_assert_eq!(statistics.min[unit], column.iter().copied().fold(f32::INFINITY, f32::min));
                prop_assert_eq!(statistics.max[unit], column.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                prop_assert_eq!(statistics.positive[unit] as usize, column.iter().filter(|x| **x > 0.0).count());
                for place in 0..BUCKETS {
                    let count = column.iter().filter(|x| bucket(**x) == place).count();
                    prop_assert_eq!(histogram[unit * BUCKETS + place] as usize, count);
                }
            }
        }
    }

    #[test]
    fn undefined_values_reach_the_sums() {
        let mut statistics = WindowStatistics::new(2);
        statistics.compute(&[1.0, f32::NAN, 2.0, 3.0], 2, 0, &mut [0; 2 * BUCKETS]);
        assert!(statistics.powers[1][1].is_nan());
        assert_eq!(statistics.max, [2.0, 3.0]);
    }
}
