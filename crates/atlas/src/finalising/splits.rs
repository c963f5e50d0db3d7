//! Which split each of a unit's windows belongs to: one per window, the top list's rank deciding first, then
//! the random list's place; a window on neither is for training.

use std::collections::BTreeMap;

use crate::excerpt::Split;

/// The splits of a unit's windows.
pub(crate) struct Splits(BTreeMap<u32, Split>);

impl Splits {
    /// From the top windows by rank and the random windows by place.
    pub(crate) fn new(top: impl Iterator<Item = u32>, random: &[u32]) -> Self {
        let mut splits = BTreeMap::new();
        splits.extend(random.iter().enumerate().map(|(place, window)| (*window, Split::of_random(place))));
        splits.extend(top.enumerate().map(|(rank, window)| (window, Split::of_top(rank))));
        Self(splits)
    }

    /// The split of a window.
    pub(crate) fn of(&self, window: u32) -> Split {
        self.0.get(&window).copied().unwrap_or(Split::Train)
    }
}
