//! The recorded state of a block of neighbouring units of one hook point.

use glossator_kernels::statistics::{BUCKETS, ExactSums, LIMBS, WindowStatistics, count_buckets};

use super::RANDOM;
use super::strata::Strata;
use super::token_table::TokenTable;
use super::top_windows::TopWindows;

/// Memory per unit besides ranked lists, strata, activations and the token table.
pub(super) const UNIT_BYTES: u64 = (LIMBS * 8 + BUCKETS * 4 + size_of::<Extremes>() + 8 + 4) as u64;

/// The smallest and the largest value of a unit, and where the largest is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extremes {
    pub(crate) min: f32,
    pub(crate) max: f32,
    pub(crate) window: u32,
    pub(crate) position: u32,
}

impl Extremes {
    /// Of no values.
    const NONE: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY, window: u32::MAX, position: 0 };

    fn wins(max: f32, window: u32, against: &Self) -> bool {
        max > against.max || (max == against.max && window < against.window)
    }
}

/// A window as a block sees it.
pub(super) struct WindowRows<'a> {
    pub(super) id: u32,
    /// Its priority for the quantile sample.
    pub(super) priority: u64,
    /// Its place among the random windows, if it is one.
    pub(super) random: Option<usize>,
    /// `[position, width]` of the hook point.
    pub(super) rows: &'a [f32],
    /// Units of the hook point.
    pub(super) width: usize,
    /// Positions at the start that do not count.
    pub(super) ignored: usize,
}

impl WindowRows<'_> {
    /// Copies one unit's activations.
    fn gather(&self, column: usize, into: &mut [f32]) {
        let values = self.rows[column..].iter().step_by(self.width);
        into.iter_mut().zip(values).for_each(|(into, value)| *into = *value);
    }

    fn counted(&self) -> &[f32] {
        &self.rows[self.ignored * self.width..]
    }
}

/// The state of units `first..first + units`.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) first: usize,
    pub(crate) units: usize,
    pub(crate) context: usize,
    pub(crate) sums: ExactSums,
    pub(crate) positive: Vec<u64>,
    pub(crate) extremes: Vec<Extremes>,
    /// `[unit, bucket]`.
    pub(crate) histogram: Vec<u32>,
    pub(crate) top: Vec<TopWindows>,
    /// `[unit, slot, position]`.
    pub(crate) top_activations: Vec<f32>,
    pub(crate) strata: Vec<Strata>,
    /// `[unit, place, position]`.
    pub(crate) random_activations: Vec<f32>,
    pub(crate) tokens: TokenTable,
    /// Working memory.
    statistics: WindowStatistics,
    thresholds: Vec<f32>,
}

impl Block {
    pub(super) fn new(first: usize, units: usize, context: usize, kept: usize) -> Self {
        Self {
            first,
            units,
            context,
            sums: ExactSums::new(units),
            positive: vec![0; units],
            extremes: vec![Extremes::NONE; units],
            histogram: vec![0; units * BUCKETS],
            top: vec![TopWindows::default(); units],
            top_activations: vec![0.0; units * super::TOP * context],
            strata: vec![Strata::default(); units],
            random_activations: vec![0.0; units * RANDOM * context],
            tokens: TokenTable::new(kept, units),
            statistics: WindowStatistics::new(units),
            thresholds: vec![f32::NEG_INFINITY; units],
        }
    }

