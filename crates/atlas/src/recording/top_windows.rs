//! The windows with the largest maximum of each unit: value descending, then window number ascending.

/// Windows kept per unit.
pub(crate) const TOP: usize = 20;
/// Memory per entry besides the activations.
pub(super) const ENTRY_BYTES: u64 = std::mem::size_of::<TopWindow>() as u64;

/// One place on a unit's list.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TopWindow {
    /// The window's maximum at counted positions.
    pub(crate) max: f32,
    /// The window.
    pub(crate) window: u32,
    /// Where its activations are stored, below [`TOP`].
    pub(crate) slot: u32,
}

impl TopWindow {
    fn beats(self, other: Self) -> bool {
        self.max > other.max || (self.max == other.max && self.window < other.window)
    }
}

/// A unit's list, best first. The activations live with the caller, in [`TOP`] slots.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopWindows {
    entries: [TopWindow; TOP],
    used: u8,
}

impl TopWindows {
    /// Enters a window if it belongs on the list; the answer is the slot for its activations.
    pub(super) fn offer(&mut self, max: f32, window: u32) -> Option<usize> {
        let used = self.entries().len();
        let mut entry = TopWindow { max, window, slot: used as u32 };
        if used == TOP {
            let last = self.entries[TOP - 1];
            if !entry.beats(last) {
                return None;
            }
            entry.slot = last.slot;
        }
        let place = self.entries().partition_point(|other| other.beats(entry));
        let now = (used + 1).min(TOP);
        self.entries[place..now].rotate_right(1);
        self.entries[place] = entry;
        self.used = now as u8;
        Some(entry.slot as usize)
    }

    /// What a window's maximum must at least be to enter.
    pub(super) fn threshold(&self) -> f32 {
        if self.entries().len() < TOP { f32::NEG_INFINITY } else { self.entries[TOP - 1].max }
    }

    /// The list, best first.
    pub(crate) fn entries(&self) -> &[TopWindow] {
        &self.entries[..self.used as usize]
    }

    /// A list from storage, if it is one: sorted, not too long, every slot used once.
    pub(super) fn from_entries(entries: &[TopWindow]) -> Option<Self> {
        let mut slots = [false; TOP];
        let sorted = entries.windows(2).all(|pair| pair[0].beats(pair[1]));
        let places = entries.iter().all(|entry| {
            slots.get_mut(entry.slot as usize).is_some_and(|used| !std::mem::replace(used, true))
                && (entry.slot as usize) < entries.len()
                && !entry.max.is_nan()
        });
        if !sorted || !places || entries.len() > TOP {
            return None;
        }
        let mut list = Self { used: entries.len() as u8, ..Self::default() };
        list.entries[..entries.len()].copy_from_slice(entries);
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_the_best_in_any_order(values in prop::collection::vec(-3_i8..4, 0..80), turn in 0_usize..80) {
            let mut windows: Vec<(f32, u32)> =
                values.iter().enumerate().map(|(window, max)| (f32::from(*max), window as u32)).collect();
            let mut expected = windows.clone();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            expected.truncate(TOP);
            let turn = turn % windows.len().max(1);
            windows.rotate_left(turn);
            let mut list = TopWindows::default();
            let mut stored = [u32::MAX; TOP];
            for (max, window) in windows {
                prop_assert!(max >= list.threshold() || list.clone().offer(max, window).is_none());
                if let Some(slot) = list.offer(max, window) {
                    stored[slot] = window;
                }
            }
            let found: Vec<_> = list.entries().iter().map(|entry| (entry.max, entry.window)).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(list.entries().iter().all(|entry| stored[entry.slot as usize] == entry.window));
            prop_assert!(TopWindows::from_entries(list.entries()).is_some());
        }
    }
}
