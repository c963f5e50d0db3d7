//! `glossator explain` and `score` with a language model, from a recording of its answers: the whole way over a made-up
//! atlas, killed where they write and started again, with failures in it; and what users are told.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

#[path = "common/killing.rs"]
mod killing;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use assert_cmd::cargo::cargo_bin;
use glossator_atlas::testing::write_synthetic;
use glossator_atlas::{Atlas, Split};
use glossator_explain::Selector;
use glossator_explain::baselines::BaselineUnits;
use glossator_explain::explaining_in_words::InWords;
use glossator_explain::prompts::Prompts;
use glossator_explain::simulate::Simulator;
use glossator_explain::simulating::Simulating;
use glossator_explain::words::Method;
use glossator_llm::{
    Answer, Capabilities, Client, Distribution, Failure, FailureKind, LanguageModel, Ledger, Outcome, Piece,
    Request, Role, Usage, Want,
};
use killing::{copy, kill_while_writing, rows, succeed};

/// Names the token of the shortest mark; gives high numbers to tokens that the explanation quotes. Declines now and then.
struct Scripted;

impl Scripted {
    fn answer_one(request: &Request) -> Outcome {
        let question = &request.messages.iter().rfind(|message| message.role == Role::User).unwrap().content;
        let usage = Usage { prompt_tokens: 100, cached_tokens: 0, completion_tokens: 5 };
        if request.seed().is_multiple_of(16) {
            return Err(Failure { usage, ..Failure::new(FailureKind::Refused, "not today") });
        }
        let quoted = |text: &str| question.contains(&format!("\"{text}\""));
        match &request.want {
            Want::Text(_) => {
                let marks = question.split("<<").skip(1).filter_map(|rest| rest.split(">>").next());
                let marked = marks.min_by_key(|mark| mark.len());
                let text = format!(" the token \"{}\", sample {}.", marked.unwrap_or("?"), request.sample);
                Ok(Answer { text, usage, ..Answer::default() })
            }
            Want::Grades(grading) => {
                let tokens = grading.text.iter().filter_map(|piece| match piece {
                    Piece::Text(text) => text.rsplit('\n').next()?.strip_suffix('\t'),
                    Piece::Asked(_) => None,
                });
                let grades = tokens.map(|token| {
                    let high = if quoted(token) { 0.7 } else { 0.1 };
                    Distribution((0..=10).map(|n| if n == 10 { high } else { 0.02 }).collect())
                });
                Ok(Answer { grades: grades.collect(), usage, ..Answer::default() })
            }
        }
    }
}

impl LanguageModel for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            grades: true,
            continues_turn: true,
            number_ten: true,
            seed: true,
            ..Capabilities::default()
        }
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        for (index, request) in requests.iter().enumerate() {
            if !answered(index, Self::answer_one(request)) {
                return;
            }
        }
    }

    fn estimate_prompt_tokens(&self, _request: &Request) -> u64 {
        100
    }
}

/// An atlas, and a recording of all that explaining and scoring it ask.
fn recorded(directory: &Path) -> (PathBuf, PathBuf) {
    let (atlas, scratch) = (directory.join("atlas"), directory.join("scratch"));
    write_synthetic(&atlas, 2, 40).unwrap();
    copy(&atlas, &scratch);
    let recording = directory.join("recording.sqlite");
    let client =
        Client::new(Box::new(Scripted)).with_ledger(Arc::new(Ledger::open(&recording).unwrap())).unwrap();
    let prompts = Prompts::builtin().unwrap();
    let opened = Atlas::open_writable(&scratch).unwrap();
    let units = Selector::union(&["all".parse().unwrap()], &opened).unwrap();
    for method in [Method::MaxActivating, Method::Senses] {
        let simulator = Simulator::Grades;
        let words = InWords {
            atlas: &opened,
            client: &client,
            prompts: &prompts,
            samples: 2,
            simulator,
            watch: &|_| {},
        };
        words.run(method, &units, &vec![false; units.len()], &|_| {}).unwrap();
        let simulating = Simulating {
            atlas: &opened,
            client: &client,
            prompts: &prompts,
            simulator,
            split: Split::Test,
            seed: 0,
            calibrated: true,
            ablating: None,
            baselines: BaselineUnits::All,
            watch: &|_| {},
        };
        let explainer = method.explainer("scripted");
        let pending = simulating.pending(&explainer, &units, false).unwrap();
        simulating.run(&explainer, &units, &pending, &|_| {}).unwrap();
    }
    (atlas, recording)
}

/// The two commands, one after the other.
fn commands(atlas: &Path, recording: &Path) -> [Command; 2] {
    ["explain", "score"].map(|name| {
        let mut command = Command::new(cargo_bin("glossator"));
        command
            .arg(name)
            .args(["--explainer", "llm:max-act,llm:senses", "--llm", "replay", "--atlas"])
            .arg(atlas);
        command.arg("--ledger").arg(recording);
        match name {
            "explain" => command.args(["--samples", "2"]),
            // Baselines are scored by default.
            _ => command.args(["--simulator", "grades"]),
        };
        command
    })
}

