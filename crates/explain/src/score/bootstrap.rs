//! Bootstrap intervals: excerpts are resampled with replacement, top and random excerpts each among themselves,
//! because their numbers are fixed by design (Efron and Tibshirani 1993, percentile interval and stratified resampling).
//!
//! The resamples are drawn once and shared by all units, which makes a thousand of them cost about a fifth of a
//! millisecond a unit and makes the intervals of two explanations of a unit comparable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Sums;

/// Resamples drawn for the interval of a score.
pub const RESAMPLES: usize = 1_000;

/// Resamples that must be defined for an interval to be reported; else most of it would be made of luck.
const DEFINED_SHARE: f64 = 0.9;

/// A 95 % percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

impl Interval {
    /// Percentiles of the values of those resamples that are defined, by linear interpolation between order statistics.
    /// `None` when fewer than 90 % of `resamples` are.
    pub(crate) fn of(defined: &mut [f64], resamples: usize) -> Option<Self> {
        if defined.is_empty() || (defined.len() as f64) < DEFINED_SHARE * resamples as f64 {
            return None;
        }
        Some(Self { low: percentile(defined, 0.025), high: percentile(defined, 0.975) })
    }
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    let rank = share * (values.len() - 1) as f64;
    let (_, lower, rest) = values.select_nth_unstable_by(rank as usize, f64::total_cmp);
    let lower = *lower;
    let upper = rest.iter().copied().min_by(f64::total_cmp).unwrap_or(lower);
    lower + (upper - lower) * rank.fract()
}

/// How often each of `n` excerpts is drawn in each resample, for every `n` up to a bound.
#[derive(Debug, Clone)]
pub struct Resampling {
    count: usize,
    draws: BTreeMap<usize, [Vec<u8>; 2]>,
}

impl Resampling {
    /// Draws `count` resamples for strata of 2 to `most` excerpts; the same seed gives the same resamples.
    pub fn new(count: usize, most: usize, seed: u64) -> Self {
        let sizes = 2..=most.min(usize::from(u8::MAX));
        let draws = sizes.map(|size| (size, [0, 1].map(|stratum| draw(count, size, stratum, seed))));
        Self { count, draws: draws.collect() }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Calls `each` with the sums of every resample. No resample is made when fewer than two excerpts can vary or when
    /// a stratum is larger than the bound.
    pub(super) fn for_each(&self, top: &[Sums], random: &[Sums], mut each: impl FnMut(&Sums)) {
        let times = |stratum: &[Sums], index: usize| -> Option<&[u8]> {
            self.draws.get(&stratum.len()).map(|draws| draws[index].as_slice())
        };
        let (top_times, random_times) = (times(top, 0), times(random, 1));
        let missing = |stratum: &[Sums], times: Option<&[u8]>| stratum.len() > 1 && times.is_none();
        if top.len().max(random.len()) < 2 || missing(top, top_times) || missing(random, random_times) {
            return;
        }
        // An excerpt that is not drawn is added 0 times, which changes no bit; only what is not finite must be left out.
        let finite = top.iter().chain(random).all(Sums::is_finite);
        for resample in 0..self.count {
            let mut sums = Sums::default();
            for (stratum, times) in [(top, top_times), (random, random_times)] {
                for (index, excerpt) in stratum.iter().enumerate() {
                    let times = times.map_or(1, |times| times[resample * stratum.len() + index]);
                    if finite || times > 0 {
                        sums.add(excerpt, f64::from(times));
                    }
                }
            }
            each(&sums);
        }
    }
}

impl Resampling {
    /// The interval of any statistic of two strata of items. `statistic` is told how often each item of each stratum
    /// is drawn; what it leaves undefined counts against the interval. `None` too where fewer than two items can vary
    /// or a stratum is larger than the bound.
    pub fn interval(
        &self,
        sizes: [usize; 2],
        statistic: impl Fn([&[u8]; 2]) -> Option<f64>,
    ) -> Option<Interval> {
        if sizes.iter().all(|size| *size < 2) {
            return None;
        }
        let mut defined = Vec::with_capacity(self.count);
        for resample in 0..self.count {
            let times = |stratum: usize| -> Option<&[u8]> {
                let size = sizes[stratum];
                if size < 2 {
                    return Some(&[1][..size]);
                }
                Some(&self.draws.get(&size)?[stratum][resample * size..(resample + 1) * size])
            };
            defined.extend(statistic([times(0)?, times(1)?]));
        }
        Interval::of(&mut defined, self.count)
    }
}

/// `[resample, excerpt]`: how often an excerpt is drawn.
fn draw(count: usize, size: usize, stratum: u64, seed: u64) -> Vec<u8> {
    let mut times = vec![0_u8; count * size];
    for (resample, times) in times.chunks_exact_mut(size).enumerate() {
        for turn in 0..size {
            let key = [resample as u64, turn as u64, size as u64, stratum].map(u64::to_le_bytes).concat();
            let random = xxh3_64_with_seed(&key, seed);
            let index = ((u128::from(random) * size as u128) >> 64) as usize;
            times[index] += 1;
        }
    }
    times
}
