//! What endpoints do wrong, and what becomes of it.
#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Reply, Server, chat, last};
use glossator_llm::http::{
    Dialect, Endpoint, GradeMethod, HttpModel, Probe, SchemaMethod, Timeouts, TurnMethod,
};
use glossator_llm::pacing::Limits;
use glossator_llm::{
    Capabilities, Client, FailureKind, Finish, Generation, Grading, Ledger, LlmError, Message, Outcome,
    Piece, Request, Want,
};
use serde_json::{Value, json};

const KEY: &str = "sk-secret-0123456789";

fn endpoint(base: &str) -> Endpoint {
    let timeouts = Timeouts { connect: Duration::from_secs(2), whole: Duration::from_millis(600) };
    Endpoint::new(base, Some(KEY.to_owned()), "m", timeouts).unwrap()
}

fn client_with(server: &Server, dialect: Dialect, attempts: u32) -> Client {
    let probe = Probe {
        version: Probe::VERSION,
        dialect,
        capabilities: Capabilities::default(),
        findings: Vec::new(),
    };
    let limits = Limits { attempts, ..Limits::default() };
    Client::new(Box::new(HttpModel::new(endpoint(&server.base), probe, limits)))
}

fn client(server: &Server) -> Client {
    client_with(server, Dialect::unknown(), 4)
}

fn request(text: &str) -> Request {
    Request { messages: vec![Message::user(text)], want: Want::Text(Generation::default()), sample: 0 }
}

fn one(server: &Server) -> Outcome {
    client(server).ask(&[request("hello")]).unwrap().remove(0)
}

/// A server that always says the same.
fn always(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::new(move |_, _| reply())
}

fn failure(server: &Server) -> (FailureKind, String) {
    let failure = one(server).unwrap_err();
    (failure.kind, failure.message)
}

#[test]
fn a_good_answer_is_read_and_what_is_sent_is_what_was_asked() {
    let server = always(|| Reply::Status(200, chat("hello yourself")));
    let answer = one(&server).unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.finish, answer.usage.prompt_tokens),
        ("hello yourself", Finish::Stop, 10)
    );
    let call = server.calls().remove(0);
    assert_eq!(call.path, "/v1/chat/completions");
    assert_eq!(call.authorization.unwrap(), format!("Bearer {KEY}"));
    let seed = request("hello").seed() & 0x7fff_ffff;
    let wanted = json!({
        "model": "m", "messages": [{ "role": "user", "content": "hello" }], "max_tokens": 64, "temperature": 0.0,
        "top_p": 1.0, "seed": seed,
    });
    assert_eq!(call.body, wanted);
}

#[test]
fn what_passes_is_tried_again_until_it_passes() {
    for fault in 0..5 {
        let server = Server::new(move |_, before| match (before, fault) {
            (2.., _) => Reply::Status(200, chat("in the end")),
            (_, 0) => Reply::Header(
                429,
                "Retry-After",
                "0.1".into(),
                json!({ "error": { "message": "slow down" } }),
            ),
            (_, 1) => Reply::Status(500, json!({})),
            (_, 2) => Reply::Hangup,
            (_, 3) => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"choices\": [".to_vec()),
            (_, _) => Reply::Silence(Duration::from_millis(900)),
        });
        assert_eq!(one(&server).unwrap().text, "in the end", "fault {fault}");
        assert_eq!(server.calls().len(), 3, "fault {fault}");
    }
}

