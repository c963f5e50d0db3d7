//! A sample of windows over the whole range of the window maximum, from which the quantile intervals are
//! filled.
//!
//! The maximum falls into a stratum: its float bits, put in numerical order, shifted right. The shift
//! starts at 20 (eight strata to the octave) and grows by one, joining neighbours, whenever more than 16
//! strata hold windows. A stratum counts its windows and keeps the 5 of smallest priority. Both the shift
//! and the content depend on the set of windows only: joining keeps the smallest priorities of the union,
//! and the number of strata in use at a given shift only grows with the set. As an interval is a run of whole
//! strata, the 5 smallest priorities in it are a uniform sample of its windows.

use glossator_kernels::prefetch;

use super::priority::window_of;

/// Most strata in use.
pub(crate) const MAX_STRATA: usize = 16;
/// Windows kept per stratum.
pub(crate) const PER_STRATUM: usize = 5;
/// Windows of a unit whose activations are held at once: all kept, and the first of a stratum too many.
pub(crate) const SLOTS: usize = MAX_STRATA * PER_STRATUM + 1;
/// The first shift.
pub(super) const FIRST_SHIFT: u8 = 20;
/// Memory per unit besides the activations.
pub(super) const STRATA_BYTES: u64 =
    (std::mem::size_of::<Strata>() + (MAX_STRATA + 1) * size_of::<Stratum>()) as u64;

/// A kept window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    /// Its priority, which holds its number.
    pub(crate) priority: u64,
    /// Where its activations are stored.
    pub(crate) slot: u32,
}

impl Kept {
    /// The window's number.
    pub(crate) fn window(self) -> u32 {
        window_of(self.priority)
    }
}

/// A range of the window maximum.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stratum {
    /// The ordered bits of its values, shifted.
    key: u32,
    /// Windows in it.
    pub(crate) count: u32,
    kept: [Kept; PER_STRATUM],
    used: u8,
}

impl Stratum {
    /// The kept windows, smallest priority first.
    pub(crate) fn kept(&self) -> &[Kept] {
        &self.kept[..self.used as usize]
    }

    /// No window whose priority has a larger upper half than this is kept.
    pub(super) fn limit(&self) -> u32 {
        let full = self.used as usize == PER_STRATUM;
        if full { (self.kept[PER_STRATUM - 1].priority >> 32) as u32 } else { u32::MAX }
    }

    /// Enters a window; what drops out (perhaps the window itself) comes back.
    fn enter(&mut self, kept: Kept) -> Option<Kept> {
        let used = self.used as usize;
        let place = self.kept[..used].partition_point(|other| *other < kept);
        if place == PER_STRATUM {
            return Some(kept);
        }
        let dropped = (used == PER_STRATUM).then(|| self.kept[PER_STRATUM - 1]);
        self.used = (used + 1).min(PER_STRATUM) as u8;
        self.kept[place..self.used as usize].rotate_right(1);
        self.kept[place] = kept;
        dropped
    }
}

/// A stratum in storage: key, count, and the kept windows with their activations.
pub(super) type StratumParts = (u32, u32, Vec<(u64, Vec<f32>)>);

/// A unit's strata, lowest values first, and the activations of the kept windows.
#[derive(Clone, Debug)]
pub(crate) struct Strata {
    shift: u8,
    #[expect(clippy::struct_field_names, reason = "they are the strata")]
    strata: Vec<Stratum>,
    /// `[slot, position]`.
    activations: Vec<f32>,
    free: Vec<u32>,
}

impl Default for Strata {
    fn default() -> Self {
        Self { shift: FIRST_SHIFT, strata: Vec::new(), activations: Vec::new(), free: Vec::new() }
    }
}

/// Float bits in numerical order.
pub(super) fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The float of ordered bits.
fn unordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

impl Strata {
    /// Counts a window. If it is kept, `activations` supplies the values to store.
    pub(super) fn offer(
        &mut self,
        max: f32,
        priority: u64,
        context: usize,
        activations: impl FnOnce(&mut [f32]),
    ) {
        let key = ordered(max) >> self.shift;
        let place = self.strata.partition_point(|stratum| stratum.key < key);
        if self.strata.get(place).is_none_or(|stratum| stratum.key != key) {
            self.strata.reserve_exact(MAX_STRATA + 1 - self.strata.len());
            self.strata.insert(place, Stratum { key, ..Stratum::default() });
        }
        self.strata[place].count += 1;
        self.keep(place, priority, context, activations);
        while self.strata.len() > MAX_STRATA {
            self.coarsen();
        }
    }

