//! What stands before a unit's strata: decides on three cache lines where a window belongs and whether it could
//! be kept. Nearly all windows are only counted, and the strata themselves, far apart in memory, stay
//! untouched.

use super::strata::{FIRST_SHIFT, MAX_STRATA, Strata, ordered};

/// Keys and thresholds of a unit's strata, and the windows they have not been told of.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Gate {
    /// The strata's keys, ascending, then [`NO_KEY`].
    keys: [i16; MAX_STRATA],
    shift: u8,
    /// Windows that the strata do not count yet.
    counts: [u32; MAX_STRATA],
    /// Upper half of the largest priority that a stratum keeps, if it keeps as many as it may.
    limits: [u32; MAX_STRATA],
}

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is counted, and that is all.
    Counted,
    /// It is counted, and the stratum at this place may keep it.
    Keep(usize),
    /// It is not counted, as its stratum is not there yet.
    New,
}

/// Larger than every key: keys are below 2^(32 − [`FIRST_SHIFT`]).
const NO_KEY: i16 = i16::MAX;
const _: () = assert!(32 - FIRST_SHIFT < 15);

/// Memory per unit.
pub(super) const GATE_BYTES: u64 = std::mem::size_of::<Gate>() as u64;

impl Gate {
    /// Before these strata, which count all windows they were offered.
    pub(super) fn new(strata: &Strata) -> Self {
        let mut gate = Self {
            keys: [NO_KEY; MAX_STRATA],
            shift: strata.shift(),
            counts: [0; MAX_STRATA],
            limits: [0; MAX_STRATA],
        };
        for (place, stratum) in strata.strata().iter().enumerate() {
            gate.keys[place] = Strata::key(stratum) as i16;
            gate.limits[place] = stratum.limit();
        }
        gate
    }

    /// Counts a window, unless it belongs to a stratum that is not there yet.
    pub(super) fn judge(&mut self, max: f32, priority: u64) -> Verdict {
        let key = (ordered(max) >> self.shift) as i16;
        // Without a branch: which stratum it is cannot be predicted.
        let place = self.keys.iter().map(|other| i16::from(*other < key)).sum::<i16>() as usize;
        if self.keys.get(place) != Some(&key) {
            return Verdict::New;
        }
        self.counts[place] += 1;
        if (priority >> 32) as u32 <= self.limits[place] { Verdict::Keep(place) } else { Verdict::Counted }
    }

    /// Hands a window that was judged [`Verdict::Keep`] to its stratum; `activations` supplies the values to store.
    pub(super) fn keep(
        &mut self,
        strata: &mut Strata,
        place: usize,
        priority: u64,
        context: usize,
        activations: impl FnOnce(&mut [f32]),
    ) {
        self.limits[place] = strata.keep(place, priority, context, activations);
    }

    /// Hands a window that was judged [`Verdict::New`] to the strata; places that were found before are no longer valid.
    pub(super) fn enter(
        &mut self,
        strata: &mut Strata,
        max: f32,
        priority: u64,
        context: usize,
        activations: impl FnOnce(&mut [f32]),
    ) {
        self.settle(strata);
        strata.offer(max, priority, context, activations);
        *self = Self::new(strata);
    }

    /// Tells the strata of the windows that were counted here.
    pub(super) fn settle(&mut self, strata: &mut Strata) {
        strata.count(&std::mem::take(&mut self.counts));
    }
}
