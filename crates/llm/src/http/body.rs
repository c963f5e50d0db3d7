//! From a request to the body that is sent, and from the body that comes back to the answer.

use serde_json::Value;

use super::dialect::{Dialect, GradeMethod, TextMethod};
use super::failure::AttemptError;
use super::{chat, completions, grades};
use crate::answer::{Answer, Usage};
use crate::request::{Generation, Request, Role, Want};

/// The path and the body that ask for what is wanted.
pub(crate) fn build(
    request: &Request,
    model: &str,
    dialect: Dialect,
) -> Result<(&'static str, Value), AttemptError> {
    let begun = request.messages.last().is_some_and(|message| message.role == Role::Assistant);
    match (&request.want, dialect.text, dialect.grades) {
        (Want::Grades(grading), _, Some(GradeMethod::Echo)) => {
            Ok(("completions", grades::echo_body(request, grading, model)))
        }
        (Want::Grades(grading), _, Some(GradeMethod::PromptLogprobs)) => {
            Ok(("chat/completions", grades::prompt_body(request, grading, model)))
        }
        (Want::Grades(_), _, None) => {
            Err(AttemptError::unsupported("the endpoint gives no probabilities of a text that is given"))
        }
        (Want::Text(_), TextMethod::Chat, _) if begun && dialect.turns.is_none() => {
            Err(AttemptError::unsupported("the endpoint does not go on with an assistant's turn"))
        }
        (Want::Text(generation), TextMethod::Chat, _) => {
            Ok(("chat/completions", chat::body(request, generation, model, dialect)))
        }
        (Want::Text(generation), TextMethod::Completions, _) => {
            Ok(("completions", completions::body(request, generation, model, dialect)))
        }
    }
}

/// The answer in what came back; tokens that were used are counted even if there is none.
pub(crate) fn parse(
    request: &Request,
    dialect: Dialect,
    body: &Value,
) -> Result<Answer, (AttemptError, Usage)> {
    let usage = usage(body);
    let answer = match (&request.want, dialect.text, dialect.grades) {
        (Want::Grades(grading), _, Some(GradeMethod::Echo)) => grades::of_echo(request, grading, body),
        (Want::Grades(grading), _, _) => grades::of_prompt_logprobs(request, grading, body),
        (Want::Text(generation), TextMethod::Chat, _) => chat::answer(generation, body),
        (Want::Text(generation), TextMethod::Completions, _) => completions::answer(generation, body),
    };
    match answer {
        Ok(answer) => Ok(Answer { usage, ..answer }),
        Err(error) => Err((error, usage)),
    }
}

/// The settings that chat and completions share.
pub(super) fn settings(request: &Request, generation: &Generation, model: &str, dialect: Dialect) -> Value {
    let mut body = serde_json::json!({
        "model": model,
        // Some servers read seeds as 32-bit integers with a sign.
        "seed": request.seed() & 0x7fff_ffff,
    });
    let limit = if dialect.max_completion_tokens { "max_completion_tokens" } else { "max_tokens" };
    body[limit] = generation.max_tokens.into();
    if dialect.temperature {
        body["temperature"] = generation.temperature.into();
        body["top_p"] = generation.top_p.into();
    }
    if !generation.stop.is_empty() {
        body["stop"] = generation.stop.clone().into();
    }
    body
}

/// The only choice of an answer.
pub(super) fn only_choice(body: &Value) -> Result<&Value, AttemptError> {
    match body["choices"].as_array().map(Vec::as_slice) {
        Some([choice]) => Ok(choice),
        Some(choices) => Err(AttemptError::malformed(format!("{} choices instead of one", choices.len()))),
        None => Err(AttemptError::malformed("the answer has no `choices`")),
    }
}

/// Tokens that were used, as far as the server says so.
fn usage(body: &Value) -> Usage {
    let usage = &body["usage"];
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    Usage {
        prompt_tokens: count(&usage["prompt_tokens"]),
        cached_tokens: count(&usage["prompt_tokens_details"]["cached_tokens"]),
        completion_tokens: count(&usage["completion_tokens"]),
    }
}
