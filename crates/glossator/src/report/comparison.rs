//! Scores by explainer and scorer as a table: means over the units whose score is defined, and how many these are.

use glossator_explain::comparison::Comparison;

use super::{Table, interval, number};

/// A row for each kind of score.
pub(crate) fn comparison_table(comparisons: &[Comparison]) -> Table {
    let row = |comparison: &Comparison| {
        let [half, seven, eight] = comparison.above.map(number);
        vec![
            comparison.kind.explainer.clone(),
            comparison.kind.scorer.clone(),
            format!("{} ({})", comparison.kind.metric, comparison.kind.sample),
            comparison.units.to_string(),
            comparison.undefined.to_string(),
            number(comparison.mean),
            interval(comparison.interval),
            half,
            seven,
            eight,
        ]
    };
    let head =
        ["explainer", "scorer", "score", "units", "undefined", "mean", "interval", "> 0.5", "> 0.7", "> 0.8"];
    Table::new(&head, comparisons.iter().map(row).collect())
}
