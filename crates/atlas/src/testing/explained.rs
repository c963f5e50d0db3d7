//! Explanations, scores and simulations for a made-up atlas: plausible ones, undefined ones, hostile ones.

use std::path::Path;

use glossator_model::UnitId;
use serde_json::json;

use super::{TEXTS, noise};
use crate::distributions::Distributions;
use crate::error::AtlasError;
use crate::excerpt::{Excerpt, ExcerptKind, Split};
use crate::explanation::{Explanation, PREDICTION, Score, Simulation};
use crate::reader::Atlas;

/// Metrics and samples that are scored.
const SCORED: [(&str, &str); 8] = [
    ("correlation", "top_and_random"),
    ("correlation", "random_only"),
    ("correlation", "top_only"),
    ("r_squared", "top_and_random"),
    ("absolute_deviation_explained", "top_and_random"),
    ("precision", "top_and_random"),
    ("recall", "top_and_random"),
    ("f1", "top_and_random"),
];

/// Explains and scores the first `units` units of every hook point of an atlas by
/// [`super::write_synthetic`]. Unit 3 has only a `lookup` explanation; the `n2g` score of unit 5 is undefined.
pub fn explain_synthetic(directory: &Path, units: u32) -> Result<(), AtlasError> {
    let atlas = Atlas::open_writable(directory)?;
    for hook in atlas.hooks().to_vec() {
        let mut explanations = Vec::new();
        let mut scores = Vec::new();
        let mut simulations = Vec::new();
        for unit in (0..units.min(hook.units)).map(|index| UnitId { hook: hook.hook, index }) {
            let excerpts = atlas.excerpts(unit)?;
            for explainer in ["lookup", "n2g"].into_iter().filter(|name| unit.index != 3 || *name == "lookup")
            {
                explanations.push(explanation(unit, explainer));
                scores.extend(SCORED.map(|(metric, sample)| score(unit, explainer, metric, sample)));
                simulations.extend(scored(&excerpts).map(|excerpt| simulation(unit, explainer, excerpt)));
            }
        }
        atlas.put_explanations(&explanations)?;
        atlas.put_scores(&scores, &simulations)?;
    }
    Ok(())
}

/// Explains unit 0 of every hook point in words as well, as if two simulators had scored that and one had another unit's
/// explanation scored beside it; and unit 1 by a revised explanation with the log of two rounds, of which one failed, and by
/// one that was revised by random texts.
pub fn explain_synthetic_in_words(directory: &Path) -> Result<(), AtlasError> {
    let atlas = Atlas::open_writable(directory)?;
    let explainer = "llm:max-act@made-up";
    for hook in atlas.hooks().to_vec() {
        let unit = UnitId { hook: hook.hook, index: 0 };
        let excerpts = atlas.excerpts(unit)?;
        let text = format!("the word “{}” wherever <b>it</b> stands", TEXTS[preferred(unit) as usize]);
        let body = json!({});
        let explainer_name = explainer.to_owned();
        atlas.put_explanations(&[Explanation {
            unit,
            explainer: explainer_name,
            text,
            body,
            seconds: None,
        }])?;
        let (mut scores, mut simulations) = (Vec::new(), Vec::new());
        for scorer in
            ["simulation:grades@made-up", "simulation:json@made-up", "other-unit:simulation:json@made-up"]
        {
            let by = |score: Score| Score { scorer: scorer.to_owned(), ..score };
            scores.extend(SCORED.map(|(metric, sample)| by(score(unit, explainer, metric, sample))));
            if scorer.starts_with("simulation:") {
                let all = scored(&excerpts).map(|excerpt| simulation(unit, explainer, excerpt));
                let graded = scorer.contains("grades");
                let by = |one: Simulation| Simulation {
                    scorer: scorer.to_owned(),
                    distributions: graded.then(|| distributions(&one.activations)),
                    ..one
                };
                simulations.extend(all.map(by));
            }
        }
        let unit = UnitId { hook: hook.hook, index: 1 };
        atlas.put_explanations(&[revised(unit), revised_by_random_texts(unit)])?;
        atlas.put_scores(&scores, &simulations)?;
    }
    Ok(())
}

