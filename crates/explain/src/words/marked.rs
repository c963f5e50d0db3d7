//! Marked excerpts: the top training excerpts as text with `<<` and `>>` around the tokens above 0.3 of the largest
//! activation that is shown, and the strongest of them with their activation from 1 to 10 (Paulo et al. 2024, "Automatically
//! interpreting millions of features"; numbers here are by floor, as everywhere).

use glossator_atlas::Excerpt;
use serde_json::{Value, json};

use super::Evidence;
use crate::prompts::{Example, marked, visible};
use crate::simulate::discretised;

/// Share of the largest activation above which a token is marked.
const MARKED: f32 = 0.3;

/// Tokens of an excerpt that are named with their activation.
const NAMED: usize = 5;

pub(super) fn question(evidence: &Evidence<'_>) -> Option<Value> {
    let excerpts: Vec<Value> = evidence.top.iter().map(|excerpt| shown(evidence, excerpt)).collect();
    (!excerpts.is_empty()).then(|| json!({"excerpts": excerpts}))
}

/// An excerpt as prompts show it.
pub(super) fn shown(evidence: &Evidence<'_>, excerpt: &Excerpt) -> Value {
    let positions: Vec<(&str, u8, bool)> = evidence
        .positions(excerpt)
        .map(|(token, value)| {
            (token, discretised(value, evidence.maximum), value > MARKED * evidence.maximum)
        })
        .collect();
    value(&positions)
}

pub(super) fn example(number: usize, example: &Example) -> Value {
    let excerpts = example.excerpts.iter().map(|excerpt| {
        let tokens = excerpt.tokens.iter().map(String::as_str).zip(&excerpt.activations);
        let positions: Vec<(&str, u8, bool)> = tokens
            .map(|(token, &activation)| (token, activation, f32::from(activation) > 10.0 * MARKED))
            .collect();
        value(&positions)
    });
    json!({
        "number": number,
        "explanation": example.explanation,
        "excerpts": excerpts.collect::<Vec<Value>>(),
    })
}

fn value(positions: &[(&str, u8, bool)]) -> Value {
    let text = marked(positions.iter().map(|(token, _, mark)| (*token, *mark)));
    let mut strongest: Vec<_> =
        positions.iter().filter(|(_, activation, mark)| *mark && *activation > 0).collect();
    strongest.sort_by_key(|(_, activation, _)| std::cmp::Reverse(*activation));
    strongest.truncate(NAMED);
    let named = strongest.iter().map(|(token, activation, _)| {
        json!({"token": format!("\"{}\"", visible(token)), "activation": activation})
    });
    json!({"marked": text, "strongest": named.collect::<Vec<Value>>()})
}
