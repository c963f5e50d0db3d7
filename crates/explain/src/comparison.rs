//! Compares explainers and scorers over the units of an atlas: mean scores with intervals, shares above thresholds, means
//! by layer, the best and the worst.
//!
//! A unit whose score is undefined is counted and enters no mean. Intervals are percentiles over 1,000 resamples of the
//! units; units of a layer are no independent draws, so that intervals are rather too narrow.

use std::collections::BTreeMap;

use glossator_atlas::{ScoreKind, ScoredUnit};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

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
    /// (layer, units, mean), for units of blocks.
    pub layers: Vec<(usize, usize, f64)>,
}

impl Comparison {
    /// Over `units`, with resamples by `seed`.
    pub fn of(kind: ScoreKind, units: &[ScoredUnit], seed: u64) -> Self {
        let defined: Vec<f64> = units.iter().filter_map(|unit| unit.value).collect();
        let share = |threshold: f64| {
            let above = defined.iter().filter(|value| **value > threshold).count() as f64;
            (!defined.is_empty()).then(|| above / defined.len() as f64)
        };
        let mut layers: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for unit in units {
            if let Some((layer, value)) = unit.unit.hook.layer().zip(unit.value) {
                layers.entry(layer).or_default().push(value);
            }
        }
        let layers =
            layers.into_iter().filter_map(|(layer, values)| Some((layer, values.len(), mean(&values)?)));
        Self {
            kind,
            units: units.len(),
            undefined: units.len() - defined.len(),
            mean: mean(&defined),
            interval: interval(&defined, seed),
            above: THRESHOLDS.map(share),
            layers: layers.collect(),
        }
    }
}

/// The units with the highest and with the lowest defined scores, best and worst first; ties by unit.
pub fn extremes(units: &[ScoredUnit]) -> [Vec<&ScoredUnit>; 2] {
    let mut ranked: Vec<&ScoredUnit> = units.iter().filter(|unit| unit.value.is_some()).collect();
    let value = |unit: &ScoredUnit| unit.value.unwrap_or(f64::NAN);
    ranked.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.unit.cmp(&b.unit)));
    let best = ranked.iter().take(EXTREMES).copied().collect();
    let worst = ranked.iter().rev().take(EXTREMES.min(ranked.len())).copied().collect();
    [best, worst]
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn interval(values: &[f64], seed: u64) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let resample = |number: usize| {
        let draw = |place: usize| {
            let random =
                xxh3_64_with_seed(&[number as u64, place as u64].map(u64::to_le_bytes).concat(), seed);
            values[((u128::from(random) * values.len() as u128) >> 64) as usize]
        };
        (0..values.len()).map(draw).sum::<f64>() / values.len() as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    Interval::of(&mut means, RESAMPLES)
}

#[cfg(test)]
mod tests {
    use glossator_model::{HookPoint, UnitId};

    use super::*;

    fn units(values: &[Option<f64>]) -> Vec<ScoredUnit> {
        let unit = |(index, value): (usize, &Option<f64>)| ScoredUnit {
            unit: UnitId::new(HookPoint::mlp_post(index % 2), index),
            density: 0.1,
            text: String::new(),
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
        let [first, second] = found.layers.as_slice() else { panic!("{:?}", found.layers) };
        assert!((first.0, first.1) == (0, 2) && (first.2 - 0.75).abs() < 1e-12);
        assert!((second.0, second.1) == (1, 2) && (second.2 - 0.45).abs() < 1e-12);
        let interval = found.interval.unwrap();
        assert!(interval.low < 0.6 && interval.high > 0.6 && interval.low >= 0.1, "{interval:?}");
        let nothing = Comparison::of(kind(), &[], 0);
        assert_eq!((nothing.mean, nothing.interval, nothing.above), (None, None, [None; 3]));
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