    /// Keeps a window of a stratum, without counting it, if its priority is small enough; the answer is the stratum's
    /// [`Stratum::limit`].
    pub(super) fn keep(
        &mut self,
        place: usize,
        priority: u64,
        context: usize,
        activations: impl FnOnce(&mut [f32]),
    ) -> u32 {
        let stratum = &mut self.strata[place];
        let full = stratum.used as usize == PER_STRATUM;
        if !full || priority < stratum.kept[PER_STRATUM - 1].priority {
            let slot = self.free.pop().unwrap_or_else(|| grow(&mut self.activations, context));
            activations(&mut self.activations[slot as usize * context..][..context]);
            if let Some(dropped) = stratum.enter(Kept { priority, slot }) {
                self.free.push(dropped.slot);
            }
        }
        stratum.limit()
    }

    /// Asks the cache for what [`Strata::keep`] will touch.
    pub(super) fn prefetch(&self, place: usize, context: usize) {
        prefetch(&self.strata[place..=place]);
        if let Some(slot) = self.free.last() {
            prefetch(&self.activations[*slot as usize * context..][..context]);
        }
    }

    /// Counts windows, as many for each stratum in turn.
    pub(super) fn count(&mut self, windows: &[u32; MAX_STRATA]) {
        for (stratum, windows) in self.strata.iter_mut().zip(windows) {
            stratum.count += windows;
        }
    }

    /// Adds the windows of other strata, which hold none of these.
    pub(super) fn merge(&mut self, mut other: Self, context: usize) {
        while self.shift < other.shift {
            self.coarsen();
        }
        while other.shift < self.shift {
            other.coarsen();
        }
        for stratum in other.strata {
            let place = self.strata.partition_point(|mine| mine.key < stratum.key);
            if self.strata.get(place).is_none_or(|mine| mine.key != stratum.key) {
                self.strata.insert(place, Stratum { key: stratum.key, ..Stratum::default() });
            }
            self.strata[place].count += stratum.count;
            for kept in stratum.kept() {
                let slot = self.free.pop().unwrap_or_else(|| grow(&mut self.activations, context));
                let values = &other.activations[kept.slot as usize * context..][..context];
                self.activations[slot as usize * context..][..context].copy_from_slice(values);
                if let Some(dropped) = self.strata[place].enter(Kept { priority: kept.priority, slot }) {
                    self.free.push(dropped.slot);
                }
            }
        }
        while self.strata.len() > MAX_STRATA {
            self.coarsen();
        }
    }

    /// Doubles the width of the strata.
    fn coarsen(&mut self) {
        self.shift += 1;
        let mut joined: Vec<Stratum> = Vec::with_capacity(MAX_STRATA + 1);
        for mut stratum in self.strata.drain(..) {
            stratum.key >>= 1;
            match joined.last_mut() {
                Some(last) if last.key == stratum.key => {
                    last.count += stratum.count;
                    let dropped = stratum.kept().iter().filter_map(|kept| last.enter(*kept));
                    self.free.extend(dropped.map(|kept| kept.slot));
                }
                _ => joined.push(stratum),
            }
        }
        self.strata = joined;
    }

    /// The strata in use, lowest values first.
    pub(crate) fn strata(&self) -> &[Stratum] {
        &self.strata
    }

    /// The smallest and the largest value that fall into a stratum.
    pub(crate) fn edges(&self, stratum: &Stratum) -> (f32, f32) {
        let low = stratum.key << self.shift;
        let infinite = |value: f32| if value.is_nan() { f32::INFINITY.copysign(value) } else { value };
        (infinite(unordered(low)), infinite(unordered(low | ((1 << self.shift) - 1))))
    }

    /// The activations of a kept window.
    pub(crate) fn activations(&self, kept: Kept, context: usize) -> &[f32] {
        &self.activations[kept.slot as usize * context..][..context]
    }

    /// The shift, for storage.
    pub(super) fn shift(&self) -> u8 {
        self.shift
    }

