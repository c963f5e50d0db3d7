//! All at once: the text is the model's own turn, one token a line, and where the activation would stand it says
//! `unknown`. The model never sees an activation, its own predictions included; one pass over the text gives at every
//! such place the distribution over the numbers that it would have written (Bills et al. 2023, "Simulate").
//!
//! In the worked examples the activations become known at some token, so that a number may follow anywhere.

use glossator_llm::{Failure, Grading, Outcome, Piece, Request, Want};
use serde_json::{Value, json};

use super::{Predicted, Scale, malformed, only};
use crate::prompts::{Example, PromptError, Prompts, described, visible};

/// What stands where an activation is not shown.
const UNKNOWN: &str = "unknown";

/// The request that simulates a text of `tokens`.
pub fn request(
    prompts: &Prompts,
    scale: Scale,
    explanation: &str,
    tokens: &[&str],
) -> Result<Request, PromptError> {
    let examples: Vec<Value> =
        prompts.examples().iter().enumerate().map(|(i, example)| shown(i + 1, example, scale)).collect();
    let question = json!({"number": examples.len() + 1, "explanation": described(explanation)});
    let template = prompts.template("simulate-grades")?;
    let conversation = template.fill(&json!({"scale": scale.most()}), &examples, &question)?;
    let mut before = conversation.begin.unwrap_or_default();
    let mut text = Vec::with_capacity(2 * tokens.len());
    for token in tokens {
        text.push(Piece::Text(format!("{before}\n{}\t", visible(token))));
        text.push(Piece::Asked(UNKNOWN.to_owned()));
        before.clear();
    }
    let want = Want::Grades(Grading { choices: scale.choices(), text });
    Ok(Request { messages: conversation.messages, want, sample: 0 })
}

fn shown(number: usize, example: &Example, scale: Scale) -> Value {
    let excerpts = example.excerpts.iter().map(|excerpt| {
        let lines = excerpt.tokens.iter().zip(&excerpt.activations);
        let lines: Vec<Value> = lines
            .map(|(token, &activation)| json!({"token": visible(token), "activation": scale.example(activation)}))
            .collect();
        json!({"lines": lines, "revealed": excerpt.revealed})
    });
    json!({
        "number": number,
        "explanation": example.explanation,
        "excerpts": excerpts.collect::<Vec<Value>>(),
    })
}

/// The predicted shares of the maximum.
pub(super) fn read(scale: Scale, tokens: usize, outcomes: &[Outcome]) -> Result<Predicted, Failure> {
    let answer = only(outcomes)?;
    if answer.grades.len() != tokens {
        let message = format!("{} grades for {tokens} tokens", answer.grades.len());
        return Err(malformed(message, answer.usage));
    }
    scale.predicted(&answer.grades, answer.usage)
}
