//! Requests as token sequences.

use glossator_model::runtime::{Job, JobWant};
use glossator_model::{ModelError, Sampling, Tokenizer};

use super::template::{ChatTemplate, Part};
use crate::answer::{Failure, FailureKind, Usage};
use crate::request::{Grading, Piece, Request, Want};

/// A request that the runtime can take.
pub(super) struct Prepared {
    pub(super) job: Job,
    /// Texts that end the answer.
    pub(super) stop: Vec<String>,
}

fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), usage: Usage::default() }
}

fn unsupported(message: impl Into<String>) -> Failure {
    failure(FailureKind::Unsupported, message)
}

fn untokenised(error: &ModelError) -> Failure {
    unsupported(error.to_string())
}

/// Brings a request into tokens.
pub(super) fn prepare(
    request: &Request,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    ends: &[u32],
    context_length: usize,
) -> Result<Prepared, Failure> {
    let parts = template
        .render(&request.messages)
        .map_err(|message| unsupported(format!("the chat template {message}")))?;
    let mut tokens = tokenizer
        .encode_spans(&parts.iter().map(Part::span).collect::<Vec<_>>())
        .map_err(|error| untokenised(&error))?;
    if let Some(bos) = tokenizer.bos().filter(|bos| tokenizer.add_bos() && tokens.first() != Some(bos)) {
        tokens.insert(0, bos);
    }
    let (want, stop, new) = match &request.want {
        Want::Text(generation) if generation.json_schema.is_some() => {
            return Err(unsupported("local models cannot be held to a JSON schema"));
        }
        Want::Text(generation) => {
            let want = JobWant::Continuation {
                max_tokens: generation.max_tokens as usize,
                sampling: Sampling {
                    temperature: generation.temperature,
                    top_p: generation.top_p,
                    seed: request.seed(),
                },
                stop_tokens: ends.to_vec(),
                alternatives: usize::from(generation.top_logprobs),
            };
            (want, generation.stop.clone(), generation.max_tokens as usize)
        }
        Want::Grades(grading) => {
            let choices = first_tokens(&grading.choices, tokenizer)?;
            let places = append(grading, tokenizer, &mut tokens)?;
            (JobWant::Choices { places, choices }, Vec::new(), 0)
        }
    };
    if tokens.len() + new > context_length {
        return Err(failure(
            FailureKind::Truncated,
            format!(
                "{} tokens and {new} new ones do not fit into the model's {context_length}",
                tokens.len()
            ),
        ));
    }
    Ok(Prepared { job: Job { tokens, want }, stop })
}

/// Appends the text of a grading, of which each piece begins with a token of its own; returns where answers are weighed.
fn append(grading: &Grading, tokenizer: &Tokenizer, tokens: &mut Vec<u32>) -> Result<Vec<usize>, Failure> {
    let mut places = Vec::with_capacity(grading.places());
    for piece in &grading.text {
        let (Piece::Text(text) | Piece::Asked(text)) = piece;
        if matches!(piece, Piece::Asked(_)) {
            if text.is_empty() {
                return Err(unsupported("an asked piece is empty: places would fall together"));
            }
            places.push(tokens.len());
        }
        tokens.extend(tokenizer.encode_inside(text).map_err(|error| untokenised(&error))?);
    }
    Ok(places)
}

/// The token that each choice begins with; they must differ.
fn first_tokens(choices: &[String], tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
    let mut tokens: Vec<u32> = Vec::with_capacity(choices.len());
    for choice in choices {
        let encoded = tokenizer.encode_inside(choice).map_err(|error| untokenised(&error))?;
        let Some(first) = encoded.first() else { return Err(unsupported("a choice is empty")) };
        if let Some(same) = tokens.iter().position(|token| token == first) {
            let message = format!(
                "the choices `{}` and `{choice}` begin with the same token of this model, `{}`",
                choices[same],
                tokenizer.token_text(*first)
            );
            return Err(unsupported(message));
        }
        tokens.push(*first);
    }
    Ok(tokens)
}

/// Whether each of "0" to "10" begins with a token of its own.
pub(super) fn numbers_differ(tokenizer: &Tokenizer) -> Result<bool, ModelError> {
    let (one, ten) = (tokenizer.encode_inside("1")?, tokenizer.encode_inside("10")?);
    Ok(one.first() != ten.first())
}
