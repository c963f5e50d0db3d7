//! A run that is killed at random moments ends as one that was not: no answer is lost, and only the calls that were under
//! way are asked again.
#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{Reply, Server, chat, last};
use glossator_llm::http::{Dialect, Endpoint, HttpModel, Probe, Timeouts};
use glossator_llm::pacing::Limits;
use glossator_llm::{Capabilities, Client, Entry, Generation, Ledger, Message, Request, Want};

const REQUESTS: usize = 600;
const CONCURRENCY: usize = 4;
const KILLS: usize = 10;

/// The run: all requests, equal ones among them, to the server and the ledger in the environment.
fn run(base: &str, ledger: &Path) {
    let probe = Probe {
        version: Probe::VERSION,
        dialect: Dialect::unknown(),
        capabilities: Capabilities::default(),
        findings: Vec::new(),
    };
    let endpoint = Endpoint::new(base, None, "m", Timeouts::default()).unwrap();
    let limits = Limits { concurrency: CONCURRENCY, ..Limits::default() };
    let client = Client::new(Box::new(HttpModel::new(endpoint, probe, limits)))
        .with_ledger(Arc::new(Ledger::open(ledger).unwrap()))
        .unwrap();
    let requests: Vec<Request> = (0..REQUESTS + 20)
        .map(|number| Request {
            messages: vec![Message::user(format!("request {}", number % REQUESTS))],
            want: Want::Text(Generation::default()),
            sample: 0,
        })
        .collect();
    assert!(client.ask(&requests).unwrap().iter().all(Result::is_ok));
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Ok(base) = std::env::var("GLOSSATOR_TEST_BASE") else { return };
    run(&base, Path::new(&std::env::var_os("GLOSSATOR_TEST_LEDGER").unwrap()));
}

/// What a ledger holds; the port of the server is no part of it.
fn answers(ledger: &Path) -> Vec<String> {
    let mut answers = Vec::new();
    let ledger = Ledger::open_reading(ledger).unwrap();
    let mut each = |entry: Entry| {
        answers.push(serde_json::to_string(&entry.outcome).unwrap());
        true
    };
    ledger.entries(None, &mut each).unwrap();
    answers.sort();
    answers
}

fn counts(server: &Server) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    server.calls().iter().for_each(|call| *counts.entry(last(call)).or_default() += 1);
    counts
}

#[test]
fn a_run_killed_ten_times_loses_nothing_and_repeats_only_what_was_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let slow = || {
        Server::new(|call, _| {
            std::thread::sleep(Duration::from_millis(10));
            Reply::Status(200, chat(&format!("answer to {}", last(call))))
        })
    };
    let server = slow();
    let ledger = directory.path().join("killed.sqlite");
    let mut kills = 0;
    for attempt in 0.. {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env("GLOSSATOR_TEST_BASE", &server.base)
            .env("GLOSSATOR_TEST_LEDGER", &ledger)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        if kills < KILLS {
            // Moments that are spread, and differ from machine to machine.
            std::thread::sleep(Duration::from_millis(15 + 13 * (attempt * 7 % 11)));
            // SIGKILL; one that had ended by itself does not count.
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
            child.wait().unwrap();
            assert!(attempt < 100, "the run is over before it can be killed");
        } else {
            assert!(child.wait().unwrap().success());
            break;
        }
    }
    let undisturbed = directory.path().join("undisturbed.sqlite");
    run(&slow().base, &undisturbed);
    assert_eq!(answers(&ledger), answers(&undisturbed));
    assert_eq!(answers(&ledger).len(), REQUESTS);
    let counts = counts(&server);
    assert_eq!(counts.len(), REQUESTS);
    let repeated: usize = counts.values().map(|count| count - 1).sum();
    assert!(repeated <= KILLS * CONCURRENCY, "{repeated} requests were asked again");
    let summary = &Ledger::open_reading(&ledger).unwrap().summary().unwrap()[0];
    assert_eq!((summary.answered, summary.uncertain), (REQUESTS as u64, 0));
    let asked: usize = counts.values().sum();
    assert!(summary.attempts >= asked as u64, "every call was noted before it was sent");
}
