//! Explanations beside what they have to beat, on the units that all of them have: means over different units are not comparable,
//! since some units are easier than others.
//!
//! For each scorer there is one group: every explanation that it scored, its baselines on the same excerpts (another unit's
//! explanation, none), and the explanations that predict by themselves (token lookup, Neuron2Graph), on the scorer's first measure.
//! A unit counts where every member of the group that is defined anywhere is defined. Who is defined nowhere, as the correlation of a
//! constant, stays in the group without a mean and takes no unit away.

use std::collections::BTreeMap;

use glossator_atlas::{PREDICTION, SIMULATION, ScoreKind, ScoredUnit};
use glossator_model::UnitId;
use serde::Serialize;

use crate::ablating::ABLATION;
use crate::baselines::EMPTY;
use crate::comparison::interval;
use crate::judging::{ALWAYS_NO, ALWAYS_YES};
use crate::others::OTHER_UNIT;
use crate::score::Interval;

/// What the names of scorers begin with that are only there to be compared with.
const BASELINES: [&str; 4] = [EMPTY, OTHER_UNIT, ALWAYS_YES, ALWAYS_NO];

/// Explanations by one measure on the same units.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideBySide {
    /// Who scored.
    pub scorer: String,
    /// The metric.
    pub metric: String,
    /// The sample.
    pub sample: String,
    /// Units that all have.
    pub units: usize,
    /// Explanations and baselines.
    pub members: Vec<Member>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// Whose explanation.
    pub explainer: String,
    /// Who scored: the group's scorer, one of its baselines, or the explanation by itself.
    pub scorer: String,
    /// Mean over the units that all have.
    pub mean: Option<f64>,
    /// 95 % interval of that mean.
    pub interval: Option<Interval>,
    /// Units of its own whose score is defined.
    pub own_units: usize,
    /// Mean over all of these.
    pub own_mean: Option<f64>,
}

/// Whether scores are only there to be compared with.
pub fn is_baseline(scorer: &str) -> bool {
    BASELINES.iter().any(|baseline| scorer.starts_with(baseline))
}

/// The groups of more than one among `scored`, which has each scorer's measures in order, the first of them first. Intervals are by
/// `seed`.
pub fn side_by_side(scored: &[(ScoreKind, Vec<ScoredUnit>)], seed: u64) -> Vec<SideBySide> {
    let mut groups: Vec<SideBySide> = Vec::new();
    for (kind, _) in scored.iter().filter(|(kind, _)| !is_baseline(&kind.scorer)) {
        if groups.iter().any(|group| group.scorer == kind.scorer) {
            continue;
        }
        let members: Vec<&(ScoreKind, Vec<ScoredUnit>)> =
            scored.iter().filter(|(other, _)| is_beside(kind, other)).collect();
        if members.len() > 1 {
            groups.push(group(kind, &members, seed));
        }
    }
    groups
}

/// Whether scores of the kind `other` stand beside those of `kind`.
fn is_beside(kind: &ScoreKind, other: &ScoreKind) -> bool {
    let measure = |kind: &ScoreKind| (kind.metric.clone(), kind.sample.clone());
    let of_baseline =
        || BASELINES.iter().any(|which| other.scorer.strip_prefix(which) == Some(kind.scorer.as_str()));
    let by_itself = match kind.scorer.strip_prefix(ABLATION) {
        Some(_) => ABLATION,
        None if kind.scorer.starts_with(SIMULATION) => PREDICTION,
        None => "",
    };
    measure(kind) == measure(other)
        && (other.scorer == kind.scorer || other.scorer == by_itself || of_baseline())
}

fn group(kind: &ScoreKind, members: &[&(ScoreKind, Vec<ScoredUnit>)], seed: u64) -> SideBySide {
    let defined: Vec<BTreeMap<UnitId, f64>> = members
        .iter()
        .map(|(_, units)| units.iter().filter_map(|unit| Some((unit.unit, unit.value?))).collect())
        .collect();
    let mut known = defined.iter().filter(|values| !values.is_empty());
    let first = known.next();
    let rest: Vec<&BTreeMap<UnitId, f64>> = known.collect();
    let units: Vec<UnitId> = first
        .into_iter()
        .flat_map(BTreeMap::keys)
        .filter(|unit| rest.iter().all(|values| values.contains_key(unit)))
        .copied()
        .collect();
    let member = |(kind, own): (&ScoreKind, &BTreeMap<UnitId, f64>)| {
        let values: Vec<f64> = units.iter().filter_map(|unit| own.get(unit).copied()).collect();
        Member {
            explainer: kind.explainer.clone(),
            scorer: kind.scorer.clone(),
            mean: mean(values.iter().copied()),
            interval: interval(&values, seed),
            own_units: own.len(),
            own_mean: mean(own.values().copied()),
        }
    };
    let kinds = members.iter().map(|(kind, _)| kind);
    SideBySide {
        scorer: kind.scorer.clone(),
        metric: kind.metric.clone(),
        sample: kind.sample.clone(),
        units: units.len(),
        members: kinds.zip(&defined).map(member).collect(),
    }
}

