use std::fmt::Write as _;

use super::*;
use crate::answer::Answer;
use crate::client::Client;
use crate::request::{Generation, Message, Want};

fn request(text: &str) -> Request {
    Request { messages: vec![Message::user(text)], want: Want::Text(Generation::default()), sample: 0 }
}

fn recorded(text: &str, model: &str) -> (Fingerprint, Outcome) {
    (request(text).fingerprint(model), Ok(Answer { text: text.to_uppercase(), ..Answer::default() }))
}

#[test]
fn a_ledger_and_its_lines_say_again_what_was_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    let ledger = Ledger::open(&path).unwrap();
    let capabilities = Capabilities { grades: true, ..Capabilities::default() };
    for model in ["m", "other"] {
        ledger.put_model(model, capabilities, None::<&()>).unwrap();
        let (print, outcome) = recorded("a", model);
        ledger.finish(&print, model, &outcome, None).unwrap();
    }
    let mut lines = serde_json::to_string(&Heading { model: "m".into(), capabilities }).unwrap();
    ledger
        .entries(Some("m"), &mut |entry| {
            write!(lines, "\n{}", serde_json::to_string(&entry).unwrap()).unwrap();
            true
        })
        .unwrap();
    let jsonl = directory.path().join("recording.jsonl");
    std::fs::write(&jsonl, lines).unwrap();
    for replay in [Replay::open(&path, Some("m")).unwrap(), Replay::open(&jsonl, None).unwrap()] {
        let client = Client::new(Box::new(replay));
        assert_eq!((client.name(), client.capabilities()), ("m", capabilities));
        let outcomes = client.ask(&[request("a"), request("b")]).unwrap();
        assert_eq!(outcomes[0].as_ref().unwrap().text, "A");
        let missing = outcomes[1].as_ref().unwrap_err();
        assert!(missing.message.contains(&request("b").fingerprint("m").to_string()), "{missing:?}");
    }
    let error = Replay::open(&path, None).err().unwrap().to_string();
    assert!(error.contains("--llm-model") && error.contains("m, other"), "{error}");
    assert!(Replay::open(&jsonl, Some("other")).is_err());
}

#[test]
fn what_is_no_recording_is_refused_with_the_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.jsonl");
    let heading =
        r#"{"model": "m", "capabilities": {"grades": false, "logprobs": false, "json_schema": false,
        "seed": false, "continues_turn": false, "number_ten": false}}"#
            .replace('\n', " ");
    let print = "0".repeat(64);
    let line = |model: &str, print: &str| {
        format!(r#"{{"model": "{model}", "fingerprint": "{print}", "outcome": {{"Err": {{}}}}}}"#)
    };
    for (text, wanted) in [
        (String::new(), "line 1"),
        ("not JSON".to_owned(), "line 1"),
        (format!("{heading}\n{{}}"), "line 2"),
        (format!("{heading}\n{}", line("m", &print)), "line 2"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = Replay::open(&path, None).err().unwrap().to_string();
        assert!(error.contains(wanted) && error.contains("r.jsonl"), "{text}: {error}");
    }
}
