//! A scripted Batch API: submitting, waiting, collecting, and what goes wrong.
#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Call, Reply, Server, chat};
use glossator_llm::batch::{BatchModel, Waiting};
use glossator_llm::http::{Dialect, Endpoint, Probe, Timeouts};
use glossator_llm::{
    Capabilities, Client, FailureKind, Generation, Ledger, LlmError, Message, Request, Want,
};
use serde_json::{Value, json};

/// The provider's side.
#[derive(Default)]
struct Provider {
    files: Vec<String>,
    batches: Vec<Value>,
    /// Looks at a batch until it has ended.
    looks: usize,
    /// The answer to the call that creates a batch is lost.
    lose_creation: bool,
    /// How batches end.
    ends: &'static str,
}

type Shared = Arc<Mutex<Provider>>;

fn server(provider: &Shared) -> Server {
    let provider = Arc::clone(provider);
    Server::new(move |call, _| {
        let mut provider = provider.lock().unwrap();
        let path = call.path.strip_prefix("/v1/").unwrap().to_owned();
        match path.split(['/', '?']).collect::<Vec<_>>().as_slice() {
            ["files"] => {
                provider.files.push(String::from_utf8(call.bytes.clone()).unwrap());
                Reply::Status(200, json!({ "id": format!("file-{}", provider.files.len() - 1) }))
            }
            ["files", file, "content"] => answers(&provider, file),
            ["batches"] => create(&mut provider, call),
            ["batches", rest] if rest.starts_with("limit") => {
                Reply::Status(200, json!({ "data": provider.batches, "has_more": false }))
            }
            ["batches", id] => {
                provider.looks = provider.looks.saturating_sub(1);
                let batch = provider.batches.iter().find(|batch| batch["id"] == *id).unwrap().clone();
                let input = batch["input_file_id"].as_str().unwrap();
                let ended = json!({ "status": provider.ends, "output_file_id": format!("out-{input}"), "error_file_id": format!("err-{input}") });
                Reply::Status(
                    200,
                    if provider.looks == 0 { ended } else { json!({ "status": "in_progress" }) },
                )
            }
            other => panic!("{other:?}"),
        }
    })
}

fn create(provider: &mut Provider, call: &Call) -> Reply {
    let mut batch = call.body.clone();
    batch["id"] = format!("batch_{}", provider.batches.len()).into();
    provider.batches.push(batch.clone());
    if std::mem::take(&mut provider.lose_creation) { Reply::Hangup } else { Reply::Status(200, batch) }
}

/// Answers texts with themselves; `bad` with an error, `expired` not at all, `half` with half an answer.
fn answers(provider: &Provider, file: &str) -> Reply {
    let (kind, input) = file.split_once('-').unwrap();
    let number: usize = input.strip_prefix("file-").unwrap().parse().unwrap();
    let mut lines = String::new();
    for line in provider.files[number].lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let text = line["body"]["messages"][0]["content"].as_str().unwrap();
        let mut body = chat(text);
        if text == "half" {
            body["choices"][0]["finish_reason"] = Value::Null;
        }
        let id = &line["custom_id"];
        let line = match (kind, text) {
            ("out", "bad" | "expired") | ("err", _) if !(kind == "err" && text == "bad") => continue,
            ("err", _) => {
                json!({ "custom_id": id, "response": { "status_code": 400, "body": { "error": { "message": "bad" } } } })
            }
            _ => json!({ "custom_id": id, "response": { "status_code": 200, "body": body }, "error": null }),
        };
        writeln!(lines, "{line}\nnot a line").unwrap();
    }
    Reply::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{lines}", lines.len()).into_bytes())
}

fn client(server: &Server, ledger: &Path, most: Option<Duration>) -> Client {
    let endpoint = Endpoint::new(&server.base, None, "m", Timeouts::default()).unwrap();
    let probe = Probe {
        version: Probe::VERSION,
        dialect: Dialect::unknown(),
        capabilities: Capabilities::default(),
        findings: Vec::new(),
    };
    let ledger = Arc::new(Ledger::open(ledger).unwrap());
    let waiting = Waiting { pause: Duration::from_millis(10), most };
    let model = BatchModel::new(endpoint, probe, Arc::clone(&ledger), waiting);
    Client::new(Box::new(model)).with_ledger(ledger).unwrap()
}

