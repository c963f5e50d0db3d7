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

/// The `k` largest entries, largest first; equal values in order of index. NaN comes first of all, so that it is
/// never hidden. Fewer than `k` come back when the slice is shorter.
pub fn top_k(values: &[f32], k: usize) -> Vec<Ranked> {
    select(values, k, |a, b| rank(b.value, a.value).then(a.index.cmp(&b.index)))
}

/// The `k` smallest entries, smallest first; equal values in order of index, NaN first of all.
pub fn bottom_k(values: &[f32], k: usize) -> Vec<Ranked> {
    select(values, k, |a, b| rank(-a.value, -b.value).reverse().then(a.index.cmp(&b.index)))
}

/// The order of values with NaN above everything and −0 equal to 0.
fn rank(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn select(values: &[f32], k: usize, order: impl Fn(&Ranked, &Ranked) -> Ordering) -> Vec<Ranked> {
    let mut all: Vec<Ranked> =
        values.iter().enumerate().map(|(index, &value)| Ranked { index: index as u32, value }).collect();
    all.sort_unstable_by(&order);
    all.truncate(k);
    all
}
