//! Contrastive: the marked excerpts, and excerpts on which the unit stays silent although they look alike: near misses,
//! which hold a token that one of the marked excerpts peaks at. Where there are too few, others on which it is silent.

use std::collections::BTreeSet;

use glossator_atlas::Excerpt;
use serde_json::{Value, json};

use super::{Evidence, marked};
use crate::prompts::visible;

/// Silent excerpts that are shown.
const OTHERS: usize = 5;

/// A unit is silent on an excerpt if it stays below this share of the largest activation that is shown.
const SILENT: f32 = 0.2;

pub(super) fn question(evidence: &Evidence<'_>) -> Option<Value> {
    let peaks: BTreeSet<u32> =
        evidence.top.iter().filter_map(|excerpt| peak(excerpt, evidence.ignored)).collect();
    let holds_peak =
        |excerpt: &Excerpt| excerpt.tokens.iter().skip(evidence.ignored).any(|t| peaks.contains(t));
    let silent = evidence.lower.iter().filter(|excerpt| excerpt.max < SILENT * evidence.maximum);
    let (near, far): (Vec<&Excerpt>, Vec<&Excerpt>) = silent.partition(|excerpt| holds_peak(excerpt));
    // Of the near misses those with the largest maximum are nearest.
    let others: Vec<String> = near
        .into_iter()
        .rev()
        .chain(far.into_iter().rev())
        .take(OTHERS)
        .map(|excerpt| evidence.positions(excerpt).map(|(token, _)| visible(token)).collect())
        .collect();
    let mut question = marked::question(evidence)?;
    question["others"] = json!(others);
    (!others.is_empty()).then_some(question)
}

/// The token with the largest activation.
fn peak(excerpt: &Excerpt, ignored: usize) -> Option<u32> {
    let positions = excerpt.tokens.iter().zip(&excerpt.activations).skip(ignored);
    positions.max_by(|a, b| a.1.total_cmp(b.1)).map(|(token, _)| *token)
}
