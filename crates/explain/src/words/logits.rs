//! Logits-aware: the marked excerpts, the tokens that come right after the marked parts, and those that the unit's output
//! direction promotes: for units that prepare what is said next.

use serde_json::{Value, json};

use super::{Evidence, marked};
use crate::prompts::visible;

/// Tokens of each list.
const NAMED: usize = 10;

pub(super) fn question(evidence: &Evidence<'_>) -> Option<Value> {
    if evidence.promoted.is_empty() {
        return None;
    }
    let mut following: Vec<String> = Vec::new();
    for excerpt in &evidence.top {
        let positions: Vec<(&str, f32)> = evidence.positions(excerpt).collect();
        let peak = (0..positions.len()).max_by(|&a, &b| positions[a].1.total_cmp(&positions[b].1));
        let next = peak.and_then(|peak| positions.get(peak + 1)).map(|(token, _)| visible(token));
        following.extend(next.filter(|next| !following.contains(next)));
    }
    let promoted = evidence.promoted.iter().take(NAMED);
    let promoted: Vec<String> = promoted.map(|one| visible(evidence.vocabulary.text(one.token))).collect();
    let mut question = marked::question(evidence)?;
    question["following"] = json!(following);
    question["promoted"] = json!(promoted);
    Some(question)
}
