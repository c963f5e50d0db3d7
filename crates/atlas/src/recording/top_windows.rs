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
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TopWindows(Vec<TopWindow>);

impl TopWindows {
    /// Enters a window if it belongs on the list; the answer is the slot for its activations.
    pub(super) fn offer(&mut self, max: f32, window: u32) -> Option<usize> {
        let mut entry = TopWindow { max, window, slot: self.0.len() as u32 };
        if self.0.len() == TOP {
            match self.0.pop() {
                Some(last) if entry.beats(last) => entry.slot = last.slot,
                last => {
                    self.0.extend(last);
                    return None;
                }
            }
        }
        let place = self.0.partition_point(|other| other.beats(entry));
        self.0.insert(place, entry);
        Some(entry.slot as usize)
    }

    /// What a window's maximum must at least be to enter.
    pub(super) fn threshold(&self) -> f32 {
        if self.0.len() < TOP { f32::NEG_INFINITY } else { self.0[TOP - 1].max }
    }

    /// The list, best first.
    pub(crate) fn entries(&self) -> &[TopWindow] {
        &self.0
    }

    /// A list from storage, if it is one: sorted, not too long, every slot used once.
    pub(super) fn from_entries(entries: Vec<TopWindow>) -> Option<Self> {
        let mut slots = [false; TOP];
        let sorted = entries.windows(2).all(|pair| pair[0].beats(pair[1]));
        let places = entries.iter().all(|entry| {
            slots.get_mut(entry.slot as usize).is_some_and(|used| !std::mem::replace(used, true))
                && (entry.slot as usize) < entries.len()
                && !entry.max.is_nan()
        });
        (sorted && places && entries.len() <= TOP).then_some(Self(entries))
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
            prop_assert!(TopWindows::from_entries(list.entries().to_vec()).is_some());
        }
    }
}
