//! The forward pass against Hugging Face transformers: every hook point, the logits, interventions and
//! greedy generation of a tiny model of every family (`reference/` makes the goldens).
#![allow(clippy::unwrap_used, reason = "a test that cannot read its goldens should stop")]

mod common;

use common::{FAMILIES, Golden, assert_close};
use glossator_model::{Batch, GenerationOptions, HookPoint, Intervention, Run};

/// ‖Δ‖ / ‖reference‖ that f32 sums in another order may reach.
const TOLERANCE: f64 = 1e-4;

#[test]
fn every_hook_point_and_logit_agrees_with_transformers() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let hooks = HookPoint::all(golden.model.architecture());
        for (sequence, tokens) in golden.sequences.iter().enumerate() {
            let batch = Batch::from_sequences(&[tokens]);
            let run = Run { hooks: &hooks, logits: true, ..Run::default() };
            let (tensors, logits) = golden.model.capture_with(&batch, &run).unwrap();
            for hook in &hooks {
                let name = format!("{sequence}/{hook}");
                assert_close(family, &name, &tensors[hook].data, &golden.tensor(&name), TOLERANCE);
            }
            let name = format!("{sequence}/logits");
            assert_close(family, &name, &logits.unwrap().data, &golden.tensor(&name), TOLERANCE);
        }
    }
}

#[test]
fn the_goldens_hold_no_hook_point_that_we_lack() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let hooks = HookPoint::all(golden.model.architecture());
        for name in golden.names().filter(|name| name.contains("hook_")) {
            let hook: HookPoint = name.split_once('/').unwrap().1.parse().unwrap();
            assert!(hooks.contains(&hook), "{family}: {hook}");
        }
    }
}

#[test]
fn interventions_have_the_effect_that_they_have_in_transformers() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        for (sequence, tokens) in golden.sequences.iter().enumerate() {
            for (kind, spec) in &golden.interventions {
                let interventions = [spec.parse::<Intervention>().unwrap()];
                let run = Run { interventions: &interventions, logits: true, ..Run::default() };
                let batch = Batch::from_sequences(&[tokens]);
                let logits = golden.model.run(&batch, &run, &()).unwrap().unwrap();
                let name = format!("{sequence}/{kind}");
                let expected = golden.tensor(&name);
                assert_close(family, &name, logits.row(tokens.len() - 1), &expected, TOLERANCE);
                let untouched = golden.tensor(&format!("{sequence}/logits"));
                let untouched = &untouched[untouched.len() - expected.len()..];
                assert!(untouched != expected, "{family} {name}: the golden intervention changes nothing");
            }
        }
    }
}

#[test]
fn greedy_generation_continues_as_transformers_does() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let options = GenerationOptions { max_tokens: golden.greedy.len(), ..GenerationOptions::default() };
        let mut streamed = Vec::new();
        let keep = |token| {
            streamed.push(token);
            true
        };
        let generation = golden.model.generate(&golden.prompt, &options, keep).unwrap();
        assert_eq!(generation.tokens, golden.greedy, "{family}");
        assert_eq!(streamed, golden.greedy, "{family}");
    }
}
