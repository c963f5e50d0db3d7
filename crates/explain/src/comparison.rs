//! Compares explainers and scorers over the units of an atlas: mean scores with intervals, shares above thresholds, both
//! by hook point and by density, the best and the worst.
//!
//! A unit whose score is undefined is counted and enters no mean. Intervals are percentiles over 1,000 resamples of the
//! units; units of a layer are no independent draws, so that intervals are rather too narrow.

use glossator_atlas::{Atlas, ScoreKind, ScoredUnit, Split};
use glossator_model::HookPoint;
use rayon::prelude::*;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ExplainError;
use crate::score::{Interval, RESAMPLES};

/// Scores that a report shows, by metric and sample; the first that an explanation has from a scorer is its headline.
pub const SHOWN: [(&str, &str); 8] = [
    ("correlation", "top_and_random"),
    ("correlation", "random_only"),
    ("f1", "top_and_random"),
    ("ablation", "top_and_random"),
    ("balanced_accuracy", "all"),
    ("auroc", "all"),
    ("f1", "all"),
    ("accuracy", "all"),
];

/// Thresholds whose shares are shown, as in Bills et al. 2023.
pub const THRESHOLDS: [f64; 3] = [0.5, 0.7, 0.8];

/// Units on each end that are shown.
const EXTREMES: usize = 10;

/// Groups of units by density.
const DENSITIES: usize = 10;

/// One kind of score over all units that have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Whose explanations, by whom, and what.
    #[serde(flatten)]
    pub kind: ScoreKind,
    /// Units with this score, defined or not.
    pub units: usize,
    /// Of them, those whose score is undefined.
    pub undefined: usize,
    /// Mean over the defined ones.
    pub mean: Option<f64>,
    /// 95 % interval of the mean.
    pub interval: Option<Interval>,
    /// Share of the defined ones above each of [`THRESHOLDS`].
    pub above: [Option<f64>; 3],
    /// The same by hook point, in order of execution.
    pub hooks: Vec<OfHook>,
}

/// The scores of some units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GroupScores {
    /// Units whose score is defined.
    pub units: usize,
    /// Their mean.
    pub mean: f64,
    /// Share of them above each of [`THRESHOLDS`].
    pub above: [f64; 3],
}

/// The scores of the units of a hook point, some of which are defined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OfHook {
    /// The hook point.
    pub hook: HookPoint,
    /// The block it is in.
    pub layer: Option<usize>,
    /// Their scores.
    #[serde(flatten)]
    pub scores: GroupScores,
}

/// The scores of the units within bounds of density, some of which are defined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OfDensity {
    /// The smallest density.
    pub from: f64,
    /// The bound that densities stay below; the last group holds it too.
    pub to: f64,
    /// Mean density of those whose score is defined.
    pub density: f64,
    /// Their scores.
    #[serde(flatten)]
    pub scores: GroupScores,
}

impl Comparison {
    /// Over `units`, by hook point in order of execution, with resamples by `seed`.
    pub fn of(kind: ScoreKind, units: &[ScoredUnit], seed: u64) -> Self {
        let defined: Vec<f64> = units.iter().filter_map(|unit| unit.value).collect();
        let all = GroupScores::of(defined.iter().copied());
        let of_hook = |units: &[ScoredUnit]| {
            let scores = GroupScores::of(units.iter().filter_map(|unit| unit.value))?;
            let hook = units[0].unit.hook;
            Some(OfHook { hook, layer: hook.layer(), scores })
        };
        Self {
            kind,
            units: units.len(),
            undefined: units.len() - defined.len(),
            mean: all.map(|scores| scores.mean),
            interval: interval(&defined, seed),
            above: std::array::from_fn(|threshold| all.map(|scores| scores.above[threshold])),
            hooks: units.chunk_by(|a, b| a.unit.hook == b.unit.hook).filter_map(of_hook).collect(),
        }
    }
}

