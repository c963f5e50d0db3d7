//! `glossator puzzles`: made-up units with known truth, by which explainers, simulators and scores are tested.

mod repaired;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use glossator_explain::prompts::Prompts;
use glossator_explain::puzzles::{
    self, Judge, Puzzle, Recovery, Shown, Standing, Standings, Trial, TrialOutcome,
};
use glossator_explain::revision::Feedback;
use glossator_explain::simulate::Simulator;
use glossator_explain::words::Method;
use glossator_llm::{Client, Request};
use serde::Serialize;

use crate::arguments::asking;
use crate::arguments::llm::LlmArgs;
use crate::output;
use crate::report::{Table, number};
use repaired::{Repaired, repaired, repaired_text};

/// Test a language model as simulator, judge and explainer on made-up units whose truth is known
///
/// For each way to score explanations it prints how often, and by how much, the true explanation of a unit outscores false
/// ones that are nearly right; for each explainer how often what it finds outscores them; and with `--revise` what becomes of
/// the false ones in rounds of revision.
#[derive(Args)]
#[command(after_help = "Examples:\n  glossator puzzles --llm local\n  \
                        glossator puzzles --llm local --judge grades,detection --explainer llm:max-act --json\n  \
                        glossator puzzles --llm local --only not-before-all --revise 3 --transcripts")]
pub(crate) struct Puzzles {
    /// Ways to score: detection, fuzzing, grades, one-at-a-time, json [default: detection, fuzzing and the best simulator
    /// of the model]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    judge: Vec<Judge>,
    /// Explainers: llm:max-act, llm:pairs, llm:contrastive; their explanations are scored by the first judge
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    explainer: Vec<Method>,
    /// Rounds in which every false explanation is tested with sentences of the model's own, on which the unit's rule is run,
    /// and corrected; scored by the first judge
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20), value_name = "N")]
    revise: u32,
    /// What goes back in these rounds: tests (such sentences), or to compare with them random (texts of other puzzles) and
    /// nothing (it is asked again)
    #[arg(long, value_delimiter = ',', default_value = "tests", value_name = "FEEDBACK")]
    revise_by: Vec<Feedback>,
    /// Also print all that was said in these rounds
    #[arg(long)]
    transcripts: bool,
    /// Only these puzzles, by name
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Prompts to use in place of the built-in ones (`glossator prompts DIR` writes those)
    #[arg(long, value_name = "DIR")]
    prompts: Option<PathBuf>,
    #[command(flatten)]
    llm: LlmArgs,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Results {
    model: String,
    judges: Standings,
    /// Every score of every judge.
    scores: Vec<Line>,
    explainers: Vec<Explained>,
    revisions: Vec<Repaired>,
}

#[derive(Serialize)]
struct Line {
    judge: &'static str,
    puzzle: String,
    explanation: String,
    is_true: bool,
    score: Option<f64>,
}

#[derive(Serialize)]
struct Explained {
    explainer: String,
    /// Puzzles that it was shown.
    puzzles: usize,
    /// Answers that can be used.
    answers: usize,
    /// Of them, those that score higher than every false explanation.
    recovered: usize,
    /// Mean score of what was found, of the true explanations, and of the best false ones, where all are defined.
    means: Option<[f64; 3]>,
    found: Vec<Recovery>,
}