#[test]
fn the_time_that_a_provider_asks_for_is_waited() {
    let server = Server::new(|_, before| match before {
        0 => Reply::Header(429, "Retry-After", "1".into(), json!({})),
        _ => Reply::Status(200, chat("later")),
    });
    let start = Instant::now();
    one(&server).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn what_goes_on_failing_is_unreachable_after_its_attempts_and_says_why() {
    let server = always(|| Reply::Status(500, json!({ "error": { "message": "out of memory" } })));
    let (kind, message) = failure(&server);
    assert_eq!((kind, server.calls().len()), (FailureKind::Unreachable, 4));
    assert!(message.contains("500") && message.contains("out of memory"), "{message}");
    let slow = always(|| Reply::Drip(Duration::from_millis(50), chat("too slow")));
    let outcome = client_with(&slow, Dialect::unknown(), 1).ask(&[request("hello")]).unwrap().remove(0);
    assert_eq!(
        outcome.unwrap_err().kind,
        FailureKind::Unreachable,
        "a whole answer has a time, however steadily it drips"
    );
}

#[test]
fn answers_that_are_none_are_named_and_not_asked_again() {
    let choice = |choice: Value| json!({ "choices": [choice], "usage": { "prompt_tokens": 7, "completion_tokens": 3 } });
    let message = |content: Value, finish: Value| {
        choice(json!({ "message": { "content": content }, "finish_reason": finish }))
    };
    let cases: Vec<(FailureKind, &str, Reply)> = vec![
        (
            FailureKind::Malformed,
            "no JSON",
            Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{\"ch".to_vec()),
        ),
        (FailureKind::Malformed, "no `choices`", Reply::Status(200, json!({}))),
        (FailureKind::Malformed, "0 choices", Reply::Status(200, json!({ "choices": [] }))),
        (FailureKind::Malformed, "half an answer", Reply::Status(200, message(json!("half"), Value::Null))),
        (FailureKind::Malformed, "no text", Reply::Status(200, message(json!([1]), json!("stop")))),
        (FailureKind::Malformed, "tool_calls", Reply::Status(200, message(Value::Null, json!("tool_calls")))),
        (FailureKind::Refused, "filter", Reply::Status(200, message(json!(""), json!("content_filter")))),
        (
            FailureKind::Refused,
            "I will not",
            Reply::Status(
                200,
                choice(json!({ "message": { "refusal": "I will not" }, "finish_reason": "stop" })),
            ),
        ),
        (FailureKind::Truncated, "64 tokens", Reply::Status(200, message(json!(""), json!("length")))),
        (
            FailureKind::Truncated,
            "maximum context length",
            Reply::Status(400, json!({ "error": { "message": "the maximum context length is 5 tokens" } })),
        ),
        (FailureKind::Malformed, "teapot", Reply::Status(200, json!({ "error": { "message": "teapot" } }))),
        (
            FailureKind::Rejected,
            "bad top_p",
            Reply::Status(400, json!({ "error": { "message": "bad top_p" } })),
        ),
    ];
    for (kind, says, reply) in cases {
        let reply = std::sync::Mutex::new(Some(reply));
        let server = Server::new(move |_, _| reply.lock().unwrap().take().unwrap_or(Reply::Hangup));
        let failure = one(&server).unwrap_err();
        assert_eq!((failure.kind, server.calls().len()), (kind, 1), "{says}: {}", failure.message);
        assert!(failure.message.contains(says), "{says}: {}", failure.message);
    }
}

#[test]
fn what_a_failed_answer_used_is_counted() {
    let server = always(|| {
        let choice = json!({ "message": { "content": "" }, "finish_reason": "content_filter" });
        Reply::Status(
            200,
            json!({ "choices": [choice], "usage": { "prompt_tokens": 7, "completion_tokens": 3 } }),
        )
    });
    let client = client(&server);
    assert!(client.ask(&[request("hello")]).unwrap()[0].is_err());
    assert_eq!((client.totals().usage.prompt_tokens, client.totals().usage.completion_tokens), (7, 3));
}

#[test]
fn a_huge_answer_is_not_taken_into_memory() {
    let server = always(|| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 70000000\r\n\r\n".to_vec();
        bytes.resize(70_000_100, b' ');
        Reply::Raw(bytes)
    });
    let probe = Probe {
        version: Probe::VERSION,
        dialect: Dialect::unknown(),
        capabilities: Capabilities::default(),
        findings: Vec::new(),
    };
    let endpoint = Endpoint::new(&server.base, None, "m", Timeouts::default()).unwrap();
    let client = Client::new(Box::new(HttpModel::new(endpoint, probe, Limits::default())));
    let failure = client.ask(&[request("hello")]).unwrap().remove(0).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Malformed, "{}", failure.message);
}

#[test]
fn a_run_stops_where_no_request_can_be_answered_and_the_key_is_never_shown() {
    let quota = json!({ "error": { "message": format!("{KEY} has insufficient_quota"), "code": "insufficient_quota" } });
    let wrong = json!({ "error": { "message": format!("Incorrect API key provided: {KEY}.") } });
    for (status, body, advice) in [(429, quota, "credit"), (401, wrong, "--api-key-env")] {
        let server = Server::new(move |_, _| Reply::Status(status, body.clone()));
        let requests: Vec<Request> = (0..50).map(|number| request(&number.to_string())).collect();
        let error = client(&server).ask(&requests).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, LlmError::Stopped { .. }) && text.contains(advice), "{text}");
        assert!(!text.contains(KEY) && text.contains("[key]"), "{text}");
        assert!(server.calls().len() <= 4, "only what was under way");
    }
}

