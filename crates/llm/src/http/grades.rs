//! Grading a given text: what the server says of its tokens becomes a distribution over the choices at each place.
//!
//! At a place that is asked about, a token must begin in the text as it was sent; the probabilities of the tokens that
//! could stand there are added up for each choice. A server that shows only the likeliest few leaves out what is less
//! likely, which [`Distribution`] allows for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::alignment::align;
use super::body::only_choice;
use super::chat::messages;
use super::completions::{alternatives, transcript};
use super::failure::AttemptError;
use crate::answer::{Answer, Distribution};
use crate::request::{Grading, Message, Piece, Request, Role};

/// Alternatives that are asked for at each token: the choices 0 to 10 and some that are none, as in the published code.
const TOP: u8 = 15;

/// The text up to the end of the last place; what follows gives nothing.
fn graded_text(grading: &Grading) -> (String, Vec<usize>) {
    let mut text = String::new();
    let mut places = Vec::new();
    let last =
        grading.text.iter().rposition(|piece| matches!(piece, Piece::Asked(_))).map_or(0, |last| last + 1);
    for piece in &grading.text[..last] {
        if matches!(piece, Piece::Asked(_)) {
            places.push(text.len());
        }
        text.push_str(piece.as_str());
    }
    (text, places)
}

/// The messages as a text, before the graded one.
fn context(request: &Request) -> String {
    transcript(&request.messages)
}

pub(super) fn echo_body(request: &Request, grading: &Grading, model: &str) -> Value {
    let prompt = context(request) + &graded_text(grading).0;
    // One token, because servers disagree on what none means: llama-cpp-python would write without end.
    json!({ "model": model, "prompt": prompt, "max_tokens": 1, "echo": true, "logprobs": TOP, "temperature": 0.0 })
}

pub(super) fn of_echo(request: &Request, grading: &Grading, body: &Value) -> Result<Answer, AttemptError> {
    let wrong = |what: &str| AttemptError::malformed(format!("the echoed log-probabilities have {what}"));
    let logprobs = &only_choice(body)?["logprobs"];
    let tokens = logprobs["tokens"].as_array().ok_or_else(|| wrong("no `tokens`"))?;
    let tokens: Option<Vec<&str>> = tokens.iter().map(Value::as_str).collect();
    let tokens = tokens.ok_or_else(|| wrong("tokens that are no texts"))?;
    let tops = logprobs["top_logprobs"].as_array().ok_or_else(|| wrong("no `top_logprobs`"))?;
    if tops.len() != tokens.len() {
        return Err(wrong("not one entry for each token"));
    }
    let (before, (text, places)) = (context(request), graded_text(grading));
    let whole = format!("{before}{text}");
    // Some servers show the token that begins every text.
    let start = [0, 1].into_iter().find_map(|skip| Some((skip, align(tokens.get(skip..)?, &whole)?)));
    let (skipped, offsets) = start.ok_or_else(|| wrong("tokens that do not spell the text that was sent"))?;
    let at = |place: usize| {
        let index = skipped + offsets.iter().position(|offset| *offset == before.len() + place)?;
        Some(tops.get(index).and_then(alternatives).unwrap_or_default())
    };
    graded(grading, &places, at)
}

pub(super) fn prompt_body(request: &Request, grading: &Grading, model: &str) -> Value {
    let mut turns = request.messages.clone();
    let text = graded_text(grading).0;
    match turns.last_mut() {
        Some(Message { role: Role::Assistant, content }) => content.push_str(&text),
        _ => turns.push(Message::assistant(text)),
    }
    json!({
        "model": model, "messages": messages(&turns), "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": TOP,
        "return_token_ids": true, "continue_final_message": true, "add_generation_prompt": false,
    })
}

