//! Which sense of a unit an excerpt shows: the one whose training excerpts are most like it on average, by the similarity
//! that the senses were clustered by. It needs to know where the unit peaks, so it serves scoring, not prediction.

use glossator_atlas::{Atlas, Excerpt, Explanation, Split};
use serde::Deserialize;

use super::senses::{Features, features, similarity};
use crate::ExplainError;
use crate::sample::Sample;
use crate::score::Stratum;

/// A sense as it is stored with the explanation.
#[derive(Deserialize)]
struct Stored {
    text: String,
    windows: Vec<u32>,
}

/// For each sense of an explanation that has several: its text, and those excerpts of `sample` that score it, which are the top
/// excerpts that show it and all random ones.
pub(crate) fn senses(
    atlas: &Atlas,
    explanation: &Explanation,
    sample: &Sample,
) -> Result<Vec<(String, Sample)>, ExplainError> {
    let stored = explanation.body.get("senses").cloned().unwrap_or_default();
    let stored: Vec<Stored> = serde_json::from_value(stored).unwrap_or_default();
    if stored.len() < 2 {
        return Ok(Vec::new());
    }
    let training = atlas.excerpts_in(explanation.unit, &[Split::Train])?;
    let describe = |excerpt: &Excerpt| described(atlas, excerpt, sample.ignored);
    let senses: Vec<Vec<Features>> = stored
        .iter()
        .map(|sense| training.iter().filter(|e| sense.windows.contains(&e.window)).map(describe).collect())
        .collect();
    let shown = |excerpt: &Excerpt| {
        let these = describe(excerpt);
        let alike = |sense: &[Features]| {
            sense.iter().map(|other| similarity(&these, other)).sum::<f64>() / sense.len().max(1) as f64
        };
        // The first of equally similar ones, which has the largest share.
        let alike: Vec<f64> = senses.iter().map(|sense| alike(sense)).collect();
        (0..alike.len()).reduce(|best, next| if alike[next] > alike[best] { next } else { best })
    };
    let of: Vec<Option<usize>> = sample
        .excerpts
        .iter()
        .map(|(stratum, excerpt)| (*stratum == Stratum::Top).then(|| shown(excerpt)).flatten())
        .collect();
    let scored = |(number, sense): (usize, Stored)| {
        let chosen = sample.excerpts.iter().zip(&of);
        let chosen = chosen.filter(|((stratum, _), of)| *stratum == Stratum::Random || **of == Some(number));
        let excerpts = chosen.map(|(excerpt, _)| excerpt.clone()).collect();
        (sense.text, Sample { excerpts, ignored: sample.ignored })
    };
    Ok(stored.into_iter().enumerate().map(scored).collect())
}

fn described(atlas: &Atlas, excerpt: &Excerpt, ignored: usize) -> Features {
    let tokens: Vec<&str> =
        excerpt.tokens[ignored..].iter().map(|token| atlas.vocabulary().text(*token)).collect();
    let activations = &excerpt.activations[ignored..];
    let peak = (0..activations.len()).max_by(|&a, &b| activations[a].total_cmp(&activations[b]));
    peak.map(|peak| features(&tokens, peak)).unwrap_or_default()
}
