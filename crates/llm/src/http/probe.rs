//! What an endpoint offers, found out with about a dozen small questions.
//!
//! Each question is made so that its answer shows the thing itself: a schema that only one word fits, a count that is
//! begun, the same seed twice and another one. What cannot be shown counts as not offered, and the finding says why. A question that
//! comes to ask something else raises [`Probe::VERSION`].

use serde_json::{Value, json};

use super::body::{build, parse};
use super::dialect::{Dialect, Finding, GradeMethod, Probe, SchemaMethod, TextMethod, TurnMethod};
use super::endpoint::Endpoint;
use super::failure::{AttemptError, What};
use crate::answer::{Answer, FailureKind};
use crate::error::LlmError;
use crate::language_model::Capabilities;
use crate::request::{Generation, Grading, Message, Piece, Request, Want};

/// Attempts at each question.
const ATTEMPTS: u32 = 4;
/// A word that nobody would answer by chance.
const WORD: &str = "ochre-17";

/// Asks `endpoint` what it offers.
///
/// # Errors
/// If it gives no text at all, with what it says instead.
pub fn probe(endpoint: &Endpoint) -> Result<Probe, LlmError> {
    let mut prober = Prober { endpoint, dialect: Dialect::unknown(), findings: Vec::new() };
    prober.text().map_err(|error| {
        let advice = match error.what {
            What::Run(advice) => format!(": {advice}"),
            _ => String::new(),
        };
        LlmError::Probe { url: endpoint.base().to_owned(), message: format!("{}{advice}", error.message) }
    })?;
    let mut capabilities = Capabilities {
        logprobs: prober.logprobs(),
        json_schema: prober.json_schema(),
        seed: prober.seed(),
        continues_turn: prober.turns(),
        ..Capabilities::default()
    };
    capabilities.grades = prober.grades();
    capabilities.number_ten = prober.number_ten(capabilities);
    Ok(Probe { version: Probe::VERSION, dialect: prober.dialect, capabilities, findings: prober.findings })
}

struct Prober<'a> {
    endpoint: &'a Endpoint,
    dialect: Dialect,
    findings: Vec<Finding>,
}

/// A question of one message.
fn question(text: &str, generation: Generation) -> Request {
    Request { messages: vec![Message::user(text)], want: Want::Text(generation), sample: 0 }
}

fn generation(max_tokens: u32) -> Generation {
    Generation { max_tokens, ..Generation::default() }
}

