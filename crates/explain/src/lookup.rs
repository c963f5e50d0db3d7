//! Token lookup: predicts a unit's mean activation on the current token, and its global mean on tokens without one.
//!
//! The unigram baseline of Bills et al. 2023: over most of a network it beats explanations in words, so that every
//! explanation has to be compared with it. The means come from the atlas, which leaves each unit's calibration, valid
//! and test excerpts out of them.

use glossator_atlas::{TokenMean, TokenMeans};
use serde_json::Value;

use crate::Predictor;
use crate::text::quoted;

/// Tokens named in the readable line.
const NAMED: usize = 8;

impl Predictor for TokenMeans {
    fn predict(&self, tokens: &[u32]) -> Vec<f32> {
        tokens.iter().map(|&token| self.get(token).unwrap_or(self.mean)).collect()
    }
}

/// The explanation in one line: the tokens with the highest means, such as `" dog" 2.13, " cat" 1.87`.
pub fn readable<'a>(top: &[TokenMean], text: impl Fn(u32) -> &'a str) -> String {
    let named =
        top.iter().take(NAMED).map(|token| format!("{} {:.2}", quoted(text(token.token)), token.mean));
    let named: Vec<String> = named.collect();
    if named.is_empty() { "no token seen".to_owned() } else { named.join(", ") }
}

/// The stored form: the global mean and the strongest tokens. The whole table stays in the atlas' `token_means`.
pub fn to_json(mean: f32, top: &[TokenMean]) -> Value {
    let top: Vec<Value> = top
        .iter()
        .take(NAMED)
        .map(|token| serde_json::json!({"token": token.token, "mean": token.mean, "count": token.count}))
        .collect();
    serde_json::json!({"table": "token_means", "mean": mean, "top": top})
}
