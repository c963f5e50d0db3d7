//! What `glossator score` prints: mean scores by hook point, explainer and scorer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use glossator_atlas::{Atlas, PREDICTION};
use glossator_explain::explaining::Explainer;
use glossator_explain::scoring::Scorer;
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
    /// Mean correlation over top and random excerpts of other units' explanations.
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
                let values = |metric: &str, sample: &str| {
                    let Source { explainer, scorer } = source;
                    atlas.score_values(hook, explainer, scorer, metric, sample, self.split)
                };
                let headline = values("correlation", "top_and_random")?;
                let columns = [
                    values("correlation", "random_only")?,
                    values("correlation", "top_only")?,
                    values("f1", "top_and_random")?,
                ];
                let scored = |unit: &&UnitId| headline.contains_key(&unit.index);
                let units: Vec<UnitId> = units.iter().filter(scored).copied().collect();
                let others = self.of_others(atlas, source, &units)?;
                for (unit, other) in units.iter().zip(others) {
                    let at = |values: &BTreeMap<u32, Option<f64>>| values.get(&unit.index).copied().flatten();
                    let values = [at(&headline), at(&columns[0]), at(&columns[1]), at(&columns[2]), other];
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

    /// With `--baseline`, how well other units' explanations do on units of one hook point: as stored where a language
    /// model predicts, which is not asked again for a summary.
    fn of_others(
        &self,
        atlas: &Atlas,
        source: &Source,
        units: &[UnitId],
    ) -> anyhow::Result<Vec<Option<f64>>> {
        let Some(first) = units.first().filter(|_| self.baseline) else { return Ok(vec![None; units.len()]) };
        let Source { explainer, scorer } = source;
        if scorer != PREDICTION {
            let scorer = format!("other-unit:{scorer}");
            let values = atlas.score_values(
                first.hook,
                explainer,
                &scorer,
                "correlation",
                "top_and_random",
                self.split,
            )?;
            return Ok(units.iter().map(|unit| values.get(&unit.index).copied().flatten()).collect());
        }
        let explained: BTreeSet<u32> = atlas.explained(first.hook, explainer)?;
        let explainer: Explainer = explainer.parse()?;
        let scorer = Scorer::new(atlas, self.split, self.seed);
        let others = units.iter().map(|unit| scorer.of_another_unit(explainer, *unit, &explained));
        Ok(others.collect::<Result<_, _>>()?)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The summary as a table: correlations, F1, and how many units they are over.
pub(super) fn table(lines: &[Line], baseline: bool) -> String {
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