impl Puzzles {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut puzzles = puzzles::all().map_err(anyhow::Error::msg)?;
        for name in &self.only {
            let known: Vec<&str> = puzzles.iter().map(|puzzle| puzzle.name.as_str()).collect();
            ensure!(known.contains(&name.as_str()), "there is no puzzle `{name}`, only {}", known.join(", "));
        }
        puzzles.retain(|puzzle| self.only.is_empty() || self.only.contains(&puzzle.name));
        let client = self.llm.client(&PathBuf::from("puzzles.sqlite"))?;
        let prompts = asking::prompts(self.prompts.as_deref())?;
        let judges = if self.judge.is_empty() {
            let simulator = Judge::Simulation(Simulator::best(client.capabilities()));
            vec![simulator, Judge::Detection, Judge::Fuzzing]
        } else {
            self.judge.clone()
        };
        let mut results = Results {
            model: client.name().to_owned(),
            judges: Standings::new(),
            scores: Vec::new(),
            explainers: Vec::new(),
            revisions: Vec::new(),
        };
        let mut first = None;
        for &judge in &judges {
            if let Judge::Simulation(simulator) = judge {
                simulator.check(&client)?;
            }
            let outcomes = tried(&client, &prompts, judge, &puzzles)?;
            results.judges.insert(judge.name().to_owned(), Standing::of(&outcomes));
            results.scores.extend(lines(judge, &puzzles, &outcomes));
            first.get_or_insert((judge, outcomes));
        }
        for &method in &self.explainer {
            if let Some((judge, outcomes)) = &first {
                results.explainers.push(explained(&client, &prompts, method, *judge, &puzzles, outcomes)?);
            }
        }
        if let Some((judge, outcomes)) = first.as_ref().filter(|_| self.revise > 0) {
            for &feedback in &self.revise_by {
                let rounds = (self.revise, feedback);
                results.revisions.push(repaired(&client, &prompts, *judge, rounds, &puzzles, outcomes)?);
            }
        }
        output::note(&format!("{}: {}", client.name(), client.totals()));
        if self.json {
            output::print_json(&results)?;
        } else {
            output::print(&text(&results, self.transcripts))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// All puzzles before one judge.
fn tried(
    client: &Client,
    prompts: &Prompts,
    judge: Judge,
    puzzles: &[Puzzle],
) -> anyhow::Result<Vec<TrialOutcome>> {
    let capabilities = client.capabilities();
    let bar = output::progress(puzzles.len() as u64, "puzzles");
    bar.set_message(judge.name());
    let mut outcomes = Vec::with_capacity(puzzles.len());
    for puzzle in puzzles {
        let trial = Trial::new(puzzle, judge);
        let answers = client.ask(&trial.requests(prompts, capabilities)?)?;
        outcomes.push(trial.read(capabilities, &answers));
        bar.inc(1);
    }
    bar.finish();
    Ok(outcomes)
}

fn lines(judge: Judge, puzzles: &[Puzzle], outcomes: &[TrialOutcome]) -> Vec<Line> {
    let each = puzzles.iter().zip(outcomes).flat_map(|(puzzle, outcome)| {
        outcome.scores.iter().map(move |(candidate, score)| Line {
            judge: judge.name(),
            puzzle: puzzle.name.clone(),
            explanation: candidate.text.clone(),
            is_true: candidate.is_true,
            score: *score,
        })
    });
    each.collect()
}

/// What an explainer finds for all puzzles, scored by one judge.
fn explained(
    client: &Client,
    prompts: &Prompts,
    method: Method,
    judge: Judge,
    puzzles: &[Puzzle],
    known: &[TrialOutcome],
) -> anyhow::Result<Explained> {
    let capabilities = client.capabilities();
    let mut requests: Vec<Request> = Vec::new();
    for puzzle in puzzles {
        let request = Shown::new(puzzle).request(method, prompts, capabilities)?;
        let Some(request) = request else {
            anyhow::bail!(
                "{method} shows what puzzles do not have: use llm:max-act, llm:pairs or llm:contrastive"
            )
        };
        requests.push(request);
    }
    let mut found = Vec::with_capacity(puzzles.len());
    for ((puzzle, known), outcome) in puzzles.iter().zip(known).zip(client.ask(&requests)?) {
        let Ok(text) = Shown::new(puzzle).read(method, prompts, &outcome)? else {
            found.push(Recovery::new(puzzle, known, None));
            continue;
        };
        let trial = Trial::of_found(&puzzle.scored, judge, &text);
        let scored = trial.read(capabilities, &client.ask(&trial.requests(prompts, capabilities)?)?);
        found.push(Recovery::new(puzzle, known, Some((text, &scored))));
    }
    let defined: Vec<[f64; 3]> =
        found.iter().filter_map(|one| Some([one.score?, one.true_score?, one.false_score?])).collect();
    let mean = |column: usize| defined.iter().map(|row| row[column]).sum::<f64>() / defined.len() as f64;
    Ok(Explained {
        explainer: format!("{method}, by {judge}"),
        puzzles: found.len(),
        answers: found.iter().filter(|one| one.found.is_some()).count(),
        recovered: found.iter().filter(|one| one.recovered() == Some(true)).count(),
        means: (!defined.is_empty()).then(|| [mean(0), mean(1), mean(2)]),
        found,
    })
}

fn text(results: &Results, transcripts: bool) -> String {
    let row = |(judge, standing): (&String, &Standing)| {
        let share = (standing.pairs > 0).then(|| standing.right as f64 / standing.pairs as f64);
        vec![
            judge.clone(),
            standing.puzzles.to_string(),
            standing.solved.to_string(),
            standing.pairs.to_string(),
            number(share),
            standing.ties.to_string(),
            standing.undefined.to_string(),
            number(standing.mean_true),
            number(standing.mean_false),
            number(standing.margin),
            standing.requests.to_string(),
            standing.failures.to_string(),
        ]
    };
    let head = [
        "judge",
        "puzzles",
        "solved",
        "pairs",
        "true higher",
        "ties",
        "undefined",
        "mean true",
        "mean false",
        "margin",
        "requests",
        "failures",
    ];
    let mut text = format!(
        "{}\n\n{}",
        results.model,
        Table::new(&head, results.judges.iter().map(row).collect()).to_text()
    );
    if !results.explainers.is_empty() {
        let row = |explainer: &Explained| {
            let mean = |place: usize| number(explainer.means.map(|means| means[place]));
            vec![
                explainer.explainer.clone(),
                explainer.puzzles.to_string(),
                explainer.answers.to_string(),
                explainer.recovered.to_string(),
                mean(0),
                mean(1),
                mean(2),
            ]
        };
        let head =
            ["explainer", "puzzles", "answers", "recovered", "mean found", "mean true", "mean best false"];
        text.push('\n');
        text.push_str(&Table::new(&head, results.explainers.iter().map(row).collect()).to_text());
    }
    text.push_str(&repaired_text(&results.revisions, transcripts));
    text
}
