//! Token space: the tokens with the largest mean activation, fifty at most, without any text around them (Bills et al. 2023,
//! "Token-based explanations").

use serde_json::{Value, json};

use super::Evidence;
use crate::prompts::visible;

/// Tokens that are shown.
const SHOWN: usize = 50;

pub(super) fn question(evidence: &Evidence<'_>) -> Option<Value> {
    let tokens = strongest(evidence, SHOWN);
    (!tokens.is_empty()).then(|| json!({"tokens": tokens}))
}

/// The tokens with the largest positive means.
pub(super) fn strongest(evidence: &Evidence<'_>, count: usize) -> Vec<String> {
    let positive = evidence.tokens.iter().filter(|token| token.mean > 0.0).take(count);
    positive.map(|token| visible(evidence.vocabulary.text(token.token))).collect()
}