fn requests(texts: &[&str]) -> Vec<Request> {
    let request = |text: &&str| Request {
        messages: vec![Message::user(*text)],
        want: Want::Text(Generation::default()),
        sample: 0,
    };
    texts.iter().map(request).collect()
}

fn provider(looks: usize, ends: &'static str) -> Shared {
    Arc::new(Mutex::new(Provider { looks, ends, ..Provider::default() }))
}

#[test]
fn a_batch_is_submitted_waited_for_and_collected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    let provider = provider(3, "completed");
    let server = server(&provider);
    let asked = requests(&["a", "b", "bad", "half", "a"]);
    let outcomes = client(&server, &path, None).ask(&asked).unwrap();
    assert_eq!(
        (outcomes[0].as_ref().unwrap().text.as_str(), outcomes[1].as_ref().unwrap().text.as_str()),
        ("a", "b")
    );
    assert_eq!(outcomes[2].as_ref().unwrap_err().kind, FailureKind::Rejected);
    assert_eq!(outcomes[3].as_ref().unwrap_err().kind, FailureKind::Malformed);
    let sent = provider.lock().unwrap().files[0].clone();
    assert!(sent.contains("name=\"purpose\"\r\n\r\nbatch\r\n") && sent.matches("custom_id").count() == 4);
    assert_eq!(client(&server, &path, None).ask(&requests(&["a", "half"])).unwrap()[1], outcomes[3]);
    assert_eq!(provider.lock().unwrap().batches.len(), 1);
}

#[test]
fn a_run_that_does_not_wait_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    let provider = provider(1000, "completed");
    let server = server(&provider);
    let asked = requests(&["a", "b"]);
    let error = client(&server, &path, Some(Duration::ZERO)).ask(&asked).unwrap_err();
    assert!(matches!(error, LlmError::Stopped { .. }) && error.to_string().contains("batch_0"), "{error}");
    provider.lock().unwrap().looks = 0;
    // One of the two is asked for, and one that is new.
    let outcomes = client(&server, &path, None).ask(&requests(&["b", "c"])).unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(provider.lock().unwrap().batches.len(), 2);
    let outcomes = client(&server, &path, None).ask(&asked).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap().text, "a");
    assert_eq!(
        provider.lock().unwrap().batches.len(),
        2,
        "what was left in the first batch was not sent again"
    );
}

#[test]
fn a_batch_whose_creation_was_not_noted_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    let provider = provider(0, "completed");
    provider.lock().unwrap().lose_creation = true;
    let server = server(&provider);
    assert!(client(&server, &path, None).ask(&requests(&["a"])).unwrap()[0].is_ok());
    assert_eq!(provider.lock().unwrap().batches.len(), 1);
    // As if the process had been killed before the id was noted.
    provider.lock().unwrap().looks = 1000;
    client(&server, &path, Some(Duration::ZERO)).ask(&requests(&["b"])).unwrap_err();
    let ledger = rusqlite::Connection::open(&path).unwrap();
    ledger
        .execute("UPDATE batches SET id = NULL, state = 'submitting' WHERE state = 'submitted'", [])
        .unwrap();
    provider.lock().unwrap().looks = 0;
    assert!(client(&server, &path, None).ask(&requests(&["b"])).unwrap()[0].is_ok());
    assert_eq!(provider.lock().unwrap().batches.len(), 2);
}

#[test]
fn what_expired_fails_and_the_next_run_sends_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    let provider = provider(0, "expired");
    let server = server(&provider);
    let asked = requests(&["a", "expired"]);
    for batches in 1..3 {
        let outcomes = client(&server, &path, None).ask(&asked).unwrap();
        assert!(outcomes[0].is_ok());
        let failure = outcomes[1].as_ref().unwrap_err();
        assert!(
            failure.kind == FailureKind::Unreachable && failure.message.contains("expired"),
            "{failure:?}"
        );
        assert_eq!(provider.lock().unwrap().batches.len(), batches);
    }
    let sent = provider.lock().unwrap().files[1].clone();
    assert_eq!(sent.matches("custom_id").count(), 1, "only what had no answer");
}
