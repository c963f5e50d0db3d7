//! With a model that answers from a script.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::answer::{Answer, Distribution, Failure, FailureKind, Usage};
use crate::language_model::{Oversight, Permit, Stop};
use crate::request::{Generation, Message, Want};

/// Answers every request with its own text; a text that begins with `fail` fails, `nan` gives a probability that is none.
#[derive(Default)]
struct Echo {
    calls: AtomicU32,
    /// Stops after so many.
    stop_after: Option<u32>,
    slow: bool,
}

impl Echo {
    fn outcome(request: &Request) -> Outcome {
        let text = request.messages[0].content.clone();
        let usage = Usage { prompt_tokens: 10, cached_tokens: 0, completion_tokens: 10 };
        match &text {
            text if text.starts_with("fail") => Err(Failure::new(FailureKind::Refused, "no")),
            text if text.starts_with("later") => Err(Failure::new(FailureKind::Unreachable, "down")),
            text if text.starts_with("nan") => {
                Ok(Answer { grades: vec![Distribution(vec![f32::NAN])], usage, ..Answer::default() })
            }
            _ => Ok(Answer { text, usage, ..Answer::default() }),
        }
    }
}

impl LanguageModel for Arc<Echo> {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { seed: true, ..Capabilities::default() }
    }

    fn answer(&self, _: &[Request], _: &(dyn Fn(usize, Outcome) -> bool + Sync)) {}

    fn answer_watched(&self, requests: &[Request], oversight: &dyn Oversight) {
        for (index, request) in requests.iter().enumerate() {
            if oversight.begin(index) != Permit::Granted {
                return;
            }
            if self.slow {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let calls = self.calls.fetch_add(1, Ordering::SeqCst);
            if self.stop_after.is_some_and(|most| calls >= most) {
                return oversight.stopped(Stop { reason: "it is gone".into(), advice: "wait".into() });
            }
            if !oversight.answered(index, Echo::outcome(request)) {
                return;
            }
        }
    }

    fn estimate_prompt_tokens(&self, _: &Request) -> u64 {
        10
    }
}

fn request(text: &str) -> Request {
    let generation = Generation { max_tokens: 10, ..Generation::default() };
    Request { messages: vec![Message::user(text)], want: Want::Text(generation), sample: 0 }
}

fn requests(texts: &[&str]) -> Vec<Request> {
    texts.iter().map(|text| request(text)).collect()
}

/// A dollar for a token, so that money can be counted in the head.
fn dollar() -> Price {
    Price { input: 1e6, cached_input: None, output: 1e6, batch: None }
}

#[test]
fn equal_requests_are_asked_once_and_kept_ones_never_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.sqlite");
    let first = Arc::new(Echo::default());
    let asked = requests(&["a", "b", "a", "fail", "later", "nan", "a"]);
    let client = Client::new(Box::new(Arc::clone(&first)))
        .with_ledger(Arc::new(Ledger::open(&path).unwrap()))
        .unwrap()
        .with_price(Some(dollar()));
    assert_eq!(client.estimate(&asked).unwrap().calls, 5);
    let outcomes = client.ask(&asked).unwrap();
    assert_eq!(
        outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, true, true, false, false, false, true]
    );
    assert_eq!(outcomes[2].as_ref().unwrap().text, "a");
    assert_eq!(outcomes[5].as_ref().unwrap_err().kind, FailureKind::Malformed);
    assert_eq!(first.calls.load(Ordering::SeqCst), 5);
    let totals = client.totals();
    assert_eq!((totals.answered, totals.failures(), totals.attempts), (2, 3, 5));
    assert_eq!(totals.cost.unwrap().dollars(), 60.0, "an answer that cannot be used was paid too");
    drop(client);
    let second = Arc::new(Echo::default());
    let client = Client::new(Box::new(Arc::clone(&second)))
        .with_ledger(Arc::new(Ledger::open(&path).unwrap()))
        .unwrap();
    assert_eq!(
        client.estimate(&asked).unwrap(),
        Estimate { calls: 1, saved: 6, prompt_tokens: 10, completion_tokens: 10, cost: None }
    );
    assert_eq!(client.ask(&asked).unwrap(), outcomes);
    assert_eq!(second.calls.load(Ordering::SeqCst), 1, "only what may be answered another time");
    assert_eq!((client.totals().kept, client.totals().answered), (2, 0));
}

#[test]
fn a_budget_stops_before_it_is_passed_and_the_next_run_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::open(&directory.path().join("l.sqlite")).unwrap());
    let asked = requests(&["a", "b", "c", "d", "e"]);
    let model = Arc::new(Echo::default());
    let client = |budget: &str| {
        let client = Client::new(Box::new(Arc::clone(&model))).with_ledger(Arc::clone(&ledger)).unwrap();
        client.with_price(Some(dollar())).with_budget(budget.parse().unwrap()).unwrap()
    };
    // At its worst a request costs 81 tokens to read and 10 to write; each really costs 20.
    let first = client("140");
    let error = first.ask(&asked).unwrap_err();
    assert!(matches!(error, LlmError::Budget { left: 2, .. }), "{error}");
    assert!(error.to_string().contains("--budget") && error.to_string().contains("$60.00"), "{error}");
    assert_eq!(first.totals().cost.unwrap().dollars(), 60.0);
    assert_eq!(client("140").ask(&asked).unwrap().len(), 5);
    assert_eq!(model.calls.load(Ordering::SeqCst), 5);
    let unpriced = Client::new(Box::new(Arc::clone(&model))).with_budget("1".parse().unwrap());
    assert!(matches!(unpriced.err(), Some(LlmError::NoPrice { .. })));
}

#[test]
fn a_model_that_gives_up_says_why_and_keeps_what_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::open(&directory.path().join("l.sqlite")).unwrap());
    let asked = requests(&["a", "b", "c"]);
    let model = Arc::new(Echo { stop_after: Some(2), ..Echo::default() });
    let client = Client::new(Box::new(model)).with_ledger(Arc::clone(&ledger)).unwrap();
    let error = client.ask(&asked).unwrap_err().to_string();
    assert_eq!(error, "echo: it is gone; 1 of 3 requests are left: wait");
    let kept = ledger.outcomes(&asked.iter().map(|it| it.fingerprint("echo")).collect::<Vec<_>>()).unwrap();
    assert_eq!(kept.iter().filter(|kept| kept.is_some()).count(), 2);
}

#[test]
fn threads_do_not_ask_the_same_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let model = Arc::new(Echo { slow: true, ..Echo::default() });
    let ledger = Arc::new(Ledger::open(&directory.path().join("l.sqlite")).unwrap());
    let client = Client::new(Box::new(Arc::clone(&model))).with_ledger(ledger).unwrap();
    let asked = requests(&["a", "b", "c", "d"]);
    let mut turned = asked.clone();
    turned.rotate_left(2);
    std::thread::scope(|scope| {
        for requests in [&asked, &turned, &asked, &turned] {
            let client = &client;
            scope.spawn(move || {
                let texts: Vec<String> =
                    client.ask(requests).unwrap().into_iter().map(|outcome| outcome.unwrap().text).collect();
                let wanted: Vec<String> =
                    requests.iter().map(|request| request.messages[0].content.clone()).collect();
                assert_eq!(texts, wanted);
            });
        }
    });
    assert_eq!(model.calls.load(Ordering::SeqCst), 4);
}
