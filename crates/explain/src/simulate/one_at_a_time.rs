//! One at a time: for every token of a text, the text up to it and the question how strongly the unit responds to its
//! last token (Bills et al. 2023, which found it no better than all at once, at a request a token).

use glossator_llm::{
    Capabilities, Distribution, Failure, Generation, Grading, Outcome, Piece, Request, Usage, Want,
};
use serde_json::{Value, json};

use super::{Predicted, Scale, malformed};
use crate::prompts::{Example, ExampleExcerpt, PromptError, Prompts, described, visible};

/// Alternatives that are looked at where a model gives log-probabilities of what it writes.
const ALTERNATIVES: u8 = 15;

/// One request for each of `tokens`.
pub(super) fn requests(
    prompts: &Prompts,
    capabilities: Capabilities,
    explanation: &str,
    tokens: &[&str],
) -> Result<Vec<Request>, PromptError> {
    let scale = Scale::of(capabilities);
    let shared = json!({"scale": scale.most()});
    let examples: Vec<Value> =
        prompts.examples().iter().flat_map(|example| exchanges(example, scale)).collect();
    let template = prompts.template("simulate-one-at-a-time")?;
    let want = if capabilities.grades {
        Want::Grades(Grading { choices: scale.choices(), text: vec![Piece::Asked("0".to_owned())] })
    } else {
        Want::Text(Generation { max_tokens: 1, top_logprobs: ALTERNATIVES, ..Generation::default() })
    };
    let explanation = described(explanation);
    let mut text = String::new();
    let ask = |token: &&str| {
        let token = visible(token);
        text.push_str(&token);
        let question = json!({"explanation": explanation, "text": text, "token": token});
        let messages = template.fill(&shared, &examples, &question)?.messages;
        Ok(Request { messages, want: want.clone(), sample: 0 })
    };
    tokens.iter().map(ask).collect()
}

/// Two exchanges about a made-up unit: the strongest token of its first excerpt, and a token of its last that it does
/// not respond to.
fn exchanges(example: &Example, scale: Scale) -> Vec<Value> {
    let ask = |excerpt: &ExampleExcerpt, last: usize| {
        let text: String = excerpt.tokens[..=last].iter().map(|token| visible(token)).collect();
        json!({
            "explanation": example.explanation,
            "text": text,
            "token": visible(&excerpt.tokens[last]),
            "activation": scale.example(excerpt.activations[last]),
        })
    };
    let strongest = example.excerpts.first().and_then(|excerpt| {
        let places = 0..excerpt.activations.len();
        Some((excerpt, places.max_by_key(|&place| excerpt.activations[place])?))
    });
    let silent = example.excerpts.last().and_then(|excerpt| {
        Some((excerpt, excerpt.activations.iter().rposition(|activation| *activation == 0)?))
    });
    strongest.into_iter().chain(silent).map(|(excerpt, last)| ask(excerpt, last)).collect()
}

/// The predicted shares of the maximum, one from each outcome.
pub(super) fn read(capabilities: Capabilities, outcomes: &[Outcome]) -> Result<Predicted, Failure> {
    let scale = Scale::of(capabilities);
    let distribution = |(token, outcome): (usize, &Outcome)| {
        let answer = outcome.as_ref().map_err(Clone::clone)?;
        match answer.grades.as_slice() {
            [grades] => Ok(grades.clone()),
            [] => Ok(written(scale, answer.tokens.first().map_or(&[], |token| &token.alternatives))),
            _ => Err(malformed(format!("several grades for token {token}"), answer.usage)),
        }
    };
    let distributions: Result<Vec<Distribution>, Failure> =
        outcomes.iter().enumerate().map(distribution).collect();
    scale.predicted(&distributions?, Usage::default())
}

/// The probabilities of the numbers among the likeliest tokens.
fn written(scale: Scale, alternatives: &[(String, f32)]) -> Distribution {
    let probability = |number: &String| -> f32 {
        let same = alternatives.iter().filter(|(text, _)| text.trim() == number);
        same.map(|(_, logprob)| logprob.exp()).sum()
    };
    Distribution(scale.choices().iter().map(probability).collect())
}
