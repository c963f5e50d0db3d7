//! `/chat/completions`: <https://platform.openai.com/docs/api-reference/chat>.

use serde_json::{Value, json};

use super::body::{only_choice, settings};
use super::dialect::{Dialect, SchemaMethod, TurnMethod};
use super::failure::AttemptError;
use crate::answer::{Answer, FailureKind, Finish, TokenLogprob};
use crate::request::{Generation, Message, Request, Role};

/// The messages as they are sent.
pub(super) fn messages(messages: &[Message]) -> Value {
    messages.iter().map(|message| json!({ "role": message.role, "content": message.content })).collect()
}

pub(super) fn body(request: &Request, generation: &Generation, model: &str, dialect: Dialect) -> Value {
    let mut body = settings(request, generation, model, dialect);
    body["messages"] = messages(&request.messages);
    if generation.top_logprobs > 0 {
        body["logprobs"] = true.into();
        body["top_logprobs"] = generation.top_logprobs.into();
    }
    match (&generation.json_schema, dialect.schema) {
        (Some(schema), Some(SchemaMethod::JsonSchema)) => {
            body["response_format"] = json!({
                "type": "json_schema",
                "json_schema": { "name": "answer", "strict": true, "schema": schema },
            });
        }
        (Some(schema), Some(SchemaMethod::JsonObject)) => {
            body["response_format"] = json!({ "type": "json_object", "schema": schema });
        }
        (Some(_), None) | (None, _) => {}
    }
    let begun = request.messages.last().is_some_and(|message| message.role == Role::Assistant);
    if begun && dialect.turns == Some(TurnMethod::ContinueFinalMessage) {
        body["continue_final_message"] = true.into();
        body["add_generation_prompt"] = false.into();
    }
    body
}

pub(super) fn answer(generation: &Generation, body: &Value) -> Result<Answer, AttemptError> {
    let choice = only_choice(body)?;
    let message = &choice["message"];
    let refused =
        |message: String| AttemptError { kind: FailureKind::Refused, ..AttemptError::malformed(message) };
    if let Some(refusal) = message["refusal"].as_str().filter(|refusal| !refusal.is_empty()) {
        return Err(refused(refusal.to_owned()));
    }
    let finish = finish(choice["finish_reason"].as_str())?;
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        _ => return Err(AttemptError::malformed("the content of the message is no text")),
    };
    let tokens = match &choice["logprobs"]["content"] {
        Value::Array(tokens) => tokens.iter().map(token).collect::<Option<Vec<_>>>(),
        _ => Some(Vec::new()),
    };
    let tokens =
        tokens.ok_or_else(|| AttemptError::malformed("log-probabilities are not as they should be"))?;
    checked(generation, Answer { text, finish, tokens, ..Answer::default() })
}

/// Why an answer ended, if it is one.
pub(super) fn finish(reason: Option<&str>) -> Result<Finish, AttemptError> {
    match reason {
        Some("stop" | "eos" | "end_turn" | "stop_sequence") => Ok(Finish::Stop),
        Some("length" | "max_tokens") => Ok(Finish::Length),
        Some("content_filter") => Err(AttemptError {
            kind: FailureKind::Refused,
            ..AttemptError::malformed("the provider's filter stopped the answer")
        }),
        Some(other) => Err(AttemptError::malformed(format!("the answer ended for the reason `{other}`"))),
        None => Err(AttemptError::malformed("half an answer: it has no `finish_reason`")),
    }
}

/// What every text answer must be.
pub(super) fn checked(generation: &Generation, answer: Answer) -> Result<Answer, AttemptError> {
    let truncated =
        |message: String| AttemptError { kind: FailureKind::Truncated, ..AttemptError::malformed(message) };
    let cut = answer.finish == Finish::Length;
    if answer.text.is_empty() && cut {
        let message =
            format!("no text within {} tokens (a model that thinks first needs more)", generation.max_tokens);
        return Err(truncated(message));
    }
    if generation.json_schema.is_some() && cut {
        return Err(truncated(format!("the JSON is cut off after {} tokens", generation.max_tokens)));
    }
    // An empty answer that ended by itself has no tokens to show.
    if generation.top_logprobs > 0 && answer.tokens.is_empty() && !answer.text.is_empty() {
        return Err(AttemptError::malformed(
            "the answer has no log-probabilities, although they were asked for",
        ));
    }
    Ok(answer)
}

fn token(value: &Value) -> Option<TokenLogprob> {
    let alternatives = match &value["top_logprobs"] {
        Value::Array(tops) => tops.iter().map(named).collect::<Option<Vec<_>>>()?,
        _ => Vec::new(),
    };
    let (text, logprob) = named(value)?;
    Some(TokenLogprob { text, logprob, alternatives })
}

fn named(value: &Value) -> Option<(String, f32)> {
    Some((value["token"].as_str()?.to_owned(), value["logprob"].as_f64()? as f32))
}
