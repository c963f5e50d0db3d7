//! `glossator llm` against a scripted endpoint, as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

#[path = "../../llm/tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use common::{Reply, Server, chat, last};
use serde_json::{Value, json};

const KEY: &str = "sk-a-key-that-nobody-may-see";

fn glossator(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("glossator").unwrap();
    command.env("NO_COLOR", "1").env_remove("OPENAI_API_KEY").env("MY_KEY", KEY).current_dir(directory);
    command.arg("llm").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An endpoint that lists one model and answers every chat with its last message.
fn echo() -> Server {
    Server::new(|call, _| match call.path.as_str() {
        "/v1/models" => Reply::Status(200, json!({ "data": [{ "id": "parrot" }] })),
        "/v1/chat/completions" => Reply::Status(200, chat(&last(call))),
        _ => Reply::Status(404, json!({ "error": { "message": "no such path" } })),
    })
}

#[test]
fn a_question_is_asked_once_and_the_ledger_tells_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = echo();
    let endpoint = ["--llm", "http", "--base-url", &server.base, "--api-key-env", "MY_KEY"];
    let ask = [&["ask", "Polly?", "--json"][..], &endpoint].concat();
    let first = glossator(directory.path(), &ask);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let answer: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(answer["outcome"]["Ok"]["text"], "Polly?");
    assert_eq!((&answer["totals"]["answered"], &answer["totals"]["cost"]), (&json!(1), &Value::Null));
    assert!(text(&first.stderr).contains("there is no price"), "{}", text(&first.stderr));
    let calls = server.calls();
    assert!(calls.iter().all(|call| call.authorization.as_deref() == Some(&format!("Bearer {KEY}"))));
    let second = glossator(directory.path(), &ask);
    let again: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!((&again["outcome"], &again["totals"]["kept"]), (&answer["outcome"], &json!(1)));
    assert_eq!(server.calls().len(), calls.len() + 1, "the list of models is asked for, and nothing else");

    let ledger = glossator(directory.path(), &["ledger", "glossator-llm.sqlite"]);
    let place = server.base.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap();
    let wanted = "MODEL\n  answered    1\n  attempts    1\n  tokens      10 read (0 of them from a cache), 5 written\n  \
                  cost        $0, and 1 answers without a known price\n";
    assert_eq!(text(&ledger.stdout), wanted.replace("MODEL", &format!("{place}/parrot")));
    let recording = glossator(directory.path(), &["ledger", "glossator-llm.sqlite", "--jsonl"]);
    std::fs::write(directory.path().join("r.jsonl"), &recording.stdout).unwrap();
    let replay = ["ask", "Polly?", "--llm", "replay", "--ledger", "r.jsonl"];
    assert_eq!(text(&glossator(directory.path(), &replay).stdout), "Polly?\n");
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the key was stored");
    }
}

/// What an older probe found is not believed for ever: the questions have changed since.
#[test]
fn an_endpoint_that_an_older_probe_knew_is_probed_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = echo();
    let ask = ["ask", "Polly?", "--llm", "http", "--base-url", &server.base];
    assert!(glossator(directory.path(), &ask).status.success());
    let ledger = || glossator_llm::Ledger::open(&directory.path().join("glossator-llm.sqlite")).unwrap();
    let name = ledger().models().unwrap().remove(0);
    let stored: Value = ledger().probe(&name).unwrap().unwrap();
    assert_eq!((&stored["version"], &stored["capabilities"]["grades"]), (&json!(1), &json!(false)));
    // As it was stored before there were versions, with a verdict that is wrong.
    let mut old = stored.clone();
    old.as_object_mut().unwrap().remove("version");
    old["capabilities"]["grades"] = json!(true);
    let capabilities = serde_json::from_value(old["capabilities"].clone()).unwrap();
    ledger().put_model(&name, capabilities, Some(&old)).unwrap();
    let before = server.calls().len();
    let again = glossator(directory.path(), &ask);
    assert!(text(&again.stderr).contains("an older probe"), "{}", text(&again.stderr));
    assert!(server.calls().len() > before + 5, "the questions are asked again");
    assert_eq!(ledger().probe::<Value>(&name).unwrap(), Some(stored));
    assert!(!ledger().capabilities(&name).unwrap().unwrap().grades);
    let before = server.calls().len();
    assert!(glossator(directory.path(), &ask).status.success());
    assert_eq!(server.calls().len(), before + 1, "once: the list of models is asked for, and nothing else");
}

#[test]
fn a_budget_holds_and_needs_a_price() {
    let directory = tempfile::tempdir().unwrap();
    let server = echo();
    let ask = |extra: &[&str]| {
        let base = ["ask", "Polly?", "--llm", "http", "--base-url", &server.base, "--budget", "0.01"];
        glossator(directory.path(), &[&base[..], extra].concat())
    };
    let refused = ask(&[]);
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("--prices"),
        "{}",
        text(&refused.stderr)
    );
    std::fs::write(directory.path().join("p.toml"), "[parrot]\ninput = 1000\noutput = 1000\n").unwrap();
    assert!(server.calls().iter().all(|call| call.path.ends_with("/models")), "not even the probe was sent");
    let stopped = text(&ask(&["--prices", "p.toml"]).stderr);
    assert!(stopped.contains("budget of $0.0100") && stopped.contains("--budget"), "{stopped}");
    let asked = |call: &common::Call| call.body["messages"][0]["content"] == "Polly?";
    assert!(!server.calls().iter().any(asked), "the question was not sent");
    std::fs::write(directory.path().join("p.toml"), "[parrot]\ninput = 1\noutput = 1\n").unwrap();
    let answered = ask(&["--prices", "p.toml"]);
    assert!(
        answered.status.success() && text(&answered.stderr).contains("$0.000015"),
        "{}",
        text(&answered.stderr)
    );
}

#[test]
fn a_probe_says_what_is_offered_and_a_missing_key_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let server = echo();
    let probe = glossator(directory.path(), &["probe", "--base-url", &server.base]);
    let shown = text(&probe.stdout);
    assert!(probe.status.success() && shown.contains("grades") && shown.contains("404"), "{shown}");
    assert!(server.calls().iter().all(|call| call.authorization.is_none()));
    let missing = text(&glossator(directory.path(), &["probe", "--llm-model", "m"]).stderr);
    assert!(missing.contains("OPENAI_API_KEY") && missing.contains("--api-key-env"), "{missing}");
    assert!(!directory.path().join("glossator-llm.sqlite").exists());
}
