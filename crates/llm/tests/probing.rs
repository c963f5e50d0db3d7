//! Probes of scripted endpoints: what is offered is found, what is not is not assumed.
#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod common;

use common::{Call, Reply, Server, chat, last};
use glossator_llm::http::{Endpoint, GradeMethod, SchemaMethod, TextMethod, Timeouts, TurnMethod, probe};
use serde_json::{Value, json};

fn endpoint(server: &Server) -> Endpoint {
    Endpoint::new(&server.base, None, "m", Timeouts::default()).unwrap()
}

/// Everything there is, with `echo` for grades and numbers of one token.
fn capable(call: &Call) -> Reply {
    if call.path.ends_with("/completions") && !call.path.ends_with("/chat/completions") {
        let prompt = call.body["prompt"].as_str().unwrap();
        let asked = if prompt.ends_with("10") { "10" } else { "2" };
        let before = prompt.strip_suffix(asked).unwrap();
        let logprobs =
            json!({ "tokens": [before, asked, "x"], "top_logprobs": [null, { asked: -0.1 }, { "x": -0.1 }] });
        return Reply::Status(
            200,
            json!({ "choices": [{ "text": "", "finish_reason": "length", "logprobs": logprobs }] }),
        );
    }
    if call.body.get("prompt_logprobs").is_some() {
        return Reply::Status(400, json!({ "error": { "message": "unknown field prompt_logprobs" } }));
    }
    let text = match last(call).as_str() {
        "one two three four" => " five six".to_owned(),
        "Say hello." => {
            let format = &call.body["response_format"];
            json!({ "word": format["json_schema"]["schema"]["properties"]["word"]["enum"][0] }).to_string()
        }
        "Invent a name for a town and describe it." => format!("Town {}", call.body["seed"]),
        _ => "yes".to_owned(),
    };
    let mut body = chat(&text);
    if call.body["logprobs"] == json!(true) {
        let top = |token: &str| json!({ "token": token, "logprob": -1.0 });
        let tokens = json!([{ "token": "yes", "logprob": -0.1, "top_logprobs": [top("yes"), top("no")] }]);
        body["choices"][0]["logprobs"] = json!({ "content": tokens });
    }
    Reply::Status(200, body)
}

#[test]
fn what_is_offered_is_found() {
    let server = Server::new(|call, _| capable(call));
    let probe = probe(&endpoint(&server)).unwrap();
    let all = json!({
        "grades": true, "logprobs": true, "json_schema": true, "seed": true, "continues_turn": true, "number_ten": true,
    });
    assert_eq!(serde_json::to_value(probe.capabilities).unwrap(), all, "{:#?}", probe.findings);
    assert_eq!(probe.dialect.grades, Some(GradeMethod::Echo));
    assert_eq!(probe.dialect.turns, Some(TurnMethod::LastMessage));
    assert_eq!(probe.dialect.schema, Some(SchemaMethod::JsonSchema));
    assert!(server.calls().len() <= 14, "{}", server.calls().len());
}

#[test]
fn what_is_not_shown_is_not_offered_and_each_finding_says_why() {
    let server = Server::new(|call, _| match call.path.as_str() {
        "/v1/chat/completions" => Reply::Status(200, chat("yes")),
        _ => Reply::Status(404, json!({ "error": { "message": "no such path" } })),
    });
    let probe = probe(&endpoint(&server)).unwrap();
    let none = serde_json::to_value(probe.capabilities).unwrap();
    assert!(none.as_object().unwrap().values().all(|offered| offered == &json!(false)), "{none}");
    assert!(probe.findings.iter().all(|finding| !finding.why.is_empty()));
    let grades = probe.findings.iter().find(|finding| finding.what == "grades").unwrap();
    assert!(grades.why.contains("404"), "{}", grades.why);
}

/// As llama-cpp-python does it: a token is listed with what may follow it, among which digits are only just possible.
#[test]
fn echoes_that_are_about_the_next_token_are_not_offered() {
    let server = Server::new(|call, _| {
        if call.body["echo"] != json!(true) {
            return capable(call);
        }
        let before = call.body["prompt"].as_str().unwrap().strip_suffix('2').unwrap();
        let tops = json!([null, { ",": -0.2, "3": -1.9 }, { "three": -0.1 }]);
        let logprobs = json!({ "tokens": [before, "2", ","], "top_logprobs": tops });
        let choice = json!({ "text": "", "finish_reason": "length", "logprobs": logprobs });
        Reply::Status(200, json!({ "choices": [choice] }))
    });
    let probe = probe(&endpoint(&server)).unwrap();
    assert!(!probe.capabilities.grades && probe.dialect.grades.is_none());
    let grades = probe.findings.iter().find(|finding| finding.what == "grades").unwrap();
    assert!(grades.why.contains("0.15"), "{}", grades.why);
}

/// As llama-cpp-python does it: the published way is an error, its own is followed.
#[test]
fn a_schema_beside_json_object_is_found() {
    let server = Server::new(|call, _| match call.body["response_format"]["type"].as_str() {
        Some("json_schema") => {
            Reply::Status(400, json!({ "error": { "message": "Input should be 'text' or 'json_object'" } }))
        }
        Some("json_object") => {
            let word = &call.body["response_format"]["schema"]["properties"]["word"]["enum"][0];
            Reply::Status(200, chat(&json!({ "word": word }).to_string()))
        }
        _ => Reply::Status(200, chat("yes")),
    });
    let found = probe(&endpoint(&server)).unwrap();
    assert!(found.capabilities.json_schema);
    assert_eq!(found.dialect.schema, Some(SchemaMethod::JsonObject));
    let stored: Value = serde_json::to_value(found.dialect).unwrap();
    assert_eq!(stored["schema"], "json_object");
}

#[test]
fn an_endpoint_without_chat_is_asked_for_completions() {
    let server = Server::new(|call, _| match call.path.as_str() {
        "/v1/completions" => {
            Reply::Status(200, json!({ "choices": [{ "text": "yes", "finish_reason": "stop" }] }))
        }
        _ => Reply::Status(404, json!({ "detail": "Not Found" })),
    });
    let probe = probe(&endpoint(&server)).unwrap();
    assert_eq!(probe.dialect.text, TextMethod::Completions);
    assert!(probe.capabilities.continues_turn && !probe.capabilities.grades);
}

#[test]
fn names_of_settings_follow_the_complaints() {
    let server = Server::new(|call, _| {
        let refuse = |message: &str| Reply::Status(400, json!({ "error": { "message": message } }));
        if call.body.get("max_tokens").is_some() {
            return refuse("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.");
        }
        if call.body.get("temperature").is_some_and(|it: &Value| it != &json!(1.0)) {
            return refuse("Unsupported value: 'temperature' does not support 0 with this model.");
        }
        Reply::Status(200, chat("yes"))
    });
    let probe = probe(&endpoint(&server)).unwrap();
    assert!(probe.dialect.max_completion_tokens && !probe.dialect.temperature);
}

#[test]
fn an_endpoint_that_gives_no_text_is_an_error_with_its_words() {
    let server = Server::new(|_, _| Reply::Status(401, json!({ "error": { "message": "who are you?" } })));
    let error = probe(&endpoint(&server)).unwrap_err().to_string();
    assert!(error.contains("who are you?") && error.contains("--api-key-env"), "{error}");
}
