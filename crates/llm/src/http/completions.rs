//! `/completions`: models that continue a text. Messages are put one after the other, as Bills et al. did it.

use serde_json::Value;

use super::body::{only_choice, settings};
use super::chat::{checked, finish};
use super::dialect::Dialect;
use super::failure::AttemptError;
use crate::answer::{Answer, TokenLogprob};
use crate::request::{Generation, Message, Request, Role};

/// A conversation as one text: turns with a line between them, and an assistant's turn as it stands at the end.
pub(super) fn transcript(messages: &[Message]) -> String {
    let mut text = String::new();
    for (number, message) in messages.iter().enumerate() {
        text.push_str(&message.content);
        let last = number + 1 == messages.len();
        if !(last && message.role == Role::Assistant) {
            text.push_str("\n\n");
        }
    }
    text
}

pub(super) fn body(request: &Request, generation: &Generation, model: &str, dialect: Dialect) -> Value {
    let mut body = settings(request, generation, model, dialect);
    body["prompt"] = transcript(&request.messages).into();
    if generation.top_logprobs > 0 {
        body["logprobs"] = generation.top_logprobs.into();
    }
    body
}

pub(super) fn answer(generation: &Generation, body: &Value) -> Result<Answer, AttemptError> {
    let choice = only_choice(body)?;
    let finish = finish(choice["finish_reason"].as_str())?;
    let text = choice["text"].as_str().ok_or_else(|| AttemptError::malformed("the answer has no `text`"))?;
    let tokens = match &choice["logprobs"] {
        Value::Null => Vec::new(),
        logprobs => tokens(logprobs)
            .ok_or_else(|| AttemptError::malformed("log-probabilities are not as they should be"))?,
    };
    checked(generation, Answer { text: text.to_owned(), finish, tokens, ..Answer::default() })
}

fn tokens(logprobs: &Value) -> Option<Vec<TokenLogprob>> {
    let texts = logprobs["tokens"].as_array()?;
    let values = logprobs["token_logprobs"].as_array()?;
    let tops = logprobs["top_logprobs"].as_array();
    if texts.len() != values.len() || tops.is_some_and(|tops| tops.len() != texts.len()) {
        return None;
    }
    let token = |index: usize| {
        Some(TokenLogprob {
            text: texts[index].as_str()?.to_owned(),
            logprob: values[index].as_f64()? as f32,
            alternatives: tops.map_or(Some(Vec::new()), |tops| alternatives(&tops[index]))?,
        })
    };
    (0..texts.len()).map(token).collect()
}

/// Alternatives of a place, likeliest first.
pub(super) fn alternatives(top: &Value) -> Option<Vec<(String, f32)>> {
    let pairs = top.as_object()?.iter();
    let pairs: Option<Vec<_>> =
        pairs.map(|(text, logprob)| Some((text.clone(), logprob.as_f64()? as f32))).collect();
    let mut pairs = pairs?;
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1));
    Some(pairs)
}
