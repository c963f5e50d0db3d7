//! Softmax and log-softmax of one row: softmax(x)ᵢ = exp(xᵢ − max x) / Σⱼ exp(xⱼ − max x).

use crate::elementary::{exp, exp_weight};
use crate::multiversion::multiversion;
use crate::reduce::{maximum, sum_of};

/// Entries whose exponentials are summed in f32 before the sum goes on in f64: a vocabulary has 10⁵ entries.
const PARTIAL: usize = 1024;

multiversion! {
    /// Replaces `row` by its softmax. An entry of −∞ gets exactly 0; NaN anywhere gives NaN everywhere.
    pub fn softmax(row: &mut [f32]) {
        let max = maximum(row, f32::NEG_INFINITY);
        for value in row.iter_mut() {
            *value = exp_weight(*value - max);
        }
        let total: f64 = row.chunks(PARTIAL).map(|part| f64::from(sum_of(part, |value| value))).sum();
        let factor = (1.0 / total) as f32;
        for value in row {
            *value *= factor;
        }
    }
}

multiversion! {
    /// Replaces `row` by its log-softmax, xᵢ − max x − ln Σⱼ exp(xⱼ − max x).
    pub fn log_softmax(row: &mut [f32]) {
        let max = maximum(row, f32::NEG_INFINITY);
        let total: f64 = row.chunks(PARTIAL).map(|part| f64::from(sum_of(part, |value| exp(value - max)))).sum();
        let log_total = total.ln() as f32;
        for value in row {
            *value = *value - max - log_total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agree_with_f64(row in prop::collection::vec(-40.0_f32..40.0, 1..3000)) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = row.iter().map(|&x| f64::from(x - max).exp()).sum();
            let (mut probabilities, mut logarithms) = (row.clone(), row.clone());
            softmax(&mut probabilities);
            log_softmax(&mut logarithms);
            for ((x, probability), logarithm) in row.iter().zip(&probabilities).zip(&logarithms) {
                let expected = f64::from(x - max).exp() / total;
                prop_assert!((f64::from(*probability) - expected).abs() <= 1e-6 * expected);
                let expected = f64::from(x - max) - total.ln();
                prop_assert!((f64::from(*logarithm) - expected).abs() <= 1e-6 * expected.abs() + 1e-6);
            }
        }
    }

    #[test]
    fn hidden_entries_get_zero_and_nan_spreads() {
        let mut row = [0.0, f32::NEG_INFINITY, 0.0];
        softmax(&mut row);
        assert_eq!(row, [0.5, 0.0, 0.5]);
        let mut row = [0.0, f32::NAN, 1.0];
        softmax(&mut row);
        assert!(row.iter().all(|v| v.is_nan()));
        softmax(&mut []);
        log_softmax(&mut []);
    }
}
