//! What an explanation in words has to beat: no explanation, and the explanation of another unit of the same hook point.
//!
//! Their scores are stored beside the explanation's own, by scorers whose names begin with [`EMPTY`] or [`OTHER_UNIT`].

use glossator_atlas::{Atlas, Score};
use glossator_model::UnitId;

use crate::ExplainError;
use crate::others::{self, OTHER_UNIT, Others};

/// What the names of scorers begin with where there is no explanation.
pub const EMPTY: &str = "empty:";

/// What is scored in place of an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Baseline {
    /// No explanation.
    Empty,
    /// This unit's explanation.
    OtherUnit(UnitId),
}

impl Baseline {
    /// What the name of its scorer begins with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Empty => EMPTY,
            Self::OtherUnit(_) => OTHER_UNIT,
        }
    }

    /// Says on its scores whose explanation they are of.
    pub(crate) fn name_on(self, scores: &mut [Score]) {
        if let Self::OtherUnit(other) = self {
            others::name_on(other, scores);
        }
    }
}

/// The baselines of the explanation of `unit`, and their texts; `empty` is what stands for none. There is no other unit's
/// where `others` has none.
pub(crate) fn of(
    atlas: &Atlas,
    unit: UnitId,
    explainer: &str,
    empty: &str,
    others: &Others,
) -> Result<Vec<(Baseline, String)>, ExplainError> {
    let mut baselines = vec![(Baseline::Empty, empty.to_owned())];
    if let Some(other) = others.of(unit)
        && let Some(explanation) = atlas.explanation(other, explainer)?
    {
        baselines.push((Baseline::OtherUnit(other), explanation.text));
    }
    Ok(baselines)
}
