//! A report as tables.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use glossator_atlas::{CallTotals, ScoreKind};
use glossator_explain::comparison::{Comparison, GroupScores};
use glossator_explain::revision::Gain;
use glossator_explain::side_by_side::{Member, SideBySide};
use glossator_llm::prices::Money;
use glossator_model::HookPoint;

use super::{Extreme, Report};
use crate::output::count;
use crate::report::{Table, comparison_table, interval, number};

/// Characters of an explanation in a table.
const TEXT: usize = 90;

/// What scorers are that are only there to be compared with.
pub(super) const BASELINES: &str = "Scorers that begin with other-unit: score another unit's explanation on the same \
    excerpts, with empty: none at all; always-yes: and always-no: are judges that do not read. Where explanations are side by side, \
    means are over the units that all of them have; who is defined on none has no mean and takes none away.";

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
        report.model,
        names(&report.corpus),
        report.split
    )
}

/// The sources of a corpus without the directories that they lie in: reports are shown to others, on whose machines these mean
/// nothing.
fn names(sources: &str) -> String {
    let name = |source| {
        let name = Path::new(source).file_name();
        name.map_or(Cow::Borrowed(source), |name| name.to_string_lossy())
    };
    sources.split(", ").map(name).collect::<Vec<_>>().join(", ")
}

/// All tables with their titles.
pub(super) fn tables(report: &Report) -> Vec<(String, Table)> {
    let mut tables =
        vec![("Scores by explainer and scorer".to_owned(), comparison_table(&report.comparisons))];
    tables.extend(report.side_by_side.iter().map(|group| (together(group), side_by_side(group))));
    if !report.revisions.is_empty() {
        tables.push((
            "What revision brought: correlation before and after".to_owned(),
            revisions(&report.revisions),
        ));
    }
    if report.comparisons.iter().any(|comparison| comparison.hooks.len() > 1) {
        let [mean, above] = hooks(report);
        tables.push(("Mean score by layer".to_owned(), mean));
        tables.push(("Share of units above 0.5, 0.7 and 0.8 by layer".to_owned(), above));
    }
    if report.densities.iter().any(|densities| !densities.groups.is_empty()) {
        tables.push(("Mean score by density".to_owned(), densities(report)));
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

/// The title of a group: what is measured, and on how many units.
fn together(group: &SideBySide) -> String {
    let SideBySide { scorer, metric, sample, units, .. } = group;
    format!("Side by side on {}: {metric} ({sample}), {scorer}", count(*units, "common unit"))
}

/// Means on the units that all have, and each one's own.
fn side_by_side(group: &SideBySide) -> Table {
    let row = |member: &Member| {
        vec![
            member.explainer.clone(),
            member.scorer.clone(),
            number(member.mean),
            interval(member.interval),
            member.own_units.to_string(),
            number(member.own_mean),
        ]
    };
    let head = ["explainer", "scorer", "mean", "interval", "units of its own", "their mean"];
    Table::new(&head, group.members.iter().map(row).collect())
}

/// Scores before and after revision, on excerpts that nobody saw.
fn revisions(gains: &[Gain]) -> Table {
    let row = |gain: &Gain| {
        vec![
            gain.explainer.clone(),
            gain.units.to_string(),
            gain.kept.to_string(),
            gain.undefined.to_string(),
            number(gain.before),
            number(gain.after),
            number(gain.gain),
            interval(gain.interval),
            gain.better.to_string(),
            gain.worse.to_string(),
            gain.same.to_string(),
            format!("{} of {}", gain.failed, gain.rounds),
        ]
    };
    let head = [
        "explainer",
        "units",
        "keep a revision",
        "undefined",
        "before",
        "after",
        "gain",
        "interval",
        "better",
        "worse",
        "the same",
        "rounds without a result",
    ];
    Table::new(&head, gains.iter().map(row).collect())
}

/// Headline scores, their means and their shares above thresholds: a row for each hook point, a column for each explainer
/// and scorer.
fn hooks(report: &Report) -> [Table; 2] {
    let shown: Vec<&Comparison> = report
        .extremes
        .iter()
        .filter_map(|ends| report.comparisons.iter().find(|comparison| comparison.kind == ends.kind))
        .collect();
    let mut hooks: Vec<HookPoint> =
        shown.iter().flat_map(|comparison| comparison.hooks.iter().map(|of| of.hook)).collect();
    hooks.sort_unstable();
    hooks.dedup();
    let head = head("hook point", shown.iter().map(|comparison| &comparison.kind));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    [mean, above].map(|cell| {
        let row = |hook: &HookPoint| {
            let of = |comparison: &&Comparison| comparison.hooks.iter().find(|of| of.hook == *hook).copied();
            let cells = shown.iter().map(|comparison| cell(of(comparison).map(|of| of.scores)));
            std::iter::once(hook.to_string()).chain(cells).collect()
        };
        Table::new(&head, hooks.iter().map(row).collect())
    })
}

/// Mean headline scores: a row for each group of units by density, a column for each explainer and scorer.
fn densities(report: &Report) -> Table {
    let mut bounds: Vec<[f64; 2]> = report
        .densities
        .iter()
        .flat_map(|densities| densities.groups.iter().map(|group| [group.from, group.to]))
        .collect();
    bounds.sort_by(|a, b| a[0].total_cmp(&b[0]));
    bounds.dedup();
    let head = head("share of tokens above 0", report.densities.iter().map(|densities| &densities.kind));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let row = |&[from, to]: &[f64; 2]| {
        let cells = report.densities.iter().map(|densities| {
            let group = densities.groups.iter().find(|group| [group.from, group.to] == [from, to]);
            mean(group.map(|group| group.scores))
        });
        std::iter::once(format!("{from:.4} to {to:.4}")).chain(cells).collect()
    };
    Table::new(&head, bounds.iter().map(row).collect())
}

/// A first column, and one for each kind of score.
fn head<'a>(first: &str, kinds: impl Iterator<Item = &'a ScoreKind>) -> Vec<String> {
    let named = kinds.map(|kind| format!("{} by {}", kind.explainer, kind.scorer));
    std::iter::once(first.to_owned()).chain(named).collect()
}

fn mean(scores: Option<GroupScores>) -> String {
    number(scores.map(|scores| scores.mean))
}

fn above(scores: Option<GroupScores>) -> String {
    let shares = |GroupScores { above: [half, seven, eight], .. }| format!("{half:.3} {seven:.3} {eight:.3}");
    scores.map_or_else(|| number(None), shares)
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
            number(
                total
                    .cost
                    .map(|cost| Money::from_nanodollars(cost as i64).dollars() / total.units.max(1) as f64),
            ),
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
        "$ a unit",
        "seconds a unit",
        "failures",
        "of them",
    ];
    Table::new(&head, calls.iter().map(row).collect())
}

fn units(units: &[Extreme]) -> Table {
    let row = |unit: &Extreme| {
        let density = unit.density.map_or_else(|| number(None), |density| format!("{density:.4}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_without_their_directories() {
        assert_eq!(names("/home/somebody/a.jsonl, texts/, b.txt, -"), "a.jsonl, texts, b.txt, -");
    }
}