/// The mean of what there is.
pub(crate) fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

#[cfg(test)]
mod tests {
    use glossator_model::HookPoint;

    use super::*;

    fn scored(
        explainer: &str,
        scorer: &str,
        metric: &str,
        values: &[(u32, Option<f64>)],
    ) -> (ScoreKind, Vec<ScoredUnit>) {
        let kind = ScoreKind {
            explainer: explainer.to_owned(),
            scorer: scorer.to_owned(),
            metric: metric.to_owned(),
            sample: "all".to_owned(),
        };
        let unit = |&(index, value): &(u32, Option<f64>)| ScoredUnit {
            unit: UnitId { hook: HookPoint::mlp_post(0), index },
            density: None,
            value,
        };
        (kind, values.iter().map(unit).collect())
    }

    #[test]
    fn means_are_over_the_units_that_all_have() {
        let simulation = "simulation:json@m";
        let found = side_by_side(
            &[
                scored("llm:max-act@m", "empty:simulation:json@m", "c", &[(1, Some(0.0)), (2, Some(0.1))]),
                scored("llm:max-act@m", simulation, "c", &[(1, Some(0.5)), (2, Some(0.7)), (3, Some(-1.0))]),
                scored("llm:max-act@m", simulation, "f", &[(1, Some(0.9))]),
                scored(
                    "lookup",
                    PREDICTION,
                    "c",
                    &[(0, Some(1.0)), (1, Some(0.2)), (2, Some(0.4)), (3, None)],
                ),
                scored("lookup", "empty:prediction", "c", &[(0, None), (1, None)]),
            ],
            0,
        );
        let [words, lookup] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((words.scorer.as_str(), words.metric.as_str(), words.units), (simulation, "c", 2));
        let rows: Vec<(&str, Option<f64>, usize)> =
            words.members.iter().map(|one| (one.scorer.as_str(), one.mean, one.own_units)).collect();
        let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-12;
        assert_eq!(
            rows.iter().map(|row| row.0).collect::<Vec<_>>(),
            ["empty:simulation:json@m", simulation, PREDICTION]
        );
        assert!(close(rows[0].1, 0.05) && close(rows[1].1, 0.6) && close(rows[2].1, 0.3), "{rows:?}");
        assert_eq!(rows.iter().map(|row| row.2).collect::<Vec<_>>(), [2, 3, 3]);
        assert!(close(words.members[1].own_mean, 0.2 / 3.0));
        let interval = words.members[1].interval.unwrap();
        assert!((interval.low, interval.high) == (0.5, 0.7), "of two units: {interval:?}");

        assert_eq!((lookup.scorer.as_str(), lookup.units), (PREDICTION, 3), "a constant takes no unit away");
        assert_eq!((lookup.members[1].mean, lookup.members[1].own_units), (None, 0));
    }

    #[test]
    fn only_what_measures_the_same_is_side_by_side() {
        let of = |scorer: &str, metric: &str| {
            let kind = |scorer: &str| scored("x", scorer, metric, &[]).0;
            [
                "prediction",
                "simulation:json@m",
                "ablation",
                "ablation:json@m",
                "detection@m",
                "always-yes:detection@m",
            ]
            .into_iter()
            .filter(|other| is_beside(&scored("x", scorer, "c", &[]).0, &kind(other)))
            .collect::<Vec<_>>()
        };
        assert_eq!(of("prediction", "c"), ["prediction"]);
        assert_eq!(of("simulation:json@m", "c"), ["prediction", "simulation:json@m"]);
        assert_eq!(of("ablation:json@m", "c"), ["ablation", "ablation:json@m"]);
        assert_eq!(of("detection@m", "c"), ["detection@m", "always-yes:detection@m"]);
        assert!(of("simulation:json@m", "f").is_empty(), "another metric");
    }
}
