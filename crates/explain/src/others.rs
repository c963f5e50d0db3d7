//! Other units' explanations: what a score has to beat.
//!
//! Each unit is given one of those that are scored with it: of the units of its hook point that are selected and explained,
//! the other one with the smallest hash of the seed and both. So the choice depends on no order, one more unit changes it
//! only for those to which it is the nearest by hash, and a run that was killed goes on with the same choices. Scores name
//! the unit whose explanation they are of.

use std::collections::BTreeMap;

use glossator_atlas::{Atlas, Score};
use glossator_model::{HookPoint, UnitId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ExplainError;

/// What the name of a scorer begins with that scores another unit's explanation.
pub const OTHER_UNIT: &str = "other-unit:";

/// The units among which others are chosen.
pub(crate) struct Others {
    seed: u64,
    explained: BTreeMap<HookPoint, Vec<u32>>,
}

impl Others {
    /// Among those of `units`, which are sorted, that `explainer` has explained.
    pub(crate) fn among(
        atlas: &Atlas,
        explainer: &str,
        units: &[UnitId],
        seed: u64,
    ) -> Result<Self, ExplainError> {
        let mut found = BTreeMap::new();
        for units in units.chunk_by(|a, b| a.hook == b.hook) {
            let hook = units[0].hook;
            let explained = atlas.explained(hook, explainer)?;
            let indices = units.iter().map(|unit| unit.index).filter(|index| explained.contains(index));
            found.insert(hook, indices.collect());
        }
        Ok(Self { seed, explained: found })
    }

    /// The units that are explained, in order.
    pub(crate) fn units(&self) -> impl Iterator<Item = UnitId> {
        self.explained
            .iter()
            .flat_map(|(&hook, indices)| indices.iter().map(move |&index| UnitId { hook, index }))
    }

    /// The other unit of a unit; none where it is alone.
    pub(crate) fn of(&self, unit: UnitId) -> Option<UnitId> {
        let others = self.explained.get(&unit.hook)?.iter().copied().filter(|index| *index != unit.index);
        let hash = |index: &u32| {
            let mut key = [0; 8];
            key[..4].copy_from_slice(&unit.index.to_le_bytes());
            key[4..].copy_from_slice(&index.to_le_bytes());
            (xxh3_64_with_seed(&key, self.seed), *index)
        };
        others.min_by_key(hash).map(|index| UnitId { index, ..unit })
    }
}

/// Says on scores whose explanation they are of.
pub(crate) fn name_on(other: UnitId, scores: &mut [Score]) {
    for score in scores {
        let named = format!("the explanation of {other}");
        score.remark = Some(match score.remark.take() {
            Some(remark) => format!("{named}; {remark}"),
            None => named,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(indices: impl Iterator<Item = u32>, seed: u64) -> Others {
        Others { seed, explained: BTreeMap::from([(HookPoint::mlp_post(0), indices.collect())]) }
    }

    #[test]
    fn a_choice_changes_only_for_a_nearer_unit() {
        let unit = |index| UnitId { hook: HookPoint::mlp_post(0), index };
        let (few, more) = (others((0..50).map(|index| 2 * index), 3), others(0..100, 3));
        let mut kept = 0;
        for index in 0..100 {
            let (before, after) = (few.of(unit(index)).unwrap(), more.of(unit(index)).unwrap());
            assert!(before.index != index && after.index != index && before.index % 2 == 0);
            assert!(after == before || after.index % 2 == 1, "what was there does not overtake");
            kept += usize::from(after == before);
        }
        assert!((30..70).contains(&kept), "about half are odd: {kept}");
        let mut drawn: Vec<u32> = (0..100).filter_map(|index| Some(more.of(unit(index))?.index)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert!(drawn.len() > 40, "many different ones: {drawn:?}");
        assert!((0..100).any(|index| more.of(unit(index)) != others(0..100, 4).of(unit(index))));
        assert_eq!(others(7..8, 0).of(unit(7)), None);
        assert_eq!(others(7..8, 0).of(UnitId { hook: HookPoint::mlp_post(1), index: 0 }), None);
    }
}
