//! By index: the tokens are given as a JSON object by number, and the answer is a JSON object with a number from 0 to 10
//! for each. It works with any model that writes; there is no distribution, and later predictions see earlier ones.
//!
//! An answer counts only if it is such an object with every token once and nothing else. The published code gave zeros
//! where an answer could not be read, which looks like a prediction; here it is a failure.

use std::collections::BTreeMap;
use std::fmt;

use glossator_llm::{Failure, FailureKind, Finish, Generation, Outcome, Request, Want};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::{Predicted, malformed, only};
use crate::prompts::{Example, PromptError, Prompts, described, visible};

/// The largest activation.
const MOST: f32 = 10.0;

/// The request that simulates a text of `tokens`.
pub(super) fn request(prompts: &Prompts, explanation: &str, tokens: &[&str]) -> Result<Request, PromptError> {
    let examples: Vec<Value> = prompts.examples().iter().filter_map(exchange).collect();
    let template = prompts.template("simulate-json")?;
    let question = json!({"question": question(explanation, tokens.iter().copied())});
    let messages = template.fill(&json!({}), &examples, &question)?.messages;
    let want = Want::Text(Generation {
        // A key, a colon, a number and a comma take about six tokens.
        max_tokens: 32 + 10 * tokens.len() as u32,
        json_schema: Some(schema(tokens.len())),
        ..Generation::default()
    });
    Ok(Request { messages, want, sample: 0 })
}

/// The description and the tokens by number, in order.
fn question<'a>(explanation: &str, tokens: impl Iterator<Item = &'a str>) -> String {
    let written = |text: String| Value::from(text).to_string();
    let tokens =
        tokens.enumerate().map(|(number, token)| format!("\"{number}\": {}", written(visible(token))));
    let tokens: Vec<String> = tokens.collect();
    format!("{{\"looks_for\": {}, \"tokens\": {{{}}}}}", written(described(explanation)), tokens.join(", "))
}

/// The first excerpt of a made-up unit, with its answer.
fn exchange(example: &Example) -> Option<Value> {
    let excerpt = example.excerpts.first()?;
    let numbers = excerpt.activations.iter().enumerate();
    let numbers: Vec<String> = numbers.map(|(number, value)| format!("\"{number}\": {value}")).collect();
    Some(json!({
        "question": question(&example.explanation, excerpt.tokens.iter().map(String::as_str)),
        "answer": format!("{{{}}}", numbers.join(", ")),
    }))
}

fn schema(tokens: usize) -> Value {
    let number = json!({"type": "integer", "minimum": 0, "maximum": 10});
    let names: Vec<String> = (0..tokens).map(|token| token.to_string()).collect();
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.clone(), number.clone())).collect();
    json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
}

/// An object with number values in which no key comes twice.
struct Numbers(BTreeMap<String, f32>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Numbers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of numbers by token number")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Numbers, M::Error> {
                let mut numbers = BTreeMap::new();
                while let Some((key, number)) = map.next_entry::<String, f32>()? {
                    if let Some(_earlier) = numbers.insert(key.clone(), number) {
                        return Err(serde::de::Error::custom(format!("token {key} has two numbers")));
                    }
                }
                Ok(Numbers(numbers))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// The predicted shares of the maximum.
pub(super) fn read(tokens: usize, outcomes: &[Outcome]) -> Result<Predicted, Failure> {
    let answer = only(outcomes)?;
    if answer.finish == Finish::Length {
        let message = "the answer is cut off".to_owned();
        return Err(Failure { kind: FailureKind::Truncated, message, usage: answer.usage });
    }
    let failed = |message: String| malformed(message, answer.usage);
    let numbers: Numbers =
        serde_json::from_str(unfenced(&answer.text)).map_err(|error| failed(error.to_string()))?;
    if numbers.0.len() != tokens {
        return Err(failed(format!("{} numbers for {tokens} tokens", numbers.0.len())));
    }
    let share = |token: usize| {
        let number =
            numbers.0.get(&token.to_string()).ok_or_else(|| failed(format!("token {token} is missing")))?;
        if !(0.0..=MOST).contains(number) {
            return Err(failed(format!("token {token} has {number}, which is not from 0 to 10")));
        }
        Ok(number / MOST)
    };
    let shares: Result<Vec<f32>, Failure> = (0..tokens).map(share).collect();
    Ok(Predicted { shares: shares?, distributions: None })
}

/// The text without the ``` fence that many models put around JSON.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    inner.map_or(text, |inner| inner.strip_prefix("json").unwrap_or(inner).trim())
}
