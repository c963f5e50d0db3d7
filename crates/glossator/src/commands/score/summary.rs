//! What `glossator score` prints: mean scores by hook point, explainer and scorer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use glossator_atlas::{Atlas, PREDICTION};
use glossator_explain::others::OTHER_UNIT;
use glossator_model::{HookPoint, UnitId};
use serde::Serialize;

use super::{Score, Source};

/// The scores of one explainer by one scorer at one hook point.
#[derive(Debug, Default, Serialize)]
pub(super) struct Line {
    hook: Option<HookPoint>,
    explainer: String,
    scorer: String,
    /// Units with scores.
    units: usize,
    /// Units whose correlation over top and random excerpts is undefined.
    undefined: usize,
    /// Mean correlation over top and random excerpts where it is defined.
    top_and_random: Option<f64>,
    /// Mean correlation over random excerpts where it is defined.
    random_only: Option<f64>,
    /// Mean correlation over top excerpts where it is defined.
    top_only: Option<f64>,
    /// Mean F1 of firing at half maximum, over top and random excerpts, where it is defined.
    f1: Option<f64>,
    /// Mean correlation over top and random excerpts of other units' explanations, of the units beside which one was scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_unit: Option<f64>,
}

/// Values to take the mean of: score top-and-random, random, top, F1, other unit.
type Columns = [Vec<f64>; 5];

impl Score {
    /// One line for each hook point and source, and one for each source over all.
    pub(super) fn summary(
        &self,
        atlas: &Atlas,
        sources: &[Source],
        units: &[UnitId],
    ) -> anyhow::Result<Vec<Line>> {
        let mut groups: BTreeMap<(Option<HookPoint>, usize), (usize, Columns)> = BTreeMap::new();
        for units in units.chunk_by(|a, b| a.hook == b.hook) {
            let hook = units[0].hook;
            for (place, source) in sources.iter().enumerate() {
                let Source { explainer, scorer } = source;
                let values = |scorer: &str, metric: &str, sample: &str| {
                    atlas.score_values(hook, explainer, scorer, metric, sample, self.split)
                };
                let columns = [
                    values(scorer, "correlation", "top_and_random")?,
                    values(scorer, "correlation", "random_only")?,
                    values(scorer, "correlation", "top_only")?,
                    values(scorer, "f1", "top_and_random")?,
                    values(&format!("{OTHER_UNIT}{scorer}"), "correlation", "top_and_random")?,
                ];
                for unit in units.iter().filter(|unit| columns[0].contains_key(&unit.index)) {
                    let values = columns.each_ref().map(|values| values.get(&unit.index).copied().flatten());
                    for hook in [Some(hook), None] {
                        let (units, columns) = groups.entry((hook, place)).or_default();
                        *units += 1;
                        columns.iter_mut().zip(values).for_each(|(column, value)| column.extend(value));
                    }
                }
            }
        }
        let line = |((hook, place), (units, columns)): ((Option<HookPoint>, usize), (usize, Columns))| Line {
            hook,
            explainer: sources[place].explainer.clone(),
            scorer: sources[place].scorer.clone(),
            units,
            undefined: units - columns[0].len(),
            top_and_random: mean(&columns[0]),
            random_only: mean(&columns[1]),
            top_only: mean(&columns[2]),
            f1: mean(&columns[3]),
            other_unit: mean(&columns[4]),
        };
        let mut lines: Vec<Line> = groups.into_iter().map(line).collect();
        lines.sort_by_key(|line| (line.hook.is_none(), line.hook));
        Ok(lines)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The summary as a table: correlations, F1, and how many units they are over.
pub(super) fn table(lines: &[Line]) -> String {
    let baseline = lines.iter().any(|line| line.other_unit.is_some());
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    let name = |line: &Line| line.hook.map_or("all".to_owned(), |hook| hook.to_string());
    // What predicts itself needs no scorer's name.
    let by = |line: &Line| match line.scorer.as_str() {
        PREDICTION => line.explainer.clone(),
        scorer => format!("{} by {scorer}", line.explainer),
    };
    let width = lines.iter().map(|line| name(line).len()).max().unwrap_or(0).max("hook point".len());
    let wide = lines.iter().map(|line| by(line).chars().count()).max().unwrap_or(0).max(10);
    let mut table = format!(
        "{:width$}  {:wide$}  units  undefined  top+random  random    top     F1",
        "hook point", "explainer"
    );
    table.push_str(if baseline { "  other unit\n" } else { "\n" });
    for line in lines {
        // Writing to a string cannot fail.
        let _ = write!(
            table,
            "{:width$}  {:wide$}  {:>5}  {:>9}  {:>10}  {:>6}  {:>5}  {:>5}",
            name(line),
            by(line),
            line.units,
            line.undefined,
            number(line.top_and_random),
            number(line.random_only),
            number(line.top_only),
            number(line.f1),
        );
        let _ = if baseline { writeln!(table, "  {:>10}", number(line.other_unit)) } else { writeln!(table) };
    }
    table
}
