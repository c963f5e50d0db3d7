//! The k largest or smallest entries of a slice.

use std::cmp::Ordering;

/// One selected entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Its index in the slice.
    pub index: u32,
    /// Its value.
    pub value: f32,
}

/// Up to this many entries are kept sorted during one pass; more are selected, then sorted.
const INSERTION_LIMIT: usize = 128;
/// Entries that are compared with the threshold together.
const STRIDE: usize = 16;

/// The `k` largest entries, largest first; equal values in order of index. NaN comes first of all, so that it is
/// never hidden. Fewer than `k` come back when the slice is shorter.
pub fn top_k(values: &[f32], k: usize) -> Vec<Ranked> {
    select(values, k, 1.0)
}

/// The `k` smallest entries, smallest first; equal values in order of index, NaN first of all.
pub fn bottom_k(values: &[f32], k: usize) -> Vec<Ranked> {
    select(values, k, -1.0)
}

/// The `k` largest of `sign` · value.
fn select(values: &[f32], k: usize, sign: f32) -> Vec<Ranked> {
    let order = |a: &Ranked, b: &Ranked| before(sign * a.value, sign * b.value).then(a.index.cmp(&b.index));
    if k <= INSERTION_LIMIT {
        return insert_all(values, k, sign, order);
    }
    let ranked = |(index, &value): (usize, &f32)| Ranked { index: index as u32, value };
    let mut all: Vec<Ranked> = values.iter().enumerate().map(ranked).collect();
    if k < all.len() {
        all.select_nth_unstable_by(k, order);
        all.truncate(k);
    }
    all.sort_unstable_by(order);
    all
}

/// One pass that keeps the best `k` so far in order. Strides without an entry above the last of them are skipped.
fn insert_all(
    values: &[f32],
    k: usize,
    sign: f32,
    order: impl Fn(&Ranked, &Ranked) -> Ordering,
) -> Vec<Ranked> {
    let mut best: Vec<Ranked> = Vec::with_capacity(k + 1);
    for (stride, values) in values.chunks(STRIDE).enumerate() {
        if best.len() == k {
            let Some(last) = best.last() else { break };
            let threshold = sign * last.value;
            // A count, as a search with early exit would not vectorise.
            let above = values.iter().filter(|value| sign * **value > threshold || value.is_nan()).count();
            if above == 0 {
                continue;
            }
        }
        for (offset, &value) in values.iter().enumerate() {
            let entry = Ranked { index: (stride * STRIDE + offset) as u32, value };
            let place = best.partition_point(|other| order(other, &entry).is_lt());
            if place < k {
                best.insert(place, entry);
                best.truncate(k);
            }
        }
    }
    best
}

/// Orders larger values first, NaN before everything, and −0 with 0.
fn before(a: f32, b: f32) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sorts everything.
    fn naive(values: &[f32], k: usize, descending: bool) -> Vec<u32> {
        let key = |index: &u32| {
            let value = values[*index as usize];
            let value = if descending { -value } else { value };
            if value.is_nan() { f32::NEG_INFINITY } else { value }
        };
        let mut indices: Vec<u32> = (0..values.len() as u32).collect();
        indices.sort_by(|a, b| {
            let nan = |i: &u32| !values[*i as usize].is_nan();
            nan(a).cmp(&nan(b)).then(key(a).total_cmp(&key(b))).then(a.cmp(b))
        });
        indices.truncate(k);
        indices
    }

    proptest! {
        #[test]
        fn agrees_with_sorting(values in prop::collection::vec(-5_i8..5, 0..600), k in 0_usize..300) {
            // Few distinct values make many ties; −5 stands for NaN.
            let value = |v: &i8| if *v == -5 { f32::NAN } else { f32::from(*v) + 0.5 };
            let values: Vec<f32> = values.iter().map(value).collect();
            let indices = |ranked: Vec<Ranked>| ranked.iter().map(|r| r.index).collect::<Vec<_>>();
            prop_assert_eq!(indices(top_k(&values, k)), naive(&values, k, true));
            prop_assert_eq!(indices(bottom_k(&values, k)), naive(&values, k, false));
        }
    }
}
