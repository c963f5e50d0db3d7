//! `glossator score`: scores the explanations of an atlas on excerpts that no explainer saw.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use glossator_atlas::{Atlas, PREDICTION, Split};
use glossator_explain::Selector;
use glossator_explain::explaining::Explainer;
use glossator_explain::scoring::Scorer;
use glossator_model::{HookPoint, UnitId};
use serde::Serialize;

use crate::output;

/// Score explanations by how well they predict activations on excerpts no explainer saw
///
/// The score is the correlation of true and predicted activations over the tokens of five top and five random excerpts
/// (Bills et al. 2023); also over random or top excerpts alone, and as calibrated R², absolute deviation explained, and
/// precision, recall and F1 of firing at half of the unit's maximum, each with a 95 % bootstrap interval. What is
/// undefined is stored as undefined. Prints mean scores by layer.
#[derive(Args)]
pub(crate) struct Score {
    /// The atlas
    #[arg(long, value_name = "DIR")]
    atlas: PathBuf,
    /// Which explanations: lookup, n2g, n2g+lookup
    #[arg(long, value_delimiter = ',', default_value = "lookup,n2g,n2g+lookup", value_name = "NAMES")]
    explainer: Vec<Explainer>,
    /// Units, as for `glossator explain`; may be given several times
    #[arg(long, default_value = "all", value_name = "SPEC")]
    units: Vec<Selector>,
    /// At most so many of the units
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The split to score on: test for results, valid for choices
    #[arg(long, default_value = "test", value_parser = split, value_name = "SPLIT")]
    split: Split,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    seed: u64,
    /// Score units again that are scored on this split already
    #[arg(long)]
    again: bool,
    /// Also print the mean score of explanations of other units of the same hook point
    #[arg(long)]
    baseline: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

fn split(text: &str) -> Result<Split, String> {
    match text.parse()? {
        split @ (Split::Valid | Split::Test) => Ok(split),
        split => Err(format!("{split} excerpts are used to make explanations, score on test or valid")),
    }
}

/// The scores of one explainer at one hook point.
#[derive(Debug, Default, Serialize)]
struct Line {
    hook: Option<HookPoint>,
    explainer: &'static str,
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
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let atlas = Atlas::open_writable(&self.atlas)?;
        let mut units = Selector::union(&self.units, &atlas)?;
        units.truncate(self.limit.unwrap_or(usize::MAX));
        let scorer = Scorer::new(&atlas, self.split, self.seed);
        for &explainer in &self.explainer {
            let bar = output::progress(units.len() as u64, "units");
            bar.set_message(explainer.name());
            scorer.run(explainer, &units, self.again, &|units| bar.inc(units as u64))?;
            bar.finish();
        }
        let lines = self.summary(&atlas, &scorer, &units)?;
        if self.json {
            output::print_json(&lines)?;
        } else {
            output::print(&table(&lines, self.baseline))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One line for each hook point and explainer, and one for each explainer over all.
    fn summary(&self, atlas: &Atlas, scorer: &Scorer<'_>, units: &[UnitId]) -> anyhow::Result<Vec<Line>> {
        let mut groups: BTreeMap<(Option<HookPoint>, Explainer), (usize, Columns)> = BTreeMap::new();
        for units in units.chunk_by(|a, b| a.hook == b.hook) {
            let hook = units[0].hook;
            for &explainer in &self.explainer {
                let values = |metric: &str, sample: &str| {
                    atlas.score_values(hook, explainer.name(), PREDICTION, metric, sample, self.split)
                };
                let headline = values("correlation", "top_and_random")?;
                let columns = [
                    values("correlation", "random_only")?,
                    values("correlation", "top_only")?,
                    values("f1", "top_and_random")?,
                ];
                let scored = |unit: &&UnitId| headline.contains_key(&unit.index);
                let units: Vec<UnitId> = units.iter().filter(scored).copied().collect();
                let others = self.of_others(atlas, scorer, explainer, &units)?;
                for (unit, other) in units.iter().zip(others) {
                    let at = |values: &BTreeMap<u32, Option<f64>>| values.get(&unit.index).copied().flatten();
                    let values = [at(&headline), at(&columns[0]), at(&columns[1]), at(&columns[2]), other];
                    for hook in [Some(hook), None] {
                        let (units, columns) = groups.entry((hook, explainer)).or_default();
                        *units += 1;
                        columns.iter_mut().zip(values).for_each(|(column, value)| column.extend(value));
                    }
                }
            }
        }
        let mut lines: Vec<Line> = groups
            .into_iter()
            .map(|((hook, explainer), (units, columns))| Line {
                hook,
                explainer: explainer.name(),
                units,
                undefined: units - columns[0].len(),
                top_and_random: mean(&columns[0]),
                random_only: mean(&columns[1]),
                top_only: mean(&columns[2]),
                f1: mean(&columns[3]),
                other_unit: mean(&columns[4]),
            })
            .collect();
        lines.sort_by_key(|line| (line.hook.is_none(), line.hook));
        Ok(lines)
    }

    /// With `--baseline`, how well other units' explanations do on units of one hook point.
    fn of_others(
        &self,
        atlas: &Atlas,
        scorer: &Scorer<'_>,
        explainer: Explainer,
        units: &[UnitId],
    ) -> anyhow::Result<Vec<Option<f64>>> {
        let Some(first) = units.first().filter(|_| self.baseline) else { return Ok(vec![None; units.len()]) };
        let explained = atlas.explained(first.hook, explainer.name())?;
        let others = units.iter().map(|unit| scorer.of_another_unit(explainer, *unit, &explained));
        Ok(others.collect::<Result<_, _>>()?)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The summary as a table: correlations, F1, and how many units they are over.
fn table(lines: &[Line], baseline: bool) -> String {
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    let name = |line: &Line| line.hook.map_or("all".to_owned(), |hook| hook.to_string());
    let width = lines.iter().map(|line| name(line).len()).max().unwrap_or(0).max("hook point".len());
    let mut table =
        format!("{:width$}  explainer   units  undefined  top+random  random    top     F1", "hook point");
    table.push_str(if baseline { "  other unit\n" } else { "\n" });
    for line in lines {
        // Writing to a string cannot fail.
        let _ = write!(
            table,
            "{:width$}  {:10}  {:>5}  {:>9}  {:>10}  {:>6}  {:>5}  {:>5}",
            name(line),
            line.explainer,
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