pub(super) fn of_prompt_logprobs(
    request: &Request,
    grading: &Grading,
    body: &Value,
) -> Result<Answer, AttemptError> {
    let wrong = |what: &str| AttemptError::malformed(format!("`prompt_logprobs` {what}"));
    let prompt: Vec<Entries> = serde_json::from_value(body["prompt_logprobs"].clone())
        .map_err(|error| wrong(&format!("are not there or not as they should be: {error}")))?;
    let ids = body["prompt_token_ids"]
        .as_array()
        .ok_or_else(|| wrong("come without `prompt_token_ids` (vLLM 0.10.2)"))?;
    if ids.len() != prompt.len() {
        return Err(wrong("are not one for each token"));
    }
    // The first token has no probability, and so no entry; it is the template's.
    let spelt = |(entries, id): (&'_ Entries, &Value)| match entries {
        Some(entries) => entries.get(&id.to_string())?.decoded_token.clone(),
        None => Some(String::new()),
    };
    let tokens: Option<Vec<String>> = prompt.iter().zip(ids).map(spelt).collect();
    let tokens = tokens.ok_or_else(|| wrong("do not name the tokens of the prompt"))?;
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let (text, places) = graded_text(grading);
    // A turn that is begun may share a token with the text. Both are the end of the prompt: the latest start from which
    // the tokens spell them is their beginning.
    let begun = request.messages.last().filter(|message| message.role == Role::Assistant);
    let before = begun.map_or("", |message| message.content.as_str());
    let whole = format!("{before}{text}");
    let start = (0..tokens.len()).rev().find_map(|start| Some((start, align(&tokens[start..], &whole)?)));
    let (start, offsets) = start.ok_or_else(|| wrong("do not spell the text that was sent"))?;
    let at = |place: usize| {
        let index = start + offsets.iter().position(|offset| *offset == before.len() + place)?;
        let entries = prompt[index].iter().flat_map(BTreeMap::values);
        Some(entries.filter_map(|entry| Some((entry.decoded_token.clone()?, entry.logprob as f32))).collect())
    };
    graded(grading, &places, at)
}

/// The distribution at each place, from the alternatives of the token that begins there.
fn graded(
    grading: &Grading,
    places: &[usize],
    at: impl Fn(usize) -> Option<Vec<(String, f32)>>,
) -> Result<Answer, AttemptError> {
    let mut grades = Vec::with_capacity(places.len());
    for (number, &place) in places.iter().enumerate() {
        let alternatives = at(place).ok_or_else(|| {
            AttemptError::unsupported(format!(
                "no token of the model begins at place {number} of the graded text, so that nothing is known of it"
            ))
        })?;
        grades.push(distribution(&grading.choices, &alternatives));
    }
    Ok(Answer { grades, ..Answer::default() })
}

/// Adds up the probabilities of the tokens that begin each choice: those that are a choice, and those that begin one
/// choice alone.
fn distribution(choices: &[String], alternatives: &[(String, f32)]) -> Distribution {
    let mut probabilities = vec![0.0; choices.len()];
    for (token, logprob) in alternatives.iter().filter(|(token, _)| !token.is_empty()) {
        let whole = choices.iter().position(|choice| choice == token);
        let mut begun = (0..choices.len()).filter(|&index| choices[index].starts_with(token.as_str()));
        let choice = whole.or_else(|| begun.next().filter(|_| begun.next().is_none()));
        if let Some(choice) = choice {
            probabilities[choice] += logprob.exp();
        }
    }
    Distribution(probabilities)
}

/// The entries of one token of the prompt, by token id; the first token of a prompt has none.
type Entries = Option<BTreeMap<String, Entry>>;

#[derive(Deserialize)]
struct Entry {
    logprob: f64,
    #[serde(default)]
    decoded_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_that_begin_a_choice_count_for_it() {
        let choices: Vec<String> = ["0", "1", "10", "yes", "yet"].map(str::to_owned).into();
        let ln = |p: f32| p.ln();
        let alternatives: Vec<(String, f32)> = [
            ("1", 0.2),
            ("10", 0.1),
            ("yes", 0.05),
            ("ye", 0.3),
            ("yet", 0.02),
            ("y", 0.01),
            (" 1", 0.2),
            ("", 0.1),
        ]
        .map(|(token, p)| (token.to_owned(), ln(p)))
        .into();
        let Distribution(found) = distribution(&choices, &alternatives);
        for (found, wanted) in found.into_iter().zip([0.0, 0.2, 0.1, 0.05, 0.02]) {
            assert!((found - wanted).abs() < 1e-6);
        }
    }
}