impl GroupScores {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut units, mut sum, mut above) = (0_usize, 0.0, [0.0; 3]);
        for value in values {
            units += 1;
            sum += value;
            above.iter_mut().zip(THRESHOLDS).for_each(|(above, least)| *above += f64::from(value > least));
        }
        let count = units as f64;
        (units > 0).then(|| Self { units, mean: sum / count, above: above.map(|above| above / count) })
    }
}

/// The kinds of score of `atlas` on `split` that are shown and `wanted`: by explainer and scorer, in the order of [`SHOWN`].
pub fn shown(
    atlas: &Atlas,
    split: Split,
    wanted: impl Fn(&ScoreKind) -> bool,
) -> Result<Vec<ScoreKind>, ExplainError> {
    let mut kinds = atlas.score_kinds(split)?;
    kinds.retain(wanted);
    let place = |kind: &ScoreKind| {
        SHOWN.iter().position(|shown| *shown == (kind.metric.as_str(), kind.sample.as_str()))
    };
    kinds.retain(|kind| place(kind).is_some());
    kinds.sort_by(|a, b| (&a.explainer, &a.scorer, place(a)).cmp(&(&b.explainer, &b.scorer, place(b))));
    Ok(kinds)
}

/// Bounds of density that divide `units` into ten groups as equal as ties allow.
pub fn density_bounds(units: &[ScoredUnit]) -> Vec<f64> {
    let mut densities: Vec<f64> = units.iter().filter_map(|unit| unit.density).collect();
    densities.sort_by(f64::total_cmp);
    let Some(last) = densities.len().checked_sub(1) else { return Vec::new() };
    let mut bounds: Vec<f64> =
        (0..=DENSITIES).map(|group| densities[(group * densities.len() / DENSITIES).min(last)]).collect();
    bounds.dedup();
    bounds
}

/// Scores by density, for each pair of neighbouring `bounds` between which there are any.
pub fn by_density(units: &[ScoredUnit], bounds: &[f64]) -> Vec<OfDensity> {
    let mut groups = vec![(0.0, Vec::new()); bounds.len().saturating_sub(1)];
    for (density, value) in units.iter().filter_map(|unit| unit.density.zip(unit.value)) {
        if bounds.last().is_none_or(|last| density > *last) {
            continue;
        }
        // The last bound closes the last group, which also holds it.
        let bound = bounds.partition_point(|bound| *bound <= density).min(groups.len());
        let Some((sum, values)) = bound.checked_sub(1).map(|group| &mut groups[group]) else { continue };
        *sum += density;
        values.push(value);
    }
    let groups = groups.into_iter().zip(bounds.windows(2));
    let scored = groups.filter_map(|((density, values), bounds)| {
        let scores = GroupScores::of(values.into_iter())?;
        Some(OfDensity { from: bounds[0], to: bounds[1], density: density / scores.units as f64, scores })
    });
    scored.collect()
}

/// The units with the highest and with the lowest defined scores, best and worst first; ties by unit.
pub fn extremes(units: &[ScoredUnit]) -> [Vec<ScoredUnit>; 2] {
    let mut ranked: Vec<(f64, &ScoredUnit)> =
        units.iter().filter_map(|unit| Some((unit.value?, unit))).collect();
    ranked.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.unit.cmp(&other.unit)));
    let best = ranked.iter().take(EXTREMES).map(|(_, unit)| **unit).collect();
    let worst = ranked.iter().rev().take(EXTREMES).map(|(_, unit)| **unit).collect();
    [best, worst]
}

/// The 95 % interval of the mean of `values`. Lists of the same length are resampled alike, so that what is side by side is
/// resampled together.
pub(crate) fn interval(values: &[f64], seed: u64) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let resample = |number: usize| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let mut draw = |place: usize| {
            key[8..].copy_from_slice(&(place as u64).to_le_bytes());
            let random = xxh3_64_with_seed(&key, seed);
            values[((u128::from(random) * values.len() as u128) >> 64) as usize]
        };
        (0..values.len()).map(&mut draw).sum::<f64>() / values.len() as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).into_par_iter().map(resample).collect();
    Interval::of(&mut means, RESAMPLES)
}