/// An explanation with the log of its revision.
fn revised(unit: UnitId) -> Explanation {
    let sentence = |text: &str, expected: bool, share: f64| {
        let fires = share >= 0.5;
        json!({"text": text, "expected": expected, "share": share, "token": " cat", "fires": fires})
    };
    let text = "the word cat anywhere";
    let rounds = json!([
        {"tested": "the cat", "revised": text, "valid": 0.5, "failure": null,
         "sentences": [sentence("the cat sat <b>there</b>", true, 0.9), sentence("no cat", false, 0.75)]},
        {"tested": text, "sentences": [sentence("a cat", true, 1.0)], "revised": null, "valid": null,
         "failure": "the answer is cut off"},
    ]);
    let body = json!({"revision": {
        "initial": "the cat", "initial_valid": 0.25, "rounds": rounds, "kept": 0, "initial_test": 0.2, "kept_test": 0.6,
    }});
    let explainer = "llm:max-act+revised@made-up".to_owned();
    Explanation { unit, explainer, text: text.to_owned(), body, seconds: None }
}

/// An explanation that was revised by a random text, of which the first one says nothing.
fn revised_by_random_texts(unit: UnitId) -> Explanation {
    let sentence = json!({"text": "a dog", "expected": null, "share": 0.1, "token": " dog", "fires": false});
    let text = "cats";
    let round =
        json!({"tested": "the cat", "sentences": [sentence], "revised": text, "valid": 0.3, "failure": null});
    let body = json!({"revision": {
        "initial": "the cat", "initial_valid": 0.25, "rounds": [round], "kept": 0, "initial_test": 0.2, "kept_test": 0.3,
    }});
    let explainer = "llm:max-act+revised-random@made-up".to_owned();
    Explanation { unit, explainer, text: text.to_owned(), body, seconds: None }
}

fn preferred(unit: UnitId) -> u32 {
    unit.index % TEXTS.len() as u32
}

fn explanation(unit: UnitId, explainer: &str) -> Explanation {
    let token = TEXTS[preferred(unit) as usize];
    let text = match (explainer, unit.index) {
        ("n2g", 4) => "<img src=x onerror=alert(4)> \u{202e}after “<script>”".to_owned(),
        ("n2g", _) => format!("“{token}” after “the|a” … (pattern {})", unit.index),
        _ => format!("high on “{token}”"),
    };
    Explanation { unit, explainer: explainer.to_owned(), text, body: json!({}), seconds: None }
}

fn score(unit: UnitId, explainer: &str, metric: &str, sample: &str) -> Score {
    let layer = unit.hook.layer().unwrap_or(0) as u32;
    let base = f64::from(noise(unit.index, layer, explainer.len() as u32));
    let undefined = explainer == "n2g" && unit.index == 5;
    let value =
        (!undefined).then(|| base * (1.0 - noise(metric.len() as u32, sample.len() as u32, 1) as f64 / 3.0));
    Score {
        unit,
        explainer: explainer.to_owned(),
        scorer: PREDICTION.to_owned(),
        metric: metric.to_owned(),
        sample: sample.to_owned(),
        split: Split::Test,
        value,
        low: value.map(|value| value - 0.1),
        high: value.map(|value| (value + 0.08).min(1.0)),
        tokens: 160,
        remark: undefined.then(|| "the prediction is constant".to_owned()),
    }
}

/// The excerpts that are scored, each window once.
fn scored(excerpts: &[Excerpt]) -> impl Iterator<Item = &Excerpt> {
    let mut seen = std::collections::BTreeSet::new();
    excerpts.iter().filter(move |excerpt| {
        let listed = !matches!(excerpt.kind, ExcerptKind::Quantile { .. });
        listed && excerpt.split == Split::Test && seen.insert(excerpt.window)
    })
}

/// Distributions on a scale up to the activation 10 with these means; nothing is known at the first position.
fn distributions(activations: &[f32]) -> Distributions {
    let mut distributions = Distributions::new(10, [0.0, 10.0]);
    for (position, activation) in activations.iter().enumerate() {
        let high = f64::from(*activation) / 10.0;
        let mut weights = [0.0; 11];
        (weights[0], weights[10]) = (1.0 - high, high);
        distributions.push(if position == 0 { &[] } else { &weights });
    }
    distributions
}

fn simulation(unit: UnitId, explainer: &str, excerpt: &Excerpt) -> Simulation {
    let high = if explainer == "n2g" { 4.5 } else { 5.0 };
    let predict = |&token: &u32| if token == preferred(unit) { high } else { 0.0 };
    Simulation {
        unit,
        explainer: explainer.to_owned(),
        scorer: PREDICTION.to_owned(),
        window: excerpt.window,
        activations: excerpt.tokens.iter().map(predict).collect(),
        distributions: None,
    }
}