    /// Strata from storage: shift, and per stratum key, count and kept windows with their activations.
    /// Nothing if they cannot be strata.
    pub(super) fn from_parts(shift: u8, parts: Vec<StratumParts>) -> Option<Self> {
        if !(FIRST_SHIFT..32).contains(&shift) || parts.len() > MAX_STRATA {
            return None;
        }
        let mut built = Self { shift, ..Self::default() };
        for (key, count, kept) in parts {
            let ascending = built.strata.last().is_none_or(|last| last.key < key);
            if !ascending
                || key > u32::MAX >> shift
                || kept.len() > PER_STRATUM
                || kept.len() > count as usize
            {
                return None;
            }
            let mut stratum = Stratum { key, count, ..Stratum::default() };
            for (priority, values) in kept {
                let context = values.len();
                let slot = grow(&mut built.activations, context);
                built.activations[slot as usize * context..][..context].copy_from_slice(&values);
                stratum.enter(Kept { priority, slot });
            }
            built.strata.push(stratum);
        }
        Some(built)
    }

    /// The key of a stratum, for storage.
    pub(super) fn key(stratum: &Stratum) -> u32 {
        stratum.key
    }
}

/// One more slot. Room for all is reserved at once, and taken from the system as it is filled.
fn grow(activations: &mut Vec<f32>, context: usize) -> u32 {
    let slot = activations.len() / context;
    if activations.capacity() == 0 {
        activations.reserve_exact(context * SLOTS);
    }
    activations.resize(activations.len() + context, 0.0);
    slot as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::gate::{Gate, Verdict};
    use super::*;

    /// What strata should hold, computed from all windows at once.
    fn naive(windows: &[(f32, u64)]) -> Vec<(u32, Vec<u64>)> {
        for shift in FIRST_SHIFT..32 {
            let mut strata = std::collections::BTreeMap::<u32, Vec<u64>>::new();
            for (max, priority) in windows {
                strata.entry(ordered(*max) >> shift).or_default().push(*priority);
            }
            if strata.len() <= MAX_STRATA {
                let best = |mut priorities: Vec<u64>| {
                    let count = priorities.len() as u32;
                    priorities.sort_unstable();
                    priorities.truncate(PER_STRATUM);
                    (count, priorities)
                };
                return strata.into_values().map(best).collect();
            }
        }
        unreachable!("a shift of 31 leaves two strata")
    }

    fn build(windows: &[(f32, u64)]) -> Strata {
        let mut strata = Strata::default();
        let mut gate = Gate::new(&strata);
        for (max, priority) in windows {
            let values = |values: &mut [f32]| values.copy_from_slice(&[*max, *priority as f32]);
            match gate.judge(*max, *priority) {
                Verdict::Counted => {}
                Verdict::Keep(place) => gate.keep(&mut strata, place, *priority, 2, values),
                Verdict::New => gate.enter(&mut strata, *max, *priority, 2, values),
            }
        }
        gate.settle(&mut strata);
        strata
    }

    fn content(strata: &Strata) -> Vec<(u32, Vec<u64>)> {
        let kept = |stratum: &Stratum| stratum.kept().iter().map(|kept| kept.priority).collect();
        strata.strata().iter().map(|stratum| (stratum.count, kept(stratum))).collect()
    }

    proptest! {
        #[test]
        fn are_a_function_of_the_set(
            maxima in prop::collection::vec(prop_oneof![Just(0.0_f32), -10.0_f32..10.0, 1e-6_f32..1e6], 1..200),
            cut in 0_usize..200,
        ) {
            let windows: Vec<(f32, u64)> = maxima
                .iter()
                .enumerate()
                .map(|(window, max)| (*max, super::super::priority::priority(1, super::super::priority::Purpose::Quantile, window as u32)))
                .collect();
            let whole = build(&windows);
            prop_assert_eq!(content(&whole), naive(&windows));
            let (first, second) = windows.split_at(cut.min(windows.len()));
            let mut merged = build(second);
            merged.merge(build(first), 2);
            prop_assert_eq!(content(&merged), content(&whole));
            prop_assert_eq!(merged.shift, whole.shift);
            for stratum in merged.strata() {
                let (low, high) = merged.edges(stratum);
                for kept in stratum.kept() {
                    let values = merged.activations(*kept, 2);
                    prop_assert!(low <= values[0] && values[0] <= high, "{} in {low}..{high}", values[0]);
                    prop_assert_eq!(values[1], kept.priority as f32);
                }
            }
        }
    }
}