#[test]
fn the_key_does_not_follow_a_redirect() {
    let thief = always(|| Reply::Status(200, chat("thank you")));
    let target = format!("{}/chat/completions", thief.base);
    // More than go out at once, so that some are left when the run stops.
    let requests: Vec<Request> = (0..50).map(|number| request(&number.to_string())).collect();
    for status in [301, 302, 307, 308] {
        let to = target.clone();
        let server = Server::new(move |_, _| Reply::Header(status, "Location", to.clone(), json!({})));
        let error = client(&server).ask(&requests).unwrap_err().to_string();
        assert!(error.contains("redirected") && error.contains("--base-url"), "{error}");
    }
    assert!(thief.calls().is_empty());
}

/// An address on which nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn client_at(base: &str, limits: Limits) -> Client {
    let probe = Probe {
        version: Probe::VERSION,
        dialect: Dialect::unknown(),
        capabilities: Capabilities::default(),
        findings: Vec::new(),
    };
    Client::new(Box::new(HttpModel::new(endpoint(base), probe, limits)))
}

#[test]
fn a_provider_that_is_not_there_for_one_request_is_unreachable() {
    let limits = Limits { attempts: 2, ..Limits::default() };
    let outcomes = client_at(&nowhere(), limits).ask(&[request("hello")]).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap_err().kind, FailureKind::Unreachable);
}

/// The circuit breaker opens after eight failures, and after four trials that failed the run stops: nothing more is sent, and
/// what was answered before is kept.
#[test]
fn a_provider_that_goes_down_stops_the_run() {
    let requests: Vec<Request> = (0..200).map(|number| request(&number.to_string())).collect();
    // Every request could be tried often enough; it is the breaker that ends it.
    let limits =
        Limits { attempts: 100, concurrency: 4, pause: Duration::from_millis(5), ..Limits::default() };
    let start = Instant::now();
    let error = client_at(&nowhere(), limits).ask(&requests).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LlmError::Stopped { .. }) && text.contains("the provider is down"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(30));

    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let server = Server::new(move |call, before| {
        if before >= 20 && is_down.load(Ordering::Relaxed) {
            return Reply::Status(500, json!({ "error": { "message": "gone" } }));
        }
        Reply::Status(200, chat(&last(call)))
    });
    let directory = tempfile::tempdir().unwrap();
    let client = || {
        let ledger = Arc::new(Ledger::open(&directory.path().join("ledger.sqlite")).unwrap());
        client_at(&server.base, limits).with_ledger(ledger).unwrap()
    };
    {
        let client = client();
        assert!(client.ask(&requests).unwrap_err().to_string().contains("run the same command again"));
        assert_eq!(client.totals().answered, 20);
        // Eight failures open it; those that were under way by then and four trials come after them.
        let failed = server.calls().len() - 20;
        assert!((12..=8 + 4 + 4).contains(&failed), "{failed} requests went to a provider that is down");
    }
    down.store(false, Ordering::Relaxed);
    let client = client();
    let outcomes = client.ask(&requests).unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!((client.totals().kept, client.totals().answered), (20, 180));
}

#[test]
fn many_requests_are_answered_in_order_whatever_happens_on_the_way() {
    let server = Server::new(|call, before| match before % 7 {
        2 => Reply::Header(429, "Retry-After", "0.05".into(), json!({})),
        4 => Reply::Status(503, json!({})),
        5 => Reply::Hangup,
        _ => Reply::Status(200, chat(&last(call))),
    });
    let requests: Vec<Request> = (0..60).map(|number| request(&number.to_string())).collect();
    let outcomes = client_with(&server, Dialect::unknown(), 20).ask(&requests).unwrap();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.unwrap().text, number.to_string());
    }
}

