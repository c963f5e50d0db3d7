//! Against files in a temporary directory.

use super::*;
use crate::answer::{Answer, Failure, FailureKind, Usage};
use crate::language_model::Capabilities;
use crate::prices::Money;
use crate::request::Fingerprint;

fn answer(text: &str) -> Answer {
    let usage = Usage { prompt_tokens: 10, cached_tokens: 4, completion_tokens: 2 };
    Answer { text: text.to_owned(), usage, ..Answer::default() }
}

#[test]
fn outcomes_come_back_as_they_were_and_passing_failures_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/ledger.sqlite");
    let ledger = Ledger::open(&path).unwrap();
    let outcomes = [
        Ok(answer("short")),
        Ok(answer(&"long and with \u{0}, \u{202e} and 🦀 ".repeat(1000))),
        Err(Failure::new(FailureKind::Refused, "no")),
        Err(Failure::new(FailureKind::Unreachable, "later")),
    ];
    let prints: Vec<Fingerprint> = (0..5).map(|number| Fingerprint([number; 32])).collect();
    for (print, outcome) in prints.iter().zip(&outcomes) {
        ledger.begin(print, "m").unwrap();
        ledger.finish(print, "m", outcome, Some(Money::from_nanodollars(7))).unwrap();
    }
    ledger.begin(&prints[4], "m").unwrap();
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    let kept = ledger.outcomes(&prints).unwrap();
    let [first, second, third, _] = outcomes.map(Some);
    assert_eq!(kept, [first, second, third, None, None]);
    let mut seen = 0;
    ledger
        .entries(Some("m"), &mut |entry| {
            seen += 1;
            entry.model == "m"
        })
        .unwrap();
    assert_eq!(seen, 3);
    let summary = ledger.summary().unwrap();
    assert_eq!((summary[0].answered, summary[0].uncertain, summary[0].attempts), (2, 1, 5));
    assert_eq!(
        summary[0].failed.clone().into_iter().collect::<Vec<_>>(),
        [("refused".into(), 1), ("unreachable".into(), 1)]
    );
    assert_eq!((summary[0].cost.nanodollars(), summary[0].usage.prompt_tokens), (28, 20));
}

#[test]
fn attempts_and_costs_of_a_request_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("l.sqlite")).unwrap();
    let print = Fingerprint([3; 32]);
    let paid = Failure {
        kind: FailureKind::Unreachable,
        message: String::new(),
        usage: Usage { prompt_tokens: 5, ..Usage::default() },
    };
    ledger.begin(&print, "m").unwrap();
    ledger.finish(&print, "m", &Err(paid), Some(Money::from_nanodollars(5))).unwrap();
    ledger.begin(&print, "m").unwrap();
    ledger.finish(&print, "m", &Ok(answer("a")), Some(Money::from_nanodollars(6))).unwrap();
    let summary = &ledger.summary().unwrap()[0];
    assert_eq!((summary.attempts, summary.answered, summary.usage.prompt_tokens), (2, 1, 15));
    assert_eq!((summary.cost.nanodollars(), summary.without_price), (11, 0));
}

#[test]
fn a_second_writer_is_told_so_and_a_reader_is_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    let ledger = Ledger::open(&path).unwrap();
    ledger.put_model("m", Capabilities::default(), Some(&"probe")).unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert!(matches!(error, LlmError::LedgerBusy { .. }), "{error}");
    let reader = Ledger::open_reading(&path).unwrap();
    assert_eq!(reader.models().unwrap(), ["m"]);
    assert_eq!(reader.capabilities("m").unwrap(), Some(Capabilities::default()));
    assert_eq!(reader.probe::<String>("m").unwrap().unwrap(), "probe");
    assert!(reader.begin(&Fingerprint([0; 32]), "m").is_err());
    drop(ledger);
    Ledger::open(&path).unwrap();
}

#[test]
fn other_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    std::fs::write(&path, b"this is a text and no database at all, however long one may read it").unwrap();
    assert!(matches!(Ledger::open(&path).unwrap_err(), LlmError::LedgerInvalid { .. }));
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let error = Ledger::open(&path).unwrap_err().to_string();
    assert!(error.contains("not a ledger"), "{error}");
    assert!(Ledger::open_reading(&directory.path().join("missing")).is_err());
    assert!(!directory.path().join("missing").exists());
}

#[test]
fn a_damaged_answer_is_an_error_and_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    let ledger = Ledger::open(&path).unwrap();
    let print = Fingerprint([9; 32]);
    for damage in
        [&b"{\"Ok\":{}}"[..], b"", b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"garbage"]
    {
        ledger.finish(&print, "m", &Ok(answer("a")), None).unwrap();
        ledger.connection().execute("UPDATE requests SET answer = ?1", [damage]).unwrap();
        let error = ledger.outcomes(&[print]).unwrap_err().to_string();
        assert!(error.contains(&print.to_string()), "{error}");
    }
}

#[test]
fn open_batches_are_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("l.sqlite")).unwrap();
    let prints = [Fingerprint([1; 32]), Fingerprint([2; 32])];
    ledger.note_batch("t1", "e", &prints).unwrap();
    ledger.note_batch("t2", "other", &prints).unwrap();
    ledger.name_batch("t1", "batch_1").unwrap();
    let open = ledger.open_batches("e").unwrap();
    assert_eq!((open.len(), open[0].id.as_deref(), open[0].requests.len()), (1, Some("batch_1"), 2));
    ledger.leave_batch("t1", &prints[..1]).unwrap();
    assert_eq!(ledger.open_batches("e").unwrap()[0].requests, prints[1..]);
    ledger.leave_batch("t1", &prints).unwrap();
    assert!(ledger.open_batches("e").unwrap().is_empty());
}
