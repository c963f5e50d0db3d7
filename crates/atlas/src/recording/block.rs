//! The recorded state of a block of neighbouring units of one hook point.

use glossator_kernels::prefetch;
use glossator_kernels::statistics::{BUCKETS, ExactSums, LIMBS, WindowStatistics};

use super::RANDOM;
use super::columns::Columns;
use super::gate::{Gate, Verdict};
use super::products::Products;
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
pub(super) struct WindowPlace {
    pub(super) id: u32,
    /// Its priority for the quantile sample.
    pub(super) priority: u64,
    /// Its place among the random windows, if it is one.
    pub(super) random: Option<usize>,
    /// Positions at the start that do not count.
    pub(super) ignored: usize,
}

/// The state of units `first..first + units`.
#[derive(Debug)]
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
    /// Behind [`Block::gates`], which may know of more windows.
    strata: Vec<Strata>,
    gates: Vec<Gate>,
    /// `[unit, place, position]`.
    pub(crate) random_activations: Vec<f32>,
    pub(crate) tokens: TokenTable,
    /// For features: with the neurons of a layer.
    pub(crate) products: Option<Products>,
    /// `[unit]`: what a window's maximum must at least be to enter the top list.
    thresholds: Vec<f32>,
}

impl Block {
    pub(super) fn new(first: usize, units: usize, context: usize, tokens: TokenTable) -> Self {
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
            gates: vec![Gate::new(&Strata::default()); units],
            random_activations: vec![0.0; units * RANDOM * context],
            tokens,
            products: None,
            thresholds: vec![f32::NEG_INFINITY; units],
        }
    }

    /// Takes in some windows, each with its rows `[position, width]` of all units of the hook point: everything but the
    /// token table. The answer is the size of the largest activation of each; or the number of a window that holds
    /// activations that are no finite numbers.
    pub(super) fn record(
        &mut self,
        windows: &[WindowPlace],
        rows: &[&[f32]],
        width: usize,
    ) -> Result<Vec<f32>, u32> {
        let mut columns: Vec<Columns<'_>> = rows.iter().map(|rows| Columns::new(rows, width)).collect();
        let (mut maxima, mut largest) =
            (Vec::with_capacity(windows.len()), Vec::with_capacity(windows.len()));
        let mut statistics = WindowStatistics::new(self.units);
        for (window, rows) in windows.iter().zip(rows) {
            let counted = &rows[window.ignored * width..];
            statistics.compute(counted, width, self.first, &mut self.histogram);
            if !statistics.powers[1].iter().all(|sum| sum.is_finite()) {
                return Err(window.id);
            }
            self.sums.add(&statistics.powers);
            for (count, positive) in self.positive.iter_mut().zip(&statistics.positive) {
                *count += u64::from(*positive);
            }
            for (extremes, min) in self.extremes.iter_mut().zip(&statistics.min) {
                extremes.min = extremes.min.min(*min);
            }
            let extremes = statistics.min.iter().chain(&statistics.max);
            largest.push(extremes.fold(0.0, |largest, value| value.abs().max(largest)));
            maxima.push(statistics.max.clone());
        }
        self.record_excerpts(windows, &maxima, &mut columns, self.first);
        Ok(largest)
    }

    /// The excerpts, from the maxima `[window][unit]`; the block's units begin at `first` of `columns`.
    pub(super) fn record_excerpts(
        &mut self,
        windows: &[WindowPlace],
        maxima: &[Vec<f32>],
        columns: &mut [Columns<'_>],
        first: usize,
    ) {
        self.record_tops(windows, maxima, columns, first);
        self.record_samples(windows, maxima, columns, first);
        for (window, columns) in windows.iter().zip(columns) {
            let Some(place) = window.random else { continue };
            for unit in 0..self.units {
                let start = (unit * RANDOM + place) * self.context;
                columns.read(first + unit, &mut self.random_activations[start..start + self.context]);
            }
        }
    }

    /// The top lists: which windows could enter is found first, so that the lists are fetched together.
    fn record_tops(
        &mut self,
        windows: &[WindowPlace],
        maxima: &[Vec<f32>],
        columns: &mut [Columns<'_>],
        first: usize,
    ) {
        let mut candidates = Vec::new();
        for (unit, threshold) in self.thresholds.iter().enumerate() {
            for (window, maxima) in maxima.iter().enumerate() {
                if maxima[unit] >= *threshold {
                    prefetch(&self.top[unit..=unit]);
                    candidates.push((unit, window));
                }
            }
        }
        for (unit, window) in candidates {
            let (max, columns) = (maxima[window][unit], &mut columns[window]);
            let read = |into: &mut [f32]| columns.read(first + unit, into);
            self.record_top(unit, max, &windows[window], read);
        }
    }

    /// The quantile samples, in the same way.
    fn record_samples(
        &mut self,
        windows: &[WindowPlace],
        maxima: &[Vec<f32>],
        columns: &mut [Columns<'_>],
        first: usize,
    ) {
        let context = self.context;
        let mut waiting = Vec::new();
        for unit in 0..self.units {
            let column = first + unit;
            let own = waiting.len();
            for (index, (window, maxima)) in windows.iter().zip(maxima).enumerate() {
                match self.gates[unit].judge(maxima[unit], window.priority) {
                    Verdict::Counted => {}
                    Verdict::Keep(place) => {
                        self.strata[unit].prefetch(place, context);
                        waiting.push((unit, place, index));
                    }
                    Verdict::New => {
                        // The places of those that wait would change.
                        for (unit, place, index) in waiting.drain(own..) {
                            let read = |into: &mut [f32]| columns[index].read(column, into);
                            self.keep(unit, place, windows[index].priority, read);
                        }
                        let read = |into: &mut [f32]| columns[index].read(column, into);
                        let strata = &mut self.strata[unit];
                        self.gates[unit].enter(strata, maxima[unit], window.priority, context, read);
                    }
                }
            }
        }
        for (unit, place, index) in waiting {
            let read = |into: &mut [f32]| columns[index].read(first + unit, into);
            self.keep(unit, place, windows[index].priority, read);
        }
    }

    fn keep(&mut self, unit: usize, place: usize, priority: u64, read: impl FnOnce(&mut [f32])) {
        self.gates[unit].keep(&mut self.strata[unit], place, priority, self.context, read);
    }

    /// A window whose maximum is large enough for the top list. The unit's maximum is that of the list's first, so
    /// no other window can change it.
    fn record_top(&mut self, unit: usize, max: f32, window: &WindowPlace, read: impl FnOnce(&mut [f32])) {
        let Some(slot) = self.top[unit].offer(max, window.id) else { return };
        self.thresholds[unit] = self.top[unit].threshold();
        let first = (unit * super::TOP + slot) * self.context;
        let values = &mut self.top_activations[first..first + self.context];
        read(values);
        let extremes = &mut self.extremes[unit];
        if Extremes::wins(max, window.id, extremes) {
            let counted = values[window.ignored..].iter();
            let position = counted.clone().position(|value| *value == max).unwrap_or(0) + window.ignored;
            *extremes = Extremes { min: extremes.min, max, window: window.id, position: position as u32 };
        }
    }

    /// Adds the state of other windows of the same units; `random` says which random places they filled.
    pub(super) fn merge(&mut self, mut other: Self, random: &[usize]) {
        self.settle();
        other.settle();
        self.sums.merge(&other.sums);
        self.tokens.merge(&other.tokens);
        if let (Some(mine), Some(theirs)) = (&mut self.products, &other.products) {
            mine.merge(theirs);
        }
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
        for ((mine, gate), theirs) in self.strata.iter_mut().zip(&mut self.gates).zip(other.strata) {
            mine.merge(theirs, context);
            *gate = Gate::new(mine);
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

    /// After loading: the strata, and what follows from the rest.
    pub(super) fn refresh(&mut self, strata: Vec<Strata>) {
        self.thresholds = self.top.iter().map(TopWindows::threshold).collect();
        self.gates = strata.iter().map(Gate::new).collect();
        self.strata = strata;
    }

    /// Brings the strata up to date, so that [`Block::strata`] can be read.
    pub(crate) fn settle(&mut self) -> &Self {
        for (gate, strata) in self.gates.iter_mut().zip(&mut self.strata) {
            gate.settle(strata);
        }
        self
    }

    /// The strata of each unit, as of the last [`Block::settle`].
    pub(crate) fn strata(&self) -> &[Strata] {
        &self.strata
    }
}
