//! `glossator puzzles --revise`: what becomes of the false explanations.

use glossator_explain::prompts::Prompts;
use glossator_explain::puzzles::{Judge, Puzzle, Repair, Repairing, TrialOutcome};
use glossator_explain::revision::Feedback;
use glossator_llm::{Client, Totals};
use serde::Serialize;

use crate::output;
use crate::report::{Table, number};

/// What came of the false explanations of all puzzles by one kind of feedback.
#[derive(Serialize)]
pub(super) struct Repaired {
    /// What went back, and who judged.
    revision: String,
    /// False explanations that were begun with.
    explanations: usize,
    /// Of them, those for which a revised one is kept.
    kept: usize,
    /// Of those with scores before and after, the ones that score higher on the texts nobody saw, and lower.
    better: usize,
    worse: usize,
    /// Mean scores of the false explanations, of what became of them, and of the true ones, where all are defined.
    means: Option<[f64; 3]>,
    /// Rounds, and those that brought nothing that can be used.
    rounds: usize,
    failed_rounds: usize,
    each: Vec<Repair>,
}

/// Revises the false explanations of `puzzles` in so many `rounds`, by one judge, who has scored the true ones (`known`).
pub(super) fn repaired(
    client: &Client,
    prompts: &Prompts,
    judge: Judge,
    (rounds, feedback): (u32, Feedback),
    puzzles: &[Puzzle],
    known: &[TrialOutcome],
) -> anyhow::Result<Repaired> {
    let bar = output::progress_of_calls(puzzles.len() as u64, "puzzles");
    bar.set_prefix(format!("{feedback}"));
    let watch = |totals: &Totals| bar.set_message(totals.to_string());
    let repairing = Repairing { puzzles, judge, client, prompts, rounds, feedback, watch: &watch };
    let (mut each, mut scores) = (Vec::new(), Vec::new());
    for (puzzle, known) in puzzles.iter().zip(known) {
        let truth = known.scores.iter().find(|(one, _)| one.is_true).and_then(|(_, score)| *score);
        let repairs = repairing.run(puzzle)?;
        let defined = |one: &Repair| Some([one.log.initial_test?, one.log.kept_test?, truth?]);
        scores.extend(repairs.iter().filter_map(defined));
        each.extend(repairs);
        bar.inc(1);
    }
    bar.finish();
    let mean = |column: usize| scores.iter().map(|row| row[column]).sum::<f64>() / scores.len() as f64;
    let all_rounds = || each.iter().flat_map(|one| &one.log.rounds);
    Ok(Repaired {
        revision: format!("{feedback}, by {judge}"),
        explanations: each.len(),
        kept: each.iter().filter(|one| one.log.kept.is_some()).count(),
        better: scores.iter().filter(|[before, after, _]| after > before).count(),
        worse: scores.iter().filter(|[before, after, _]| after < before).count(),
        means: (!scores.is_empty()).then(|| [mean(0), mean(1), mean(2)]),
        rounds: all_rounds().count(),
        failed_rounds: all_rounds().filter(|round| round.failure.is_some()).count(),
        each,
    })
}

/// The table, and below it each explanation with what became of it; with `transcripts` also all that was said.
pub(super) fn repaired_text(revisions: &[Repaired], transcripts: bool) -> String {
    if revisions.is_empty() {
        return String::new();
    }
    let row = |one: &Repaired| {
        let mean = |place: usize| number(one.means.map(|means| means[place]));
        vec![
            one.revision.clone(),
            one.explanations.to_string(),
            one.kept.to_string(),
            one.better.to_string(),
            one.worse.to_string(),
            mean(0),
            mean(1),
            mean(2),
            format!("{} of {}", one.failed_rounds, one.rounds),
        ]
    };
    let head = [
        "revision",
        "false ones",
        "revised",
        "better",
        "worse",
        "mean before",
        "mean after",
        "mean true",
        "failed rounds",
    ];
    let each = |one: &Repair| {
        let log = &one.log;
        vec![
            one.puzzle.clone(),
            log.initial.clone(),
            number(log.initial_test),
            log.kept.map_or_else(|| "(the same)".to_owned(), |_| log.kept_text().to_owned()),
            number(log.kept_test),
        ]
    };
    let mut parts = vec![format!("\n{}", Table::new(&head, revisions.iter().map(row).collect()).to_text())];
    for revision in revisions {
        let head = ["puzzle", "from", "score", "to", "score"];
        let table = Table::new(&head, revision.each.iter().map(each).collect());
        parts.push(format!("\n{}\n\n{}", revision.revision, table.to_text()));
        let shown = revision.each.iter().filter(|_| transcripts);
        parts.extend(
            shown.map(|one| format!("\n{}, which is {}\n{}", one.puzzle, one.truth, one.log.transcript())),
        );
    }
    parts.concat()
}
