//! A Neuron2Graph and the token means in words: the readable line of the patterns that a search has found, and the tokens
//! with the largest mean activation.

use serde_json::{Value, json};

use super::{Evidence, tokens};

/// Tokens that are shown beside the patterns.
const SHOWN: usize = 10;

/// Characters of the patterns' line that are shown.
const CHARACTERS: usize = 600;

pub(super) fn question(evidence: &Evidence<'_>) -> Option<Value> {
    let patterns: String = evidence.patterns.as_ref()?.chars().take(CHARACTERS).collect();
    // The line is escaped already, but for what would look like a control token.
    let patterns = patterns.replace('<', "\\<");
    Some(json!({"patterns": patterns, "tokens": tokens::strongest(evidence, SHOWN)}))
}
