//! Which units a run has still to score. What is stored is not done again, so that a run that was stopped goes on where it
//! was.

use std::collections::BTreeSet;

use glossator_atlas::{Atlas, Split};
use glossator_model::UnitId;

use crate::ExplainError;

/// Scores that are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whose explanations.
    pub explainer: &'a str,
    /// By whom.
    pub scorer: &'a str,
    /// On which split.
    pub split: Split,
}

impl Wanted<'_> {
    /// Those of `units` that are explained and have no such scores yet, or all that are explained if `again`, in order.
    pub fn pending(self, atlas: &Atlas, units: &[UnitId], again: bool) -> Result<Vec<UnitId>, ExplainError> {
        let mut pending = Vec::new();
        for units in units.chunk_by(|a, b| a.hook == b.hook) {
            let hook = units[0].hook;
            let explained = atlas.explained(hook, self.explainer)?;
            let scored = if again {
                BTreeSet::new()
            } else {
                atlas.scored(hook, self.explainer, self.scorer, self.split)?
            };
            let wanted = |unit: &&UnitId| explained.contains(&unit.index) && !scored.contains(&unit.index);
            pending.extend(units.iter().filter(wanted));
        }
        Ok(pending)
    }
}