#[test]
fn runs_that_were_killed_again_and_again_end_with_the_same_rows_and_files() {
    let directory = tempfile::tempdir().unwrap();
    let (atlas, recording) = recorded(directory.path());
    let (whole, killed) = (directory.path().join("whole"), directory.path().join("killed"));
    copy(&atlas, &whole);
    commands(&whole, &recording).iter_mut().for_each(|command| drop(succeed(command)));
    let expected = rows(&whole);
    // What the library stores is what the commands store, and nothing was left out of the recording.
    assert!(expected == rows(&directory.path().join("scratch")), "the commands store something else");
    assert!(expected.len() > 3000, "{}", expected.len());
    copy(&atlas, &killed);
    let mut kills = 0;
    for mut command in commands(&killed, &recording) {
        for nth in [1, 2, 1, 3, 2] {
            kills += usize::from(kill_while_writing(&mut command, &killed, nth));
        }
        succeed(&mut command);
    }
    assert!(rows(&killed) == expected, "other rows");
    let (expected, found) = (exported(&whole), exported(&killed));
    assert!(
        expected.len() >= 160 && expected == found,
        "the files for other programs are not the same bytes"
    );
    assert!(kills >= 5, "only {kills} runs were killed while they wrote");
}

/// Every file of an atlas in OpenAI's form, by name.
fn exported(atlas: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let out = atlas.with_extension("exported");
    let mut export = Command::new(cargo_bin("glossator"));
    succeed(export.arg("export").arg(atlas).args(["--format", "openai", "--all", "--out"]).arg(&out));
    let mut files = BTreeMap::new();
    let mut directories = vec![out.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.insert(path.strip_prefix(&out).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn users_are_told_what_happens() {
    let directory = tempfile::tempdir().unwrap();
    let (atlas, recording) = recorded(directory.path());
    let [mut explain, mut score] = commands(&atlas, &recording);
    // Scoring words without a language model, or before there are any, is refused with what to do.
    let failing = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let errors = failing(&mut score);
    assert!(
        errors.contains("no explanation by llm:max-act") && errors.contains("glossator explain"),
        "{errors}"
    );
    let mut estimate = Command::new(explain.get_program());
    let output = succeed(estimate.args(explain.get_args()).arg("--estimate"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("llm:max-act: about ") && said.contains(" calls for 80 units"), "{said}");
    assert!(
        Atlas::open(&atlas).unwrap().progress().unwrap().explainers.is_empty(),
        "an estimate stores nothing"
    );

    let output = succeed(&mut explain);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("units explained") && said.contains("could not be used") && said.contains("refused"),
        "{said}"
    );
    let mut plain = Command::new(cargo_bin("glossator"));
    let errors = failing(plain.args(["score", "--explainer", "llm:max-act", "--atlas"]).arg(&atlas));
    assert!(errors.contains("add --simulator"), "{errors}");
    let output = succeed(score.arg("--json"));
    let lines: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all =
        lines.as_array().unwrap().iter().rfind(|line| line["explainer"] == "llm:max-act@scripted").unwrap();
    assert_eq!(all["scorer"], "simulation:grades@scripted");
    assert!(all["top_and_random"].as_f64() > Some(0.9), "{all}");
    assert!(all["other_unit"].as_f64() < Some(0.5), "{all}");
}

/// What a recording holds of the simulations is enough to put them in the units' place in the subject model.
#[test]
fn words_are_scored_by_ablation_through_who_simulates_them() {
    let directory = tempfile::tempdir().unwrap();
    let (atlas, recording) = recorded(directory.path());
    let [mut explain, _] = commands(&atlas, &recording);
    succeed(&mut explain);
    let subject = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
    let score = |arguments: &[&str]| {
        let mut command = Command::new(cargo_bin("glossator"));
        command.args([
            "score",
            "--explainer",
            "llm:max-act",
            "--units",
            "blocks.0.mlp.hook_post:0-5",
            "--json",
        ]);
        command
            .args(["--llm", "replay", "--baseline", "none", "--atlas"])
            .arg(&atlas)
            .arg("--ledger")
            .arg(&recording);
        command.arg("--model").arg(&subject).args(arguments);
        command
    };
    let refused = |arguments: &[&str]| {
        let output = score(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["--scorer", "ablation"]).contains("add --simulator grades"));
    let errors = refused(&["--scorer", "detection", "--simulator", "grades"]);
    assert!(errors.contains("not for detection"), "{errors}");
    let output = succeed(&mut score(&["--scorer", "ablation", "--simulator", "grades"]));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let [line] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!((&line["scorer"], &line["metric"]), (&"ablation:grades@scripted".into(), &"ablation".into()));
    assert!(line["mean"].is_f64() && line["units"].as_u64() > line["undefined"].as_u64(), "{line}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("by ablation of what grades predicts") && said.contains(" scored"), "{said}");
}

#[test]
fn prompts_are_written_and_used() {
    let directory = tempfile::tempdir().unwrap();
    let prompts = directory.path().join("prompts");
    let mut command = Command::new(cargo_bin("glossator"));
    let output = succeed(command.arg("prompts").arg(&prompts));
    assert!(String::from_utf8_lossy(&output.stdout).contains("max-act.txt"));
    let (atlas, recording) = recorded(directory.path());
    fs::write(prompts.join("max-act.txt"), "@@ system\nhello\n@@ user\n{{ nonsense }}\n").unwrap();
    let [mut explain, _] = commands(&atlas, &recording);
    let output = explain.arg("--prompts").arg(&prompts).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("max-act.txt") && errors.contains("section user"),
        "{errors}"
    );
}
