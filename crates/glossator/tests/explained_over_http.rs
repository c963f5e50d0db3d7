//! `glossator explain`, `score` and `report` with `--llm http` against a scripted endpoint with a price, as a user runs them: a
//! budget that runs out in the middle, what is asked after it, and what it all cost; so too with revision.
#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

#[path = "../../llm/tests/common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use assert_cmd::cargo::cargo_bin;
use common::{Call, Reply, Server, chat, last};
use glossator_atlas::testing::write_synthetic;
use glossator_atlas::{Atlas, Score};
use serde_json::{Value, json};

/// Dollars for a million tokens, read or written.
const PRICE: f64 = 1.0;
/// Tokens that every answer is said to take: a thousandth of a dollar.
const TOKENS: u64 = 1_000;

/// An endpoint that names the token of the shortest mark, and gives 10 to tokens that a description quotes.
fn endpoint() -> Server {
    Server::new(|call, _| match call.path.as_str() {
        "/v1/models" => Reply::Status(200, json!({ "data": [{ "id": "namer" }] })),
        "/v1/chat/completions" => {
            let mut body = chat(&answer(&last(call)));
            body["usage"] = json!({ "prompt_tokens": TOKENS - 10, "completion_tokens": 10 });
            Reply::Status(200, body)
        }
        _ => Reply::Status(404, json!({ "error": { "message": "no such path" } })),
    })
}

fn answer(question: &str) -> String {
    if let Ok(asked) = serde_json::from_str::<Value>(question)
        && let Some(tokens) = asked["tokens"].as_object()
    {
        let quoted = |text: &Value| {
            asked["looks_for"].as_str().unwrap().contains(&format!("\"{}\"", text.as_str().unwrap()))
        };
        let numbers =
            tokens.iter().map(|(number, text)| (number.clone(), json!(10 * u8::from(quoted(text)))));
        return Value::Object(numbers.collect()).to_string();
    }
    if question.contains("in which it stays silent, as {") {
        return json!({ "fires": ["The king is walking."], "silent": ["The cat sat."] }).to_string();
    }
    let marks = question.split("<<").skip(1).filter_map(|rest| rest.split(">>").next());
    format!("the token \"{}\".", marks.min_by_key(|mark| mark.len()).unwrap_or("?"))
}

/// What was asked about units, without the probe.
fn asked(server: &Server) -> Vec<Value> {
    let about_units = |call: &Call| {
        call.body["messages"].as_array().is_some_and(|messages| {
            messages[0]["content"].as_str().unwrap().starts_with("We study the neurons")
        })
    };
    server.calls().into_iter().filter(about_units).map(|call| call.body).collect()
}