impl Prober<'_> {
    /// Finds a way to get any text, and the names of the settings.
    fn text(&mut self) -> Result<(), AttemptError> {
        let request = question("Answer with the single word: yes", generation(64));
        let mut answered = self.ask(&request);
        for _ in 0..3 {
            let Err(error) = &answered else { break };
            let complaint = error.message.to_lowercase();
            if complaint.contains("max_completion_tokens") && !self.dialect.max_completion_tokens {
                self.dialect.max_completion_tokens = true;
            } else if complaint.contains("temperature") && self.dialect.temperature {
                self.dialect.temperature = false;
            } else if is_missing(error) && self.dialect.text == TextMethod::Chat {
                self.dialect.text = TextMethod::Completions;
            } else {
                break;
            }
            answered = self.ask(&request);
        }
        // A model that thinks first may not come to a word: it answers all the same.
        let answer = match answered {
            Err(error) if error.kind == FailureKind::Truncated => Answer::default(),
            answered => answered?,
        };
        let (path, other) = match self.dialect.text {
            TextMethod::Chat => ("/chat/completions", ""),
            TextMethod::Completions => ("/completions", "; there is no chat"),
        };
        self.found("text", true, format!("{path} answers {:?}{other}", shown(&answer.text)));
        if !self.dialect.temperature {
            self.found("temperature", false, "it cannot be chosen: requests are sent without it".to_owned());
        }
        Ok(())
    }

    fn logprobs(&mut self) -> bool {
        let request =
            question("Answer with the single word: yes", Generation { top_logprobs: 5, ..generation(16) });
        match self.ask(&request) {
            Ok(answer) if answer.tokens.iter().any(|token| token.alternatives.len() > 1) => {
                let number = answer.tokens[0].alternatives.len();
                self.found("logprobs", true, format!("{number} alternatives at a token"))
            }
            Ok(_) => self.found("logprobs", false, "no alternatives came".to_owned()),
            Err(error) => self.found("logprobs", false, error.message),
        }
    }

    fn json_schema(&mut self) -> bool {
        if self.dialect.text == TextMethod::Completions {
            return self.found("json schema", false, "completions cannot be held to one".to_owned());
        }
        let schema = json!({
            "type": "object", "properties": { "word": { "type": "string", "enum": [WORD] } },
            "required": ["word"], "additionalProperties": false,
        });
        let request = question("Say hello.", Generation { json_schema: Some(schema), ..generation(64) });
        let mut why = Vec::new();
        for (method, name) in [
            (SchemaMethod::JsonSchema, "as json_schema"),
            (SchemaMethod::JsonObject, "as json_object with a schema (llama-cpp-python)"),
        ] {
            self.dialect.schema = Some(method);
            match self.ask(&request) {
                Ok(answer) => {
                    let json: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                    let text = shown(&answer.text);
                    if json == json!({ "word": WORD }) {
                        return self.found("json schema", true, format!("{name}, followed: {text:?}"));
                    }
                    why.push(format!("{name}, not followed: {text:?}"));
                }
                Err(error) => why.push(format!("{name}: {}", error.message)),
            }
        }
        self.dialect.schema = None;
        self.found("json schema", false, why.join("; "))
    }

    fn seed(&mut self) -> bool {
        let warm = Generation { temperature: 1.0, ..generation(24) };
        let asked = |sample| Request {
            sample,
            ..question("Invent a name for a town and describe it.", warm.clone())
        };
        let texts: Result<Vec<String>, _> =
            [0, 0, 1].iter().map(|&sample| self.ask(&asked(sample)).map(|answer| answer.text)).collect();
        match texts {
            Err(error) => self.found("seed", false, error.message),
            Ok(texts) if texts[0] != texts[1] => {
                self.found("seed", false, "the same seed gave two different answers".to_owned())
            }
            Ok(texts) if texts[0] == texts[2] => self.found(
                "seed",
                false,
                "different seeds gave the same answer, so that it cannot be told".to_owned(),
            ),
            Ok(_) => self.found(
                "seed",
                true,
                "the same seed gave the same answer, another seed another".to_owned(),
            ),
        }
    }

    fn turns(&mut self) -> bool {
        if self.dialect.text == TextMethod::Completions {
            self.dialect.turns = Some(TurnMethod::LastMessage);
            return self.found("begun turns", true, "completions go on with any text".to_owned());
        }
        let request = Request {
            messages: vec![
                Message::user("Count from one to ten in words, in small letters, with blanks between them."),
                Message::assistant("one two three four"),
            ],
            ..question("", generation(12))
        };
        let mut why = String::new();
        for method in [TurnMethod::LastMessage, TurnMethod::ContinueFinalMessage] {
            self.dialect.turns = Some(method);
            match self.ask(&request) {
                Ok(answer) if answer.text.trim_start().starts_with("five") => {
                    return self.found(
                        "begun turns",
                        true,
                        format!("goes on with {:?}", shown(&answer.text)),
                    );
                }
                Ok(answer) => why = format!("does not go on, but says {:?}", shown(&answer.text)),
                Err(error) => why = error.message,
            }
        }
        self.dialect.turns = None;
        self.found("begun turns", false, why)
    }

    fn grades(&mut self) -> bool {
        let request = graded("One is written 1, two is written ", "2", "0 1 2 3 4 5 6 7 8 9");
        let mut why = Vec::new();
        for (method, name) in [
            (GradeMethod::PromptLogprobs, "prompt logprobs (vLLM)"),
            (GradeMethod::Echo, "echo with logprobs"),
        ] {
            self.dialect.grades = Some(method);
            let total =
                self.ask(&request).map(|answer| answer.grades.iter().flat_map(|grade| &grade.0).sum::<f32>());
            match total {
                // Some servers (llama-cpp-python 0.3.36) list with a token what may follow it, and digits may do so too.
                Ok(total) if total > 0.5 => return self.found("grades", true, format!("by {name}")),
                Ok(total) => why.push(format!(
                    "{name}: digits have a probability of {total:.2} after \"two is written\", so that what is listed with a \
                     token seems not to be about it"
                )),
                Err(error) => why.push(format!("{name}: {}", error.message)),
            }
        }
        self.dialect.grades = None;
        self.found("grades", false, why.join("; "))
    }

    fn number_ten(&mut self, capabilities: Capabilities) -> bool {
        if capabilities.grades {
            // Whether some token is the whole of "10" at a place where it is what follows.
            let request = graded("8 9 10 11 12\n7 8 9 10 11\n6 7 8 9 ", "10", "1 10");
            return match self.ask(&request) {
                Ok(answer) if answer.grades[0].0[1] > 0.0 => {
                    self.found("10 is one token", true, "at a place".to_owned())
                }
                Ok(_) => {
                    self.found("10 is one token", false, "numbers are written digit by digit".to_owned())
                }
                Err(error) => self.found("10 is one token", false, error.message),
            };
        }
        if !capabilities.logprobs {
            return self.found("10 is one token", false, "no tokens are shown".to_owned());
        }
        let request = question(
            "Answer with this number and nothing else: 10",
            Generation { top_logprobs: 2, ..generation(8) },
        );
        match self.ask(&request) {
            Ok(answer) => {
                let tokens: Vec<&str> = answer.tokens.iter().map(|token| token.text.trim()).collect();
                let why = format!("written as {tokens:?}");
                self.found("10 is one token", tokens.contains(&"10"), why)
            }
            Err(error) => self.found("10 is one token", false, error.message),
        }
    }

    fn found(&mut self, what: &str, offered: bool, why: String) -> bool {
        self.findings.push(Finding { what: what.to_owned(), offered, why });
        offered
    }

    /// One question, asked again after failures that pass.
    fn ask(&self, request: &Request) -> Result<Answer, AttemptError> {
        let (path, body) = build(request, self.endpoint.model(), self.dialect)?;
        let mut failures = 0;
        loop {
            let error = match self.endpoint.post(path, &body) {
                Ok(answer) => return parse(request, self.dialect, &answer).map_err(|(error, _)| error),
                Err(error) => error,
            };
            failures += 1;
            let wait = match error.what {
                What::Overloaded(wait) | What::Failed { retry_after: wait, .. } if failures < ATTEMPTS => {
                    wait
                }
                _ => return Err(error),
            };
            let most = std::time::Duration::from_secs(30);
            std::thread::sleep(wait.unwrap_or(std::time::Duration::from_millis(500) * failures).min(most));
        }
    }
}

/// A question about one place.
fn graded(before: &str, asked: &str, choices: &str) -> Request {
    let grading = Grading {
        choices: choices.split(' ').map(str::to_owned).collect(),
        text: vec![Piece::Text(before.to_owned()), Piece::Asked(asked.to_owned())],
    };
    Request { messages: vec![Message::user("Go on.")], want: Want::Grades(grading), sample: 0 }
}

/// Whether there is no such path, or no such way of using the model.
fn is_missing(error: &AttemptError) -> bool {
    let complaint = error.message.to_lowercase();
    complaint.starts_with("http 404")
        || complaint.starts_with("http 405")
        || complaint.starts_with("http 501")
        || complaint.contains("not a chat model")
        || complaint.contains("chat template")
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
