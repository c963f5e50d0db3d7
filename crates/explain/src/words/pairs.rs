//! Token–activation pairs: every token of the top training excerpts on a line with its activation from 0 to 10, by floor,
//! relative to the largest that is shown; where fewer than a fifth of the numbers are above 0, the lines with those alone
//! are shown again (Bills et al. 2023, "Explain").

use serde_json::{Value, json};

use super::Evidence;
use crate::prompts::{Example, visible};
use crate::simulate::discretised;

/// Below this share of non-zero numbers they are shown again by themselves.
const SPARSE: f64 = 0.2;

pub(super) fn question(evidence: &Evidence<'_>) -> Option<Value> {
    let excerpts: Vec<Vec<(String, u8)>> = evidence
        .top
        .iter()
        .map(|excerpt| {
            let positions = evidence.positions(excerpt);
            positions.map(|(token, value)| (visible(token), discretised(value, evidence.maximum))).collect()
        })
        .collect();
    (!excerpts.is_empty()).then(|| shown(&excerpts))
}

pub(super) fn example(number: usize, example: &Example) -> Value {
    let excerpts: Vec<Vec<(String, u8)>> = example
        .excerpts
        .iter()
        .map(|excerpt| {
            let tokens = excerpt.tokens.iter().map(|token| visible(token));
            tokens.zip(excerpt.activations.iter().copied()).collect()
        })
        .collect();
    let mut shown = shown(&excerpts);
    shown["number"] = json!(number);
    shown["explanation"] = json!(example.explanation);
    shown
}

fn shown(excerpts: &[Vec<(String, u8)>]) -> Value {
    let all = || excerpts.iter().flatten();
    let firing = all().filter(|(_, activation)| *activation > 0).count();
    let lines = |excerpt: &Vec<(String, u8)>| -> Vec<Value> {
        excerpt.iter().map(|(token, activation)| json!({"token": token, "activation": activation})).collect()
    };
    json!({
        "excerpts": excerpts.iter().map(lines).collect::<Vec<_>>(),
        "sparse": firing > 0 && (firing as f64) < SPARSE * all().count() as f64,
    })
}
