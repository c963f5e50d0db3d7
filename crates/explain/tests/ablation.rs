//! Ablation scoring on a tiny model: what a perfect and a useless simulation score, and units without an effect.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;

use glossator_explain::ablation::{Simulated, divergences};
use glossator_explain::activations::{ModelActivations, SequenceActivations};
use glossator_explain::score::{Resampling, Stratum, ablation_score};
use glossator_model::{HookPoint, Model, Precision, UnitId};

const BOTH: [Stratum; 2] = [Stratum::Top, Stratum::Random];

fn model() -> Model {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
    Model::load(path.to_str().unwrap(), Precision::F32).unwrap()
}

fn sequences(model: &Model) -> Vec<Vec<u32>> {
    let vocabulary = model.architecture().vocab_size as u32;
    let token =
        |sequence: u32, position: u32| (sequence * 31 + position * position * 7 + position) % vocabulary;
    (0..6).map(|sequence| (0..10 + sequence).map(|position| token(sequence, position)).collect()).collect()
}

#[test]
fn the_truth_scores_one_and_the_mean_nothing() {
    let model = model();
    let (sequences, unit) = (sequences(&model), UnitId::new(HookPoint::mlp_post(0), 3));
    let truth = ModelActivations::new(&model, 20).everywhere(unit, &sequences).unwrap();
    let (mean, ignored) = (0.7, 1);
    let excerpts: Vec<Simulated> = sequences
        .iter()
        .zip(&truth)
        .enumerate()
        .map(|(index, (tokens, truth))| {
            let half = truth.iter().map(|value| f32::midpoint(*value, mean)).collect();
            Simulated {
                stratum: BOTH[index % 2],
                tokens: tokens.clone(),
                activations: vec![truth.clone(), vec![mean; truth.len()], half],
            }
        })
        .collect();
    let found = divergences(&model, unit, mean, ignored, &excerpts).unwrap();
    let resampling = Resampling::new(50, 6, 0);
    let score = |explanation: usize| ablation_score(&found[explanation], &BOTH, &resampling).value.unwrap();
    assert!(found[0].iter().all(|excerpt| excerpt.ablated > 1e-7), "{:?}", found[0]);
    assert_eq!(score(0), 1.0, "the unit's own activations change nothing");
    assert_eq!(score(1), 0.0, "the mean in the mean's place");
    // The divergence grows with the square of a small change: half of the way leaves a quarter of it.
    assert!((score(2) - 0.75).abs() < 0.05, "{}", score(2));
}

#[test]
fn positions_that_do_not_count_keep_their_activations() {
    let model = model();
    let unit = UnitId::new(HookPoint::mlp_post(1), 0);
    let tokens = sequences(&model).remove(0);
    let length = tokens.len();
    let excerpt = Simulated { stratum: Stratum::Top, tokens, activations: vec![vec![50.0; length]] };
    let found = divergences(&model, unit, 50.0, length, &[excerpt]).unwrap();
    assert_eq!((found[0][0].simulated, found[0][0].ablated), (0.0, 0.0));
    let score = ablation_score(&found[0], &BOTH, &Resampling::new(50, 6, 0));
    assert_eq!(score.value, None, "a unit that does nothing has no score");
}

/// In the last layer a change reaches only its own position: the divergence by hand, from two whole runs.
#[test]
fn a_change_at_one_position_moves_that_position() {
    use glossator_model::{Batch, Intervention, Run};
    let model = model();
    let last = model.architecture().n_layers - 1;
    let unit = UnitId::new(HookPoint::mlp_post(last), 2);
    let tokens = sequences(&model).remove(1);
    let truth =
        ModelActivations::new(&model, 64).everywhere(unit, std::slice::from_ref(&tokens)).unwrap().remove(0);
    let mut changed = truth.clone();
    changed[4] += 3.0;
    let excerpt =
        Simulated { stratum: Stratum::Top, tokens: tokens.clone(), activations: vec![changed.clone()] };
    let found = divergences(&model, unit, 0.0, 0, &[excerpt]).unwrap()[0][0].simulated;
    let spec = format!("{}:{}@4={}", unit.hook, unit.index, changed[4]);
    let intervention: Intervention = spec.parse().unwrap();
    let logits = |interventions: &[Intervention]| -> Vec<f64> {
        let run = Run { interventions, logits: true, ..Run::default() };
        let logits = model.run(&Batch::from_sequences(&[&tokens]), &run, &()).unwrap().unwrap();
        let vocabulary = model.architecture().vocab_size;
        let row: Vec<f64> =
            logits.data[4 * vocabulary..5 * vocabulary].iter().map(|value| f64::from(*value)).collect();
        let total: f64 = row.iter().map(|value| value.exp()).sum();
        row.iter().map(|value| value.exp() / total).collect()
    };
    let (p, q) = (logits(&[]), logits(&[intervention]));
    let term = |a: f64, b: f64| a * (a / f64::midpoint(a, b)).ln();
    let expected: f64 = p.iter().zip(&q).map(|(p, q)| 0.5 * (term(*p, *q) + term(*q, *p))).sum();
    let expected = expected / tokens.len() as f64;
    assert!(expected > 1e-6 && (found - expected).abs() < 1e-3 * expected, "{found} is not {expected}");
}
