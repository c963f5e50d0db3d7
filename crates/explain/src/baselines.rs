//! What an explanation has to beat: no explanation, and the explanation of another unit of the same hook point.
//!
//! Their scores are stored beside the explanation's own, by scorers whose names begin with [`EMPTY`] or [`OTHER_UNIT`]. A mean over
//! [`SAMPLE`] units says what they are worth as well as one over all; so where more are scored, those have baselines whose hash
//! is the smallest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use glossator_atlas::{Atlas, Score};
use glossator_model::UnitId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ExplainError;
use crate::others::{self, OTHER_UNIT, Others};

/// What the names of scorers begin with where there is no explanation.
pub const EMPTY: &str = "empty:";

/// Units that have baselines where only a sample of them has.
pub const SAMPLE: usize = 1_000;

/// Which units have baselines beside their explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineUnits {
    /// None.
    None,
    /// All, or [`SAMPLE`] of them drawn by hash where there are more.
    Sample,
    /// All.
    All,
}

impl BaselineUnits {
    const ALL: [Self; 3] = [Self::None, Self::Sample, Self::All];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sample => "sample",
            Self::All => "all",
        }
    }
}

impl fmt::Display for BaselineUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BaselineUnits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|which| which.name() == text);
        found.ok_or_else(|| "baselines are scored of none, of a sample, or of all units".to_owned())
    }
}

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

/// The baselines of the explanations by one explainer.
pub(crate) struct Baselines {
    others: Others,
    /// The units that have any.
    drawn: BTreeSet<UnitId>,
}

impl Baselines {
    /// Of those of `units`, which are sorted, that `explainer` has explained.
    pub(crate) fn among(
        atlas: &Atlas,
        explainer: &str,
        units: &[UnitId],
        seed: u64,
        which: BaselineUnits,
    ) -> Result<Self, ExplainError> {
        let others = Others::among(atlas, explainer, units, seed)?;
        let mut drawn: Vec<UnitId> = others.units().collect();
        draw(&mut drawn, seed, which, |_| 0);
        Ok(Self { others, drawn: drawn.into_iter().collect() })
    }

    /// The same for several explainers that are scored together: units that more of them have explained are drawn first, so that
    /// they have as many in common as they can.
    pub(crate) fn of_each(
        atlas: &Atlas,
        explainers: &[&str],
        units: &[UnitId],
        seed: u64,
        which: BaselineUnits,
    ) -> Result<Vec<Self>, ExplainError> {
        let others: Vec<Others> = explainers
            .iter()
            .map(|explainer| Others::among(atlas, explainer, units, seed))
            .collect::<Result<_, _>>()?;
        let mut explained: BTreeMap<UnitId, usize> = BTreeMap::new();
        for unit in others.iter().flat_map(Others::units) {
            *explained.entry(unit).or_default() += 1;
        }
        let drawn = |others: Others| {
            let mut drawn: Vec<UnitId> = others.units().collect();
            draw(&mut drawn, seed, which, |unit| explainers.len() - explained[unit]);
            Self { others, drawn: drawn.into_iter().collect() }
        };
        Ok(others.into_iter().map(drawn).collect())
    }

    /// Whether there are any at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.drawn.is_empty()
    }

    /// Whether a unit has baselines.
    pub(crate) fn has(&self, unit: UnitId) -> bool {
        self.drawn.contains(&unit)
    }

    /// The unit whose explanation is scored beside that of `unit`, if there is one.
    pub(crate) fn other(&self, unit: UnitId) -> Option<UnitId> {
        if self.has(unit) { self.others.of(unit) } else { None }
    }

    /// The baselines of the explanation of `unit`, and their texts; `empty` is what stands for none. There is no other unit's
    /// where it is alone.
    pub(crate) fn of(
        &self,
        atlas: &Atlas,
        unit: UnitId,
        explainer: &str,
        empty: &str,
    ) -> Result<Vec<(Baseline, String)>, ExplainError> {
        if !self.has(unit) {
            return Ok(Vec::new());
        }
        let mut baselines = vec![(Baseline::Empty, empty.to_owned())];
        if let Some(other) = self.others.of(unit)
            && let Some(explanation) = atlas.explanation(other, explainer)?
        {
            baselines.push((Baseline::OtherUnit(other), explanation.text));
        }
        Ok(baselines)
    }
}

/// Leaves those of `units` that have baselines: of a sample those with the smallest `rank`, and of equals with the smallest hash of
/// the seed and their name.
fn draw(units: &mut Vec<UnitId>, seed: u64, which: BaselineUnits, rank: impl Fn(&UnitId) -> usize) {
    match which {
        BaselineUnits::None => units.clear(),
        BaselineUnits::Sample if units.len() > SAMPLE => {
            units.sort_by_cached_key(|unit| {
                (rank(unit), xxh3_64_with_seed(unit.to_string().as_bytes(), seed), *unit)
            });
            units.truncate(SAMPLE);
        }
        BaselineUnits::Sample | BaselineUnits::All => {}
    }
}

#[cfg(test)]
mod tests {
    use glossator_model::HookPoint;

    use super::*;

    #[test]
    fn a_sample_holds_first_what_all_have() {
        let units = |count: u32| -> Vec<UnitId> {
            (0..count).map(|index| UnitId { hook: HookPoint::mlp_post(0), index }).collect()
        };
        let drawn = |which, seed| {
            let mut drawn = units(5_000);
            draw(&mut drawn, seed, which, |unit| usize::from(unit.index >= 100));
            drawn.sort_unstable();
            drawn
        };
        let sample = drawn(BaselineUnits::Sample, 3);
        assert_eq!((sample.len(), &sample[..100]), (SAMPLE, &units(100)[..]));
        assert!(sample[SAMPLE - 1].index > 4_500, "and others from everywhere");
        assert_ne!(sample, drawn(BaselineUnits::Sample, 4));
        assert_eq!(drawn(BaselineUnits::All, 3), units(5_000));
        assert_eq!(drawn(BaselineUnits::None, 3), []);
        let mut few = units(SAMPLE as u32);
        draw(&mut few, 0, BaselineUnits::Sample, |_| 0);
        assert_eq!(few, units(SAMPLE as u32), "no more than a sample are all there are");
    }

    #[test]
    fn which_units_have_names() {
        for which in BaselineUnits::ALL {
            assert_eq!(which.to_string().parse(), Ok(which));
        }
        assert!("some".parse::<BaselineUnits>().is_err());
    }
}
