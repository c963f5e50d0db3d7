//! Simulations scored as by the `automated-interpretability` package: expected values from log-probabilities, correlation,
//! R² and absolute deviation under each calibration (`reference/simulation`).
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use glossator_explain::score::{Calibration, Resampling, ScoredExcerpt, Scores, Stratum};
use glossator_explain::simulate::Simulator;
use glossator_llm::{Answer, Capabilities, Outcome, TokenLogprob};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    excerpts: Vec<Excerpt>,
    calibrating: Vec<Excerpt>,
    scores: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
struct Excerpt {
    #[serde(rename = "true")]
    truth: Vec<f32>,
    top_logprobs: Vec<BTreeMap<String, f32>>,
    expected: Vec<f32>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../reference/simulation/goldens.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn pairs(excerpts: &[Excerpt]) -> Vec<ScoredExcerpt<'_>> {
    let mut pairs = Vec::new();
    for Excerpt { truth, expected, .. } in excerpts {
        pairs.push(ScoredExcerpt { truth, prediction: expected, stratum: Stratum::Top });
    }
    pairs
}

#[test]
fn expected_values_are_those_of_the_package() {
    let offers = Capabilities { logprobs: true, number_ten: true, ..Capabilities::default() };
    for excerpt in cases().iter().flat_map(|case| &case.excerpts) {
        let outcome = |place: &BTreeMap<String, f32>| -> Outcome {
            let alternatives = place.iter().map(|(text, logprob)| (text.clone(), *logprob)).collect();
            let token = TokenLogprob { text: "0".to_owned(), logprob: 0.0, alternatives };
            Ok(Answer { tokens: vec![token], ..Answer::default() })
        };
        let outcomes: Vec<Outcome> = excerpt.top_logprobs.iter().map(outcome).collect();
        let predicted = Simulator::OneAtATime.read(offers, outcomes.len(), &outcomes).unwrap();
        let distributions = predicted.distributions.unwrap();
        for (place, (share, expected)) in predicted.shares.iter().zip(&excerpt.expected).enumerate() {
            assert!((10.0 * share - expected).abs() < 1e-4, "{} {expected}", 10.0 * share);
            let mean: f64 = distributions.at(place).map(|(number, p)| f64::from(number) * p).sum();
            assert!((mean - f64::from(*expected)).abs() < 1e-3, "{mean} {expected}");
            // Theirs has the numbers that the model named, ours those of them that are not nearly impossible.
            let named = excerpt.top_logprobs[place].keys().filter_map(|text| text.parse::<u8>().ok());
            let named: BTreeSet<u8> = named.collect();
            assert!(distributions.at(place).all(|(number, _)| named.contains(&number)));
        }
    }
}

#[test]
fn scores_are_those_of_the_package() {
    for case in cases() {
        let (excerpts, calibrating) = (pairs(&case.excerpts), pairs(&case.calibrating));
        // Their R² divides by Σy² where ours divides by Σ(y−ȳ)².
        let truth: Vec<f64> = excerpts.iter().flat_map(|e| e.truth).map(|value| f64::from(*value)).collect();
        let mean = truth.iter().sum::<f64>() / truth.len() as f64;
        let squares: f64 = truth.iter().map(|y| y * y).sum();
        let centred: f64 = truth.iter().map(|y| (y - mean) * (y - mean)).sum();
        for (name, calibration) in [
            ("none", Calibration::None),
            ("linear", Calibration::linear(&calibrating).unwrap()),
            ("percentile", Calibration::percentile(&calibrating).unwrap()),
        ] {
            let none = Resampling::new(0, 0, 0);
            let measures = Scores::of(&excerpts, Some(&calibration), 1.0, &none).top_only;
            let r_squared = 1.0 - (1.0 - measures.r_squared.value.unwrap()) * centred / squares;
            // Theirs is the correlation with the calibrated prediction, ours with the prediction.
            let map = |prediction: &f32| calibration.apply(f64::from(*prediction)) as f32;
            let mapped: Vec<Vec<f32>> =
                excerpts.iter().map(|e| e.prediction.iter().map(map).collect()).collect();
            let excerpts = excerpts.iter().zip(&mapped);
            let mapped: Vec<_> =
                excerpts.map(|(e, mapped)| ScoredExcerpt { prediction: mapped, ..*e }).collect();
            let correlation = Scores::of(&mapped, None, 1.0, &none).top_only.correlation;
            for (metric, ours) in [
                ("correlation", correlation.value.unwrap()),
                ("r_squared", r_squared),
                ("absolute_deviation_explained", measures.absolute_deviation.value.unwrap()),
            ] {
                let theirs = case.scores[name][metric];
                assert!((ours - theirs).abs() < 1e-5, "{name} {metric}: {ours} {theirs}");
            }
        }
    }
}
