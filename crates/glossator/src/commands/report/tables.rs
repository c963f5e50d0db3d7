//! A report as tables.

use std::fmt::Write as _;

use glossator_atlas::{CallTotals, ScoreKind, ScoredUnit};
use glossator_explain::comparison::Comparison;

use super::Report;
use crate::report::{Table, number};

/// Characters of an explanation in a table.
const TEXT: usize = 90;

/// What is printed on the terminal.
pub(super) fn text(report: &Report) -> String {
    let mut text = format!("{}\n", context(report));
    for (title, table) in tables(report) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{title}\n{}", table.to_text());
    }
    text
}

/// What the numbers are about.
pub(super) fn context(report: &Report) -> String {
    format!(
        "{}, recorded on {}; scores on the {} split, means over the units whose score is defined, with 95 % bootstrap \
         intervals.",
        report.model, report.corpus, report.split
    )
}

/// All tables with their titles.
pub(super) fn tables(report: &Report) -> Vec<(String, Table)> {
    let mut tables = vec![("Scores by explainer and scorer".to_owned(), scores(&report.comparisons))];
    if report.comparisons.iter().any(|comparison| comparison.layers.len() > 1) {
        tables.push(("Mean score by layer".to_owned(), layers(report)));
    }
    tables.push(("What it took, and what failed".to_owned(), costs(&report.calls)));
    for ends in &report.extremes {
        tables.push((format!("Best units, {}", named(&ends.kind)), units(&ends.best)));
        tables.push((format!("Worst units, {}", named(&ends.kind)), units(&ends.worst)));
    }
    tables
}

/// A kind of score in a few words.
pub(super) fn named(kind: &ScoreKind) -> String {
    format!("{} by {}: {} ({})", kind.explainer, kind.scorer, kind.metric, kind.sample)
}

fn scores(comparisons: &[Comparison]) -> Table {
    let row = |comparison: &Comparison| {
        let interval = comparison
            .interval
            .map_or_else(|| number(None), |interval| format!("{:.3} to {:.3}", interval.low, interval.high));
        let [half, seven, eight] = comparison.above.map(number);
        vec![
            comparison.kind.explainer.clone(),
            comparison.kind.scorer.clone(),
            format!("{} ({})", comparison.kind.metric, comparison.kind.sample),
            comparison.units.to_string(),
            comparison.undefined.to_string(),
            number(comparison.mean),
            interval,
            half,
            seven,
            eight,
        ]
    };
    let head =
        ["explainer", "scorer", "score", "units", "undefined", "mean", "interval", "> 0.5", "> 0.7", "> 0.8"];
    Table::new(&head, comparisons.iter().map(row).collect())
}

/// Headline scores: a row for each layer, a column for each explainer and scorer.
fn layers(report: &Report) -> Table {
    let shown: Vec<&Comparison> = report
        .extremes
        .iter()
        .filter_map(|ends| report.comparisons.iter().find(|comparison| comparison.kind == ends.kind))
        .collect();
    let mut layers: Vec<usize> =
        shown.iter().flat_map(|comparison| comparison.layers.iter().map(|(layer, ..)| *layer)).collect();
    layers.sort_unstable();
    layers.dedup();
    let head: Vec<String> = std::iter::once("layer".to_owned())
        .chain(
            shown
                .iter()
                .map(|comparison| format!("{} by {}", comparison.kind.explainer, comparison.kind.scorer)),
        )
        .collect();
    let row = |layer: &usize| {
        let value = |comparison: &&Comparison| {
            number(comparison.layers.iter().find(|(other, ..)| other == layer).map(|(.., mean)| *mean))
        };
        std::iter::once(layer.to_string()).chain(shown.iter().map(value)).collect()
    };
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    Table::new(&head, layers.iter().map(row).collect())
}

fn costs(calls: &[CallTotals]) -> Table {
    let row = |total: &CallTotals| {
        let each = |count: u64| number((total.units > 0).then(|| count as f64 / total.units as f64));
        let failures: Vec<String> =
            total.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        vec![
            total.explainer.clone(),
            total.scorer.clone().unwrap_or_else(|| "explaining".to_owned()),
            total.units.to_string(),
            each(total.requests),
            each(total.prompt_tokens),
            each(total.completion_tokens),
            number(total.seconds_per_unit),
            total.failures.values().sum::<u64>().to_string(),
            failures.join(", "),
        ]
    };
    let head = [
        "explainer",
        "for",
        "units",
        "requests a unit",
        "tokens read",
        "tokens written",
        "seconds a unit",
        "failures",
        "of them",
    ];
    Table::new(&head, calls.iter().map(row).collect())
}

fn units(units: &[ScoredUnit]) -> Table {
    let row = |unit: &ScoredUnit| {
        let density = format!("{:.4}", unit.density);
        vec![unit.unit.to_string(), number(unit.value), density, shortened(&unit.text)]
    };
    Table::new(&["unit", "score", "density", "explanation"], units.iter().map(row).collect())
}

/// A text that fits on a line, without characters that control a terminal or turn the direction of text.
fn shortened(text: &str) -> String {
    let hidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let line = text.chars().map(|character| if hidden(character) { ' ' } else { character });
    let mut short: String = line.clone().take(TEXT).collect();
    if line.count() > TEXT {
        short.push('…');
    }
    short
}
