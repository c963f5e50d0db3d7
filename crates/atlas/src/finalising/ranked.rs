//! The k largest of a long row of numbers, in one pass.

/// The indices and values of the `k` largest, largest first, ties by index. Undefined values never rank.
pub(super) fn largest(values: impl Iterator<Item = f32>, k: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(k + 1);
    let mut threshold = f32::NEG_INFINITY;
    for (index, value) in values.enumerate() {
        if value > threshold || (best.len() < k && value == f32::NEG_INFINITY) {
            let place = best.partition_point(|(_, other)| *other >= value);
            best.insert(place, (index as u32, value));
            best.truncate(k);
            if best.len() == k {
                threshold = best.last().map_or(f32::INFINITY, |(_, value)| *value);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_sorting(values in prop::collection::vec(-5_i8..5, 0..60), k in 1_usize..12) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let mut expected: Vec<(u32, f32)> =
                values.iter().enumerate().map(|(index, value)| (index as u32, *value)).collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            expected.truncate(k);
            prop_assert_eq!(largest(values.into_iter(), k), expected);
        }
    }
}