fn grading() -> (Request, String) {
    let text = [
        Piece::Text("a\t".into()),
        Piece::Asked("?".into()),
        Piece::Text("\n🦀\t".into()),
        Piece::Asked("?".into()),
    ];
    let grading = Grading { choices: vec!["0".into(), "5".into()], text: text.into() };
    let messages = vec![Message::user("rate"), Message::assistant("begin ")];
    (Request { messages, want: Want::Grades(grading), sample: 0 }, "rate\n\nbegin a\t?\n🦀\t?".to_owned())
}

#[test]
fn an_echo_is_graded_at_its_places() {
    let (request, text) = grading();
    let prompt = text.clone();
    let server = Server::new(move |call, _| {
        assert_eq!((call.path.as_str(), &call.body["prompt"]), ("/v1/completions", &json!(prompt)));
        assert_eq!((&call.body["echo"], &call.body["max_tokens"]), (&json!(true), &json!(1)));
        let tokens =
            ["<s>", "rate\n\n", "begin", " a", "\t", "?", "\n", "\u{fffd}", "\u{fffd}", "\t", "?", " new"];
        let top = |index: usize| match index {
            5 => json!({ "0": 0.75_f64.ln(), "?": 0.1_f64.ln(), "5": 0.125_f64.ln() }),
            10 => json!({ "5": 0.5_f64.ln() }),
            0 => Value::Null,
            _ => json!({ "x": -1.0 }),
        };
        let tops: Vec<Value> = (0..tokens.len()).map(top).collect();
        let logprobs =
            json!({ "tokens": tokens, "top_logprobs": tops, "token_logprobs": vec![-1.0; tokens.len()] });
        Reply::Status(
            200,
            json!({ "choices": [{ "text": "", "finish_reason": "length", "logprobs": logprobs }] }),
        )
    });
    let client = client_with(&server, Dialect { grades: Some(GradeMethod::Echo), ..Dialect::unknown() }, 1);
    let answer = client.ask(&[request]).unwrap().remove(0).unwrap();
    let grades: Vec<Vec<f32>> = answer.grades.into_iter().map(|grade| grade.0).collect();
    for (grade, wanted) in grades.iter().flatten().zip([0.75, 0.125, 0.0, 0.5]) {
        assert!((grade - wanted).abs() < 1e-6, "{grades:?}");
    }
}

#[test]
fn echoes_that_do_not_fit_are_no_grades() {
    let (request, _) = grading();
    let whole = ["rate\n\nbegin a\t", "?", "\n🦀\t", "?"];
    let cases: [(FailureKind, &str, Vec<&str>, usize); 4] = [
        (FailureKind::Malformed, "do not spell", vec!["rate\n\nbegin b\t", "?", "\n🦀\t", "?"], 4),
        (FailureKind::Malformed, "do not spell", whole[..3].to_vec(), 3),
        (FailureKind::Malformed, "not one entry", whole.to_vec(), 3),
        (FailureKind::Unsupported, "place 1", vec!["rate\n\nbegin a\t", "?", "\n🦀", "\t?"], 4),
    ];
    for (kind, says, tokens, tops) in cases {
        let tokens: Vec<String> = tokens.into_iter().map(str::to_owned).collect();
        let server = Server::new(move |_, _| {
            let logprobs = json!({ "tokens": tokens, "top_logprobs": vec![json!({ "0": -0.1 }); tops] });
            Reply::Status(
                200,
                json!({ "choices": [{ "text": "", "finish_reason": "length", "logprobs": logprobs }] }),
            )
        });
        let client =
            client_with(&server, Dialect { grades: Some(GradeMethod::Echo), ..Dialect::unknown() }, 1);
        let failure = client.ask(std::slice::from_ref(&request)).unwrap().remove(0).unwrap_err();
        assert_eq!(failure.kind, kind, "{}", failure.message);
        assert!(failure.message.contains(says), "{}", failure.message);
    }
}

