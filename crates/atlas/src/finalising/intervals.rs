//! The quantile intervals of a unit's window maximum, from its strata.
//!
//! An interval is a run of whole strata: each nominal boundary is moved to the edge between two strata whose
//! cumulative share is nearest. With at most 16 strata, spaced evenly in the logarithm of the maximum, the
//! share really covered may differ by up to half of the largest stratum's share; it is stored exactly.

use crate::excerpt::{INTERVALS, QUANTILES};
use crate::record::QuantileInterval;
use crate::recording::{Kept, PER_STRATUM, Strata, Stratum};

/// An interval, and the windows that stand for it.
pub(super) struct Filled {
    pub(super) interval: QuantileInterval,
    /// A uniform sample of its windows, in order of priority.
    pub(super) sample: Vec<Kept>,
}

/// The five intervals; those that no stratum falls into are empty. `max` is the unit's largest value.
pub(super) fn intervals(strata: &Strata, max: f32) -> Vec<Filled> {
    let all = strata.strata();
    // before[i]: windows in strata below the i-th.
    let mut before = vec![0_u64];
    before.extend(all.iter().scan(0, |sum, stratum| {
        *sum += u64::from(stratum.count);
        Some(*sum)
    }));
    let total = before[all.len()];
    let mut cuts = vec![0];
    for quantile in &QUANTILES[1..INTERVALS] {
        let first = cuts[cuts.len() - 1];
        let distance = |cut: &usize| (before[*cut] as f64 - quantile * total as f64).abs();
        cuts.push((first..=all.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(first));
    }
    cuts.push(all.len());
    // The value at a cut: where the stratum above begins.
    let edge = |cut: usize| all.get(cut).map_or(max, |stratum| strata.edges(stratum).0.min(max));
    (0..INTERVALS)
        .map(|index| {
            let (from, to) = (cuts[index], cuts[index + 1]);
            let windows = before[to] - before[from];
            let mut sample: Vec<Kept> = all[from..to].iter().flat_map(Stratum::kept).copied().collect();
            sample.sort_unstable();
            sample.truncate(PER_STRATUM);
            Filled {
                interval: QuantileInterval {
                    from_quantile: QUANTILES[index],
                    to_quantile: QUANTILES[index + 1],
                    low: edge(from),
                    high: edge(to),
                    windows,
                    share: windows as f64 / total.max(1) as f64,
                },
                sample,
            }
        })
        .collect()
}
