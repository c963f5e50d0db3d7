//! Which units a run has still to score, and what it will ask about them. What is stored is not done again, so that a run that was
//! stopped goes on where it was.

use std::collections::BTreeSet;

use glossator_atlas::{Atlas, Split};
use glossator_llm::Request;
use glossator_model::UnitId;

use crate::ExplainError;
use crate::baselines::{Baselines, EMPTY};
use crate::others::OTHER_UNIT;

/// The requests for the first few of the units that a run will work on, from which its cost is estimated before it.
#[derive(Debug, Clone, PartialEq)]
pub struct First {
    /// The requests.
    pub requests: Vec<Request>,
    /// Units that they are for.
    pub of: usize,
    /// Units of which as much will be asked.
    pub units: usize,
}

impl First {
    /// Where all is asked about each of `units` units, from the requests for some and how many these are.
    pub fn only((requests, of): (Vec<Request>, usize), units: usize) -> Vec<Self> {
        vec![Self { requests, of, units }]
    }
}

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

    /// The same, with those units whose baselines are not there yet: they are scored again together with them.
    pub(crate) fn pending_with(
        self,
        atlas: &Atlas,
        units: &[UnitId],
        again: bool,
        baselines: &Baselines,
    ) -> Result<Vec<UnitId>, ExplainError> {
        let own = self.pending(atlas, units, again)?;
        if again || baselines.is_empty() {
            return Ok(own);
        }
        let missing = |which: &str| -> Result<BTreeSet<UnitId>, ExplainError> {
            let scorer = format!("{which}{}", self.scorer);
            let wanted = Wanted { scorer: &scorer, ..self };
            Ok(wanted.pending(atlas, units, false)?.into_iter().collect())
        };
        let (own, empty, other): (BTreeSet<UnitId>, _, _) =
            (own.into_iter().collect(), missing(EMPTY)?, missing(OTHER_UNIT)?);
        let beside = |unit: UnitId| {
            baselines.has(unit)
                && (empty.contains(&unit) || other.contains(&unit) && baselines.other(unit).is_some())
        };
        Ok(units.iter().copied().filter(|unit| own.contains(unit) || beside(*unit)).collect())
    }
}