fn glossator(name: &str, atlas: &Path, server: &Server, budget: &str, more: &[&str]) -> Output {
    let prices = atlas.with_extension("prices.toml");
    std::fs::write(&prices, format!("[namer]\ninput = {PRICE}\noutput = {PRICE}\n")).unwrap();
    let mut command = Command::new(cargo_bin("glossator"));
    command.arg(name).arg("--atlas").arg(atlas).args(["--explainer", "llm", "--llm", "http"]);
    command.args(["--base-url", &server.base, "--budget", budget, "--prices"]).arg(prices).args(more);
    command.env_remove("OPENAI_API_KEY").output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command with a budget that stops it, then with enough, and returns how many requests each sent.
fn in_two_goes(name: &str, atlas: &Path, server: &Server, budget: &str, more: &[&str]) -> (usize, usize) {
    let before = asked(server).len();
    let stopped = glossator(name, atlas, server, budget, more);
    let said = errors(&stopped);
    assert!(!stopped.status.success() && said.contains("budget of $"), "{said}");
    let first = asked(server).len() - before;
    let spent = first as f64 * TOKENS as f64 * PRICE / 1e6;
    assert!(spent <= budget.parse().unwrap(), "{first} answers cost ${spent}, more than ${budget}");
    let finished = glossator(name, atlas, server, "10", more);
    assert!(finished.status.success(), "{}", errors(&finished));
    (first, asked(server).len() - before - first)
}

fn scores(atlas: &Path) -> Vec<Score> {
    let atlas = Atlas::open(atlas).unwrap();
    let hooks = atlas.hooks().to_vec();
    let units = hooks.iter().flat_map(|hook| (0..hook.units).map(|index| (hook.hook, index)));
    units.flat_map(|(hook, index)| atlas.scores(glossator_model::UnitId { hook, index }).unwrap()).collect()
}

#[test]
fn a_run_that_its_budget_stopped_goes_on_and_pays_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (atlas, whole) = (directory.path().join("stopped.atlas"), directory.path().join("whole.atlas"));
    for path in [&atlas, &whole] {
        write_synthetic(path, 2, 12).unwrap();
    }
    let server = endpoint();
    let simulate = ["--simulator", "json", "--uncalibrated", "--baseline"];
    let explaining = in_two_goes("explain", &atlas, &server, "0.02", &[]);
    assert!(explaining.0 > 5 && explaining.0 + explaining.1 == 24, "{explaining:?}: one request a unit");
    let scoring = in_two_goes("score", &atlas, &server, "0.1", &simulate);
    assert!(scoring.0 > 20 && scoring.1 > scoring.0, "{scoring:?}");
    let sent = asked(&server);
    let distinct: BTreeSet<String> = sent.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), sent.len(), "something was paid twice");

    // An undisturbed run, at another endpoint of the same name and the same answers, stores the same.
    let other = endpoint();
    for (name, more) in [("explain", &[][..]), ("score", &simulate)] {
        let output = glossator(name, &whole, &other, "10", more);
        assert!(output.status.success(), "{}", errors(&output));
    }
    let place = |server: &Server| server.base.replace("http://", "").replace("/v1", "");
    let (mut found, mut wanted) = (scores(&atlas), scores(&whole));
    for (scores, server) in [(&mut found, &server), (&mut wanted, &other)] {
        for score in scores.iter_mut() {
            score.explainer = score.explainer.replace(&place(server), "HERE");
            score.scorer = score.scorer.replace(&place(server), "HERE");
        }
    }
    assert!(found.len() > 100 && found == wanted);

    let mut report = Command::new(cargo_bin("glossator"));
    let output = report.arg("report").arg(&atlas).arg("--json").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let calls = report["calls"].as_array().unwrap();
    let of = |scoring: bool| calls.iter().find(|calls| calls["scorer"].is_string() == scoring).unwrap();
    assert_eq!(of(false)["cost"], 24 * TOKENS * 1_000, "in billionths of a dollar");
    assert_eq!(of(true)["cost"], of(true)["requests"].as_u64().unwrap() * TOKENS * 1_000);
    assert!(of(true)["seconds_per_unit"].as_f64() > Some(0.0) && of(false)["seconds_per_unit"].is_number());
}

#[test]
fn revision_says_what_it_will_ask_and_goes_on_after_its_budget() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = directory.path().join("revised.atlas");
    write_synthetic(&atlas, 1, 12).unwrap();
    let server = endpoint();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
    let revise = ["--revise", "1", "--choose-by", "json", "--model", model.to_str().unwrap()];

    let output = glossator("explain", &atlas, &server, "10", &[&revise[..], &["--estimate"]].concat());
    let said = errors(&output);
    let estimated = |what: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_else(|| panic!("{said}"));
        line.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
    };
    let name = said.lines().find_map(|line| line.strip_prefix("llm:max-act+revised@")).unwrap();
    let name = name.split(": about").next().unwrap();
    let (first, revision) = (estimated("llm:max-act: "), estimated(&format!("llm:max-act+revised@{name}: ")));
    assert_eq!((first, asked(&server).len()), (12, 0), "an estimate asks nothing");

    let (before, after) = in_two_goes("explain", &atlas, &server, "0.1", &revise);
    let revising = before + after - first;
    assert!(before > first && revising > 12 * 12 && revising <= revision, "{revising} of {revision}");
    let sent = asked(&server);
    let distinct: BTreeSet<String> = sent.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), sent.len(), "something was paid twice");
    let unit = glossator_model::UnitId::new(glossator_model::HookPoint::mlp_post(0), 3);
    let stored = Atlas::open(&atlas).unwrap().explanations(unit).unwrap();
    let revised = stored.iter().find(|one| one.explainer.contains("+revised@")).unwrap();
    assert_eq!(revised.body["revision"]["rounds"][0]["sentences"].as_array().unwrap().len(), 2);
}
