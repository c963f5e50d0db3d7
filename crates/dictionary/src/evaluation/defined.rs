//! Quotients that know when they are undefined.

/// `numerator / denominator`, unless the denominator is zero or the quotient is not a finite number.
pub(super) fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    let quotient = numerator / denominator;
    (denominator != 0.0 && quotient.is_finite()).then_some(quotient)
}

/// The median, the lower one of two; none of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    let mut values = values.to_vec();
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undefined_is_none() {
        assert_eq!(ratio(3.0, 2.0), Some(1.5));
        assert_eq!([ratio(0.0, 0.0), ratio(1.0, 0.0), ratio(f64::NAN, 1.0), ratio(1.0, f64::NAN)], [None; 4]);
        assert_eq!(
            (median(&[]), median(&[3.0, 1.0]), median(&[3.0, 1.0, 2.0])),
            (None, Some(1.0), Some(2.0))
        );
    }
}