#[cfg(test)]
mod tests {
    use glossator_model::{HookPoint, UnitId};

    use super::*;

    fn units(values: &[Option<f64>]) -> Vec<ScoredUnit> {
        let unit = |(index, value): (usize, &Option<f64>)| ScoredUnit {
            unit: UnitId::new(HookPoint::mlp_post(2 * index / values.len()), index),
            density: (index != 5).then_some(index as f64),
            value: *value,
        };
        values.iter().enumerate().map(unit).collect()
    }

    fn kind() -> ScoreKind {
        let text = || String::new();
        ScoreKind { explainer: text(), scorer: text(), metric: text(), sample: text() }
    }

    #[test]
    fn undefined_scores_are_counted_and_enter_no_mean() {
        let units = units(&[Some(0.9), None, Some(0.6), Some(0.1), None, Some(0.8)]);
        let found = Comparison::of(kind(), &units, 0);
        assert_eq!((found.units, found.undefined), (6, 2));
        assert!((found.mean.unwrap() - 0.6).abs() < 1e-12);
        assert_eq!(found.above, [Some(0.75), Some(0.5), Some(0.25)]);
        let [first, second] = found.hooks.as_slice() else { panic!("{:?}", found.hooks) };
        assert_eq!((first.layer, first.scores.units, first.scores.above), (Some(0), 2, [1.0, 0.5, 0.5]));
        assert!((first.scores.mean - 0.75).abs() < 1e-12);
        assert_eq!((second.layer, second.scores.units, second.scores.above), (Some(1), 2, [0.5, 0.5, 0.0]));
        assert!((second.scores.mean - 0.45).abs() < 1e-12);
        let interval = found.interval.unwrap();
        assert!(interval.low < 0.6 && interval.high > 0.6 && interval.low >= 0.1, "{interval:?}");
        let nothing = Comparison::of(kind(), &[], 0);
        assert_eq!((nothing.mean, nothing.interval, nothing.above), (None, None, [None; 3]));
    }

    #[test]
    fn units_fall_between_bounds_of_density() {
        let values: Vec<Option<f64>> =
            (0..40).map(|value| (value != 7).then(|| f64::from(value) / 40.0)).collect();
        let units = units(&values);
        let bounds = density_bounds(&units);
        // 39 densities, all but 5, and the largest closes the last group.
        assert_eq!(bounds, [0.0, 3.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0, 32.0, 36.0, 39.0]);
        let found = by_density(&units, &bounds);
        let counts: Vec<usize> = found.iter().map(|group| group.scores.units).collect();
        assert_eq!(counts, [3, 3, 4, 4, 4, 4, 4, 4, 4, 4], "3, 4 and 6 in the second: 5 and 7 are undefined");
        assert!((found[0].density - 1.0).abs() < 1e-12 && (found[0].scores.mean - 1.0 / 40.0).abs() < 1e-12);
        assert!((found[9].density - 37.5).abs() < 1e-12);
        // Bounds from other units: what lies outside is in no group.
        let inside = by_density(&units, &[10.0, 20.0]);
        assert_eq!(inside.iter().map(|group| group.scores.units).collect::<Vec<_>>(), [11]);
        assert!(by_density(&units, &[3.0]).is_empty() && by_density(&units, &[]).is_empty());
        let same = vec![ScoredUnit { density: Some(0.5), ..units[1] }; 4];
        assert_eq!(density_bounds(&same), [0.5]);
    }

    #[test]
    fn best_and_worst() {
        let values: Vec<Option<f64>> =
            (0..30).map(|value| (value != 7).then(|| f64::from(value) / 30.0)).collect();
        let units = units(&values);
        let [best, worst] = extremes(&units);
        assert_eq!(
            best.iter().map(|unit| unit.unit.index).collect::<Vec<_>>(),
            (20..30).rev().collect::<Vec<_>>()
        );
        assert_eq!(
            worst.iter().map(|unit| unit.unit.index).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
        );
    }
}
