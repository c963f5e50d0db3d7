//! What revision brought: the score of each explanation before and after, on excerpts that neither the explanations nor the choice
//! among them saw, over the units whose log has both.

use std::cmp::Ordering;

use glossator_atlas::Atlas;
use glossator_model::UnitId;
use serde::Serialize;
use serde_json::Value;

use super::Log;
use super::feedback::REVISED;
use crate::ExplainError;
use crate::comparison::interval;
use crate::score::Interval;
use crate::side_by_side::mean;

/// The gain of one explainer's revisions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gain {
    /// The explainer whose explanations are the revised ones.
    pub explainer: String,
    /// Units that were revised.
    pub units: usize,
    /// Of them, those that keep a revision; the others keep their first explanation.
    pub kept: usize,
    /// Those whose score before or after is undefined; they enter nothing below.
    pub undefined: usize,
    /// Units that score better after than before.
    pub better: usize,
    /// Worse.
    pub worse: usize,
    /// The same, as where the first explanation was kept.
    pub same: usize,
    /// Mean correlation of the first explanations.
    pub before: Option<f64>,
    /// Of those that were kept.
    pub after: Option<f64>,
    /// Mean difference.
    pub gain: Option<f64>,
    /// 95 % interval of the mean difference.
    pub interval: Option<Interval>,
    /// Rounds.
    pub rounds: usize,
    /// Rounds that brought nothing that can be used.
    pub failed: usize,
}

/// The gains of all revisions in `atlas`, by explainer. Intervals are by `seed`.
pub fn gains(atlas: &Atlas, seed: u64) -> Result<Vec<Gain>, ExplainError> {
    let explainers = atlas.progress()?.explainers.into_iter().map(|explainer| explainer.name);
    let revised = explainers.filter(|name| name.contains(REVISED));
    revised.map(|explainer| Ok(Gain::of(&logs(atlas, &explainer)?, explainer, seed))).collect()
}

/// The logs of the explanations by `explainer`.
fn logs(atlas: &Atlas, explainer: &str) -> Result<Vec<Log>, ExplainError> {
    let mut logs = Vec::new();
    for hook in atlas.hooks() {
        for index in atlas.explained(hook.hook, explainer)? {
            let unit = UnitId { hook: hook.hook, index };
            let Some(mut stored) = atlas.explanation(unit, explainer)? else { continue };
            let log = stored.body.get_mut("revision").map(Value::take).unwrap_or_default();
            logs.push(serde_json::from_value(log).map_err(|error| ExplainError::Body {
                unit: unit.to_string(),
                explainer: explainer.to_owned(),
                message: error.to_string(),
            })?);
        }
    }
    Ok(logs)
}

impl Gain {
    fn of(logs: &[Log], explainer: String, seed: u64) -> Self {
        let scored: Vec<[f64; 2]> =
            logs.iter().filter_map(|log| Some([log.initial_test?, log.kept_test?])).collect();
        let column = |place: usize| mean(scored.iter().map(|scores| scores[place]));
        let gains: Vec<f64> = scored.iter().map(|[before, after]| after - before).collect();
        let count = |order: Ordering| gains.iter().filter(|gain| gain.total_cmp(&0.0) == order).count();
        let rounds = || logs.iter().flat_map(|log| &log.rounds);
        Self {
            explainer,
            units: logs.len(),
            kept: logs.iter().filter(|log| log.kept.is_some()).count(),
            undefined: logs.len() - scored.len(),
            better: count(Ordering::Greater),
            worse: count(Ordering::Less),
            same: count(Ordering::Equal),
            before: column(0),
            after: column(1),
            gain: mean(gains.iter().copied()),
            interval: interval(&gains, seed),
            rounds: rounds().count(),
            failed: rounds().filter(|round| round.failure.is_some()).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Round;
    use super::*;

    fn log(kept: Option<usize>, before: Option<f64>, after: Option<f64>) -> Log {
        let failed = Round { failure: Some("no".to_owned()), ..Round::default() };
        Log {
            initial: String::new(),
            initial_valid: None,
            rounds: vec![Round::default(), failed],
            kept,
            initial_test: before,
            kept_test: after,
        }
    }

    #[test]
    fn gains_are_over_the_units_that_have_both_scores() {
        let logs = [
            log(Some(0), Some(0.25), Some(0.75)),
            log(Some(1), Some(0.5), Some(0.25)),
            log(None, Some(0.5), Some(0.5)),
            log(Some(0), None, Some(0.5)),
        ];
        let gain = Gain::of(&logs, "x".to_owned(), 0);
        assert_eq!((gain.units, gain.kept, gain.undefined), (4, 3, 1));
        assert_eq!((gain.better, gain.worse, gain.same), (1, 1, 1));
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
        assert!(close(gain.before, 1.25 / 3.0) && close(gain.after, 0.5) && close(gain.gain, 0.25 / 3.0));
        let interval = gain.interval.unwrap();
        assert!(interval.low < 0.0 && interval.high > 0.2, "{interval:?}");
        assert_eq!((gain.rounds, gain.failed), (8, 4));
        let none = Gain::of(&[log(None, None, None)], "x".to_owned(), 0);
        assert_eq!((none.gain, none.interval, none.undefined, none.same), (None, None, 1, 0));
    }
}