    /// Takes in one window; `false` if it holds activations that are no finite numbers.
    pub(super) fn record(&mut self, window: &WindowRows<'_>) -> bool {
        let counted = window.counted();
        self.statistics.compute(counted, window.width, self.first);
        if !self.statistics.powers[1].iter().all(|sum| sum.is_finite()) {
            return false;
        }
        self.sums.add(&self.statistics.powers);
        count_buckets(counted, window.width, self.first, &mut self.histogram);
        for (count, positive) in self.positive.iter_mut().zip(&self.statistics.positive) {
            *count += u64::from(*positive);
        }
        for unit in 0..self.units {
            self.record_extremes(unit, window);
            let max = self.statistics.max[unit];
            if max >= self.thresholds[unit] {
                self.record_top(unit, max, window);
            }
            let column = self.first + unit;
            self.strata[unit].offer(max, window.priority, self.context, |into| window.gather(column, into));
            if let Some(place) = window.random {
                let first = (unit * RANDOM + place) * self.context;
                window.gather(column, &mut self.random_activations[first..first + self.context]);
            }
        }
        true
    }

    fn record_extremes(&mut self, unit: usize, window: &WindowRows<'_>) {
        let extremes = &mut self.extremes[unit];
        extremes.min = extremes.min.min(self.statistics.min[unit]);
        let max = self.statistics.max[unit];
        if Extremes::wins(max, window.id, extremes) {
            let column = window.counted()[self.first + unit..].iter().step_by(window.width);
            let position = column.clone().position(|value| *value == max).unwrap_or(0) + window.ignored;
            *extremes = Extremes { min: extremes.min, max, window: window.id, position: position as u32 };
        }
    }

    fn record_top(&mut self, unit: usize, max: f32, window: &WindowRows<'_>) {
        if let Some(slot) = self.top[unit].offer(max, window.id) {
            let first = (unit * super::TOP + slot) * self.context;
            window.gather(self.first + unit, &mut self.top_activations[first..first + self.context]);
            self.thresholds[unit] = self.top[unit].threshold();
        }
    }

    /// Adds the state of other windows of the same units; `random` says which random places they filled.
    pub(super) fn merge(&mut self, other: Self, random: &[usize]) {
        self.sums.merge(&other.sums);
        self.tokens.merge(&other.tokens);
        self.positive.iter_mut().zip(&other.positive).for_each(|(mine, theirs)| *mine += theirs);
        self.histogram.iter_mut().zip(&other.histogram).for_each(|(mine, theirs)| *mine += theirs);
        for (mine, theirs) in self.extremes.iter_mut().zip(&other.extremes) {
            let min = mine.min.min(theirs.min);
            if Extremes::wins(theirs.max, theirs.window, mine) {
                *mine = *theirs;
            }
            mine.min = min;
        }
        let context = self.context;
        for (unit, top) in other.top.iter().enumerate() {
            for entry in top.entries() {
                if let Some(slot) = self.top[unit].offer(entry.max, entry.window) {
                    let from = other.top_activations(unit, entry.slot);
                    let first = (unit * super::TOP + slot) * context;
                    self.top_activations[first..first + context].copy_from_slice(from);
                }
            }
            self.thresholds[unit] = self.top[unit].threshold();
            for place in random {
                let first = (unit * RANDOM + place) * context;
                let from = &other.random_activations[first..first + context];
                self.random_activations[first..first + context].copy_from_slice(from);
            }
        }
        for (mine, theirs) in self.strata.iter_mut().zip(other.strata) {
            mine.merge(theirs, context);
        }
    }

    /// The activations of an entry of a unit's top list.
    pub(crate) fn top_activations(&self, unit: usize, slot: u32) -> &[f32] {
        &self.top_activations[(unit * super::TOP + slot as usize) * self.context..][..self.context]
    }

    /// The activations of a unit in a random window.
    pub(crate) fn random_activations(&self, unit: usize, place: usize) -> &[f32] {
        &self.random_activations[(unit * RANDOM + place) * self.context..][..self.context]
    }

    /// The histogram of a unit.
    pub(crate) fn histogram(&self, unit: usize) -> &[u32] {
        &self.histogram[unit * BUCKETS..][..BUCKETS]
    }

    /// After loading: what follows from the rest.
    pub(super) fn refresh(&mut self) {
        self.thresholds = self.top.iter().map(TopWindows::threshold).collect();
    }
}