#[test]
fn prompt_logprobs_are_graded_at_the_end_of_the_prompt() {
    let (request, _) = grading();
    let server = Server::new(|call, _| {
        assert_eq!(last(call), "begin a\t?\n🦀\t?");
        assert_eq!(
            (&call.body["continue_final_message"], &call.body["return_token_ids"]),
            (&json!(true), &json!(true))
        );
        let texts = ["<|im_start|>", "?", "begin", " a", "\t", "?", "\n🦀", "\t", "?"];
        let entry = |(index, text): (usize, &&str)| match index {
            0 => Value::Null,
            5 | 8 => json!({
                index.to_string(): { "logprob": -3.0, "rank": 9, "decoded_token": text },
                "100": { "logprob": 0.5_f64.ln(), "rank": 1, "decoded_token": "5" },
            }),
            _ => json!({ index.to_string(): { "logprob": -1.0, "rank": 1, "decoded_token": text } }),
        };
        let prompt: Vec<Value> = texts.iter().enumerate().map(entry).collect();
        let ids: Vec<usize> = (0..texts.len()).collect();
        Reply::Status(200, json!({ "choices": [], "prompt_logprobs": prompt, "prompt_token_ids": ids }))
    });
    let dialect = Dialect {
        grades: Some(GradeMethod::PromptLogprobs),
        turns: Some(TurnMethod::ContinueFinalMessage),
        ..Dialect::unknown()
    };
    let answer = client_with(&server, dialect, 1).ask(&[request]).unwrap().remove(0).unwrap();
    assert_eq!(answer.grades.len(), 2);
    assert!(answer.grades.iter().all(|grade| grade.0[0] == 0.0 && (grade.0[1] - 0.5).abs() < 1e-6));
}

/// Some servers answer every request with a schema by an error: where the probe found no way, none is sent.
#[test]
fn a_schema_is_sent_in_the_way_that_was_found_and_else_not_at_all() {
    let schema = json!({ "type": "array", "items": { "enum": [0, 1] } });
    let asked = Request {
        want: Want::Text(Generation { json_schema: Some(schema.clone()), ..Generation::default() }),
        ..request("hello")
    };
    let published = json!({
        "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": schema },
    });
    for (method, wanted) in [
        (None, Value::Null),
        (Some(SchemaMethod::JsonSchema), published),
        (Some(SchemaMethod::JsonObject), json!({ "type": "json_object", "schema": schema })),
    ] {
        let server = always(|| Reply::Status(200, chat("[1]")));
        let dialect = Dialect { schema: method, ..Dialect::unknown() };
        client_with(&server, dialect, 1).ask(std::slice::from_ref(&asked)).unwrap().remove(0).unwrap();
        assert_eq!(server.calls()[0].body["response_format"], wanted);
    }
}

#[test]
fn log_probabilities_of_chats_are_read_with_their_alternatives() {
    let server = always(|| {
        let token = json!({
            "token": "a", "logprob": -0.5, "top_logprobs": [{ "token": "a", "logprob": -0.5 }, { "token": "b", "logprob": -2.0 }],
        });
        let mut body = chat("a");
        body["choices"][0]["logprobs"] = json!({ "content": [token] });
        Reply::Status(200, body)
    });
    let with_tokens = |top_logprobs| Request {
        want: Want::Text(Generation { top_logprobs, ..Generation::default() }),
        ..request("hello")
    };
    let answer = client(&server).ask(&[with_tokens(2)]).unwrap().remove(0).unwrap();
    assert_eq!(answer.tokens[0].alternatives, [("a".to_owned(), -0.5), ("b".to_owned(), -2.0)]);
    let without = always(|| Reply::Status(200, chat("a")));
    let failure = client(&without).ask(&[with_tokens(2)]).unwrap().remove(0).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Malformed);
}

#[test]
fn addresses_and_keys_that_cannot_be_used_are_refused_at_once() {
    let wrong = |base: &str| Endpoint::new(base, None, "m", Timeouts::default()).unwrap_err().to_string();
    for (base, says) in [
        ("api.openai.com/v1", "no base URL"),
        ("ftp://x/v1", "no base URL"),
        ("http://", "no base URL"),
        ("https://user:password@x/v1", "--api-key-env"),
        ("https://x/v1?version=2", "must end with a path"),
        ("https://x/v1/chat/completions", "https://x/v1"),
    ] {
        let error = wrong(base);
        assert!(error.contains(says) && !error.contains("password@"), "{base}: {error}");
    }
    let key = Some("a b\r\nX: y".to_owned());
    assert!(Endpoint::new("http://x", key, "m", Timeouts::default()).is_err());
    let endpoint =
        Endpoint::new("https://api.openai.com/v1/", Some(KEY.into()), "gpt", Timeouts::default()).unwrap();
    assert_eq!(endpoint.name(), "api.openai.com/gpt");
    assert!(!format!("{endpoint:?}").contains(KEY));
}
