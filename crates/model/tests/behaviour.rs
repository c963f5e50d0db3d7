//! What must hold of any forward pass: early stopping, ragged batches, thread counts, interventions by
//! their definition, caches, and typed errors.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its goldens should stop")]

mod common;

use std::sync::{Arc, Mutex};

use common::{FAMILIES, Golden, assert_close};
use glossator_model::{
    Activation, Architecture, Batch, BlockSite, Change, GenerationOptions, HookPoint, Intervention,
    ModelError, Positions, Precision, RowContext, Run, Sampling, SimilarTokens, StopReason, UnitId, Units,
};

fn intervention(hook: HookPoint, change: Change) -> Intervention {
    Intervention { hook, positions: Positions::All, units: Units::All, change }
}

#[test]
fn a_run_stops_at_the_last_wanted_hook_point() {
    let golden = Golden::open("llama");
    let batch = Batch::from_sequences(&golden.sequences[..1]);
    let last = HookPoint::mlp_post(0);
    let poison = intervention(
        HookPoint::block(0, BlockSite::MlpOut),
        Change::Replace(Arc::new(|_: &RowContext, _: &mut [f32]| panic!("the pass went on"))),
    );
    let seen = Mutex::new(Vec::new());
    let observe = |hook: HookPoint, _: &Activation<'_>| seen.lock().unwrap().push(hook);
    let hooks = [last, HookPoint::resid_pre(0), HookPoint::Embed];
    let run = Run { hooks: &hooks, interventions: &[poison], logits: false };
    assert!(golden.model.run(&batch, &run, &observe).unwrap().is_none());
    assert_eq!(seen.into_inner().unwrap(), [HookPoint::Embed, HookPoint::resid_pre(0), last]);
}

#[test]
fn a_sequence_gives_the_same_bits_alone_and_in_any_batch_on_any_number_of_threads() {
    for (family, precision) in FAMILIES.map(|f| [(f, Precision::F32), (f, Precision::Bf16)]).concat() {
        let golden = Golden::open_as(family, precision);
        let hooks = [HookPoint::mlp_post(0), HookPoint::LnFinalNormalized];
        let run = Run { hooks: &hooks, logits: true, ..Run::default() };
        let lengths = [3, 14, 1, 9, 6];
        let sequences: Vec<&[u32]> = lengths.iter().map(|n| &golden.sequences[0][..*n]).collect();
        let batch = Batch::from_sequences(&sequences);
        let together: Vec<_> = [1, 2, 5]
            .map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| golden.model.capture_with(&batch, &run).unwrap())
            })
            .into();
        assert!(together.iter().all(|other| *other == together[0]), "{family}: thread counts differ");
        for (index, tokens) in sequences.iter().enumerate() {
            let (alone, logits) = golden.model.capture_with(&Batch::from_sequences(&[tokens]), &run).unwrap();
            let first = batch.starts()[index];
            for (hook, tensor) in &alone {
                let width = tensor.shape[1];
                let part = &together[0].0[hook].data[first * width..][..tensor.data.len()];
                assert!(part == tensor.data, "{family}: {hook} of sequence {index}");
            }
            let logits = logits.unwrap();
            let all = together[0].1.as_ref().unwrap();
            assert!(all.data[first * all.shape[1]..][..logits.data.len()] == logits.data, "{family}: logits");
        }
    }
}

#[test]
fn last_positions_have_the_same_bits_whatever_is_shared() {
    for (family, precision) in FAMILIES.map(|f| [(f, Precision::F32), (f, Precision::Bf16)]).concat() {
        let golden = Golden::open_as(family, precision);
        let text = &golden.sequences[0];
        let mut sequences: Vec<Vec<u32>> = (1..=text.len()).map(|length| text[..length].to_vec()).collect();
        for place in 0..text.len() {
            let mut changed = text.clone();
            changed[place] = (changed[place] + 1) % 7;
            sequences.push(changed);
        }
        sequences.sort();
        let hook = HookPoint::mlp_post(1);
        let found = Mutex::new(vec![Vec::new(); sequences.len()]);
        let see = |sequence: usize, row: &[f32]| found.lock().unwrap()[sequence] = row.to_vec();
        let positions = golden.model.run_last(&sequences, hook, &see).unwrap();
        assert!(positions < sequences.iter().map(Vec::len).sum(), "{family}: nothing was shared");
        for (tokens, found) in sequences.iter().zip(found.into_inner().unwrap()) {
            let all = golden.model.capture(&Batch::from_sequences(&[tokens]), &[hook]).unwrap();
            assert!(all[&hook].data.ends_with(&found), "{family}");
        }
        let pattern = HookPoint::block(0, BlockSite::Pattern);
        assert!(matches!(
            golden.model.run_last(&sequences, pattern, &|_, _| {}),
            Err(ModelError::PairwiseHook { .. })
        ));
    }
}

#[test]
fn similar_tokens_have_the_nearest_embeddings() {
    let golden = Golden::open("llama");
    let architecture = golden.model.architecture();
    let all: Vec<u32> = (0..architecture.vocab_size as u32).collect();
    let embedding = golden.model.capture(&Batch::from_sequences(&[&all]), &[HookPoint::Embed]).unwrap();
    let rows: Vec<&[f32]> = embedding[&HookPoint::Embed].data.chunks(architecture.d_model).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = |a: u32, b: u32| {
        let (a, b) = (rows[a as usize], rows[b as usize]);
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let found = SimilarTokens::new(&golden.model).of(&golden.model, &all[..40], 3);
    for (&token, similar) in all.iter().zip(&found) {
        let mut cosines: Vec<f32> =
            all.iter().filter(|other| **other != token).map(|other| cosine(token, *other)).collect();
        cosines.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(similar.len(), 3);
        for (other, expected) in similar.iter().zip(cosines) {
            assert!(
                *other != token && (cosine(token, *other) - expected).abs() < 1e-2,
                "{token}: {similar:?}"
            );
        }
    }
}

#[test]
fn looking_changes_nothing() {
    for (family, precision) in FAMILIES.map(|f| [(f, Precision::F32), (f, Precision::Bf16)]).concat() {
        let golden = Golden::open_as(family, precision);
        let batch = Batch::from_sequences(&golden.sequences);
        let hooks: Vec<HookPoint> = HookPoint::all(golden.model.architecture())
            .into_iter()
            .filter(|hook| !hook.is_pairwise())
            .collect();
        let run = Run { hooks: &hooks, logits: true, ..Run::default() };
        let seen = golden.model.capture_with(&batch, &run).unwrap().1.unwrap();
        let unseen = golden.model.run(&batch, &Run { hooks: &[], ..run }, &()).unwrap().unwrap();
        assert!(seen == unseen, "{family}");
    }
}

#[test]
fn patterns_of_ragged_batches_equal_those_of_single_runs() {
    let golden = Golden::open("gemma2");
    let hook = HookPoint::block(1, BlockSite::Pattern);
    let both = golden.model.capture(&Batch::from_sequences(&golden.sequences), &[hook]).unwrap();
    let single: Vec<f32> = golden
        .sequences
        .iter()
        .flat_map(|tokens| {
            golden.model.capture(&Batch::from_sequences(&[tokens]), &[hook]).unwrap()[&hook].data.clone()
        })
        .collect();
    assert_eq!(both[&hook].data, single);
}

#[test]
fn bf16_stays_near_f32() {
    for family in FAMILIES {
        let golden = Golden::open_as(family, Precision::Bf16);
        let batch = Batch::from_sequences(&golden.sequences[..1]);
        let hook = HookPoint::mlp_post(0);
        let found = golden.model.capture(&batch, &[hook]).unwrap();
        // Two roundings to 8 bits per product, and a few products in sequence.
        assert_close(family, "bf16", &found[&hook].data, &golden.tensor(&format!("0/{hook}")), 2e-2);
    }
}

#[test]
fn changes_reach_the_selected_values_only() {
    let golden = Golden::open("qwen3");
    let architecture = golden.model.architecture();
    let batch = Batch::from_sequences(&golden.sequences);
    for hook in HookPoint::all(architecture).into_iter().filter(|hook| !hook.is_pairwise()) {
        let before = golden.model.capture(&batch, &[hook]).unwrap().remove(&hook).unwrap();
        let width = hook.width(architecture);
        let unit = width as u32 - 1;
        let change = Intervention {
            hook,
            positions: Positions::Ranges(vec![(0, Some(1)), (-2, None)]),
            units: Units::Coordinates(vec![unit]),
            change: Change::Add(1.5),
        };
        let run = Run { hooks: &[hook], interventions: &[change], logits: false };
        let after = golden.model.capture_with(&batch, &run).unwrap().0.remove(&hook).unwrap();
        let mut expected = before.data;
        for pair in batch.starts().windows(2) {
            for row in [pair[0], pair[1] - 2, pair[1] - 1] {
                expected[row * width + unit as usize] += 1.5;
            }
        }
        assert_eq!(after.data, expected, "{hook}");
    }
}

#[test]
fn a_change_by_nothing_changes_nothing_and_a_real_one_flows_on() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let batch = Batch::from_sequences(&golden.sequences[..1]);
        let run = Run { logits: true, ..Run::default() };
        let plain = golden.model.run(&batch, &run, &()).unwrap().unwrap();
        for hook in HookPoint::all(golden.model.architecture()) {
            let nothing = [intervention(hook, Change::Scale(1.0))];
            let same = golden.model.run(&batch, &Run { interventions: &nothing, ..run }, &()).unwrap();
            assert_close(family, &format!("{hook} × 1"), &same.unwrap().data, &plain.data, 1e-5);
            let half = [intervention(hook, Change::Scale(0.5))];
            let other = golden.model.run(&batch, &Run { interventions: &half, ..run }, &()).unwrap();
            assert!(other.unwrap() != plain, "{family}: halving {hook} changes no logit");
        }
    }
}

#[test]
fn a_set_pattern_mixes_the_values_it_says() {
    let golden = Golden::open("llama");
    let architecture = golden.model.architecture();
    let batch = Batch::from_sequences(&golden.sequences[..1]);
    let (z, v) = (HookPoint::block(0, BlockSite::Z), HookPoint::block(0, BlockSite::V));
    // Head 3 (key head 1) of every query attends to the first key only.
    let first_key_only = |_: &RowContext, row: &mut [f32]| {
        row.fill(0.0);
        row[0] = 1.0;
    };
    let pattern = Intervention {
        units: Units::Heads(vec![3]),
        ..intervention(HookPoint::block(0, BlockSite::Pattern), Change::Replace(Arc::new(first_key_only)))
    };
    let run = Run { hooks: &[z, v], interventions: &[pattern], logits: false };
    let (tensors, _) = golden.model.capture_with(&batch, &run).unwrap();
    let d_head = architecture.d_head;
    for row in tensors[&z].data.chunks_exact(architecture.q_width()) {
        assert_eq!(row[3 * d_head..4 * d_head], tensors[&v].data[d_head..2 * d_head]);
    }
}

#[test]
fn generation_with_a_cache_equals_runs_without() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let options = GenerationOptions { max_tokens: 8, ..GenerationOptions::default() };
        let mut tokens = golden.prompt.clone();
        let generation = golden.model.generate(&tokens, &options, |_| true).unwrap();
        for found in generation.tokens {
            let batch = Batch::from_sequences(&[&tokens]);
            let logits =
                golden.model.run(&batch, &Run { logits: true, ..Run::default() }, &()).unwrap().unwrap();
            let last = logits.row(tokens.len() - 1);
            let best = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
            assert_eq!(found as usize, best, "{family} after {} tokens", tokens.len());
            tokens.push(found);
        }
    }
}

#[test]
fn generation_stops_when_it_should_and_repeats_with_its_seed() {
    let golden = Golden::open("gpt2");
    let options =
        |max_tokens, stop_tokens| GenerationOptions { max_tokens, stop_tokens, ..Default::default() };
    let stop = [golden.greedy[2]];
    let first = golden.greedy.iter().position(|token| *token == stop[0]).unwrap();
    let stopped = golden.model.generate(&golden.prompt, &options(6, &stop), |_| true).unwrap();
    assert_eq!((stopped.tokens.len(), stopped.stop), (first, StopReason::StopToken(stop[0])));
    let full = golden.model.generate(&golden.prompt, &options(1000, &[]), |_| true).unwrap();
    assert_eq!(full.stop, StopReason::ContextFull);
    assert_eq!(golden.prompt.len() + full.tokens.len(), golden.model.architecture().context_length + 1);
    let refused = golden.model.generate(&golden.prompt, &options(6, &[]), |_| false).unwrap();
    assert_eq!((refused.tokens.len(), refused.stop), (1, StopReason::Callback));
    let sampled = |seed| {
        let sampling = Sampling { temperature: 1.0, top_p: 0.9, seed };
        let options = GenerationOptions { max_tokens: 6, sampling, ..Default::default() };
        golden.model.generate(&golden.prompt, &options, |_| true).unwrap().tokens
    };
    assert_eq!(sampled(1), sampled(1));
    assert!((2..20).any(|seed| sampled(seed) != sampled(1)));
}

#[test]
fn an_intervention_steers_every_step_of_a_generation() {
    let golden = Golden::open("llama");
    let silence = [intervention(HookPoint::LnFinalNormalized, Change::Zero)];
    let options = GenerationOptions { max_tokens: 3, interventions: &silence, ..Default::default() };
    // All logits are 0: the first token is taken each time.
    assert_eq!(golden.model.generate(&golden.prompt, &options, |_| true).unwrap().tokens, [0, 0, 0]);
}

#[test]
fn directions_agree_with_what_units_do() {
    for family in ["gpt2", "llama", "gemma2"] {
        let golden = Golden::open(family);
        let architecture = golden.model.architecture();
        let batch = Batch::from_sequences(&golden.sequences[..1]);
        let (post, out) = (HookPoint::mlp_post(0), HookPoint::block(0, BlockSite::MlpOut));
        let direction = golden.model.output_direction(UnitId::new(post, 7)).unwrap();
        assert_eq!(direction.len(), architecture.d_model);
        if !architecture.post_norms {
            let add =
                Intervention { units: Units::Coordinates(vec![7]), ..intervention(post, Change::Add(2.0)) };
            let run = Run { hooks: &[out], ..Run::default() };
            let before = golden.model.capture_with(&batch, &run).unwrap().0.remove(&out).unwrap();
            let after = Run { interventions: &[add], ..run };
            let after = golden.model.capture_with(&batch, &after).unwrap().0.remove(&out).unwrap();
            let found: Vec<f32> =
                after.row(0).iter().zip(before.row(0)).map(|(a, b)| (a - b) / 2.0).collect();
            assert_close(family, "output direction", &found, &direction, 1e-4);
        }
        let resid = HookPoint::resid_post(architecture.n_layers - 1);
        let stream = golden.model.capture(&batch, &[resid, HookPoint::LnFinalScale]).unwrap();
        let logits = golden.model.unembed(&stream[&resid].data).unwrap();
        assert_close(family, "unembed", &logits, &golden.tensor("0/logits"), 1e-4);
    }
}

#[test]
fn logit_weights_are_the_linear_part_of_the_unembedding() {
    let golden = Golden::open("llama");
    let architecture = golden.model.architecture();
    let batch = Batch::from_sequences(&golden.sequences[..1]);
    let resid = HookPoint::resid_post(architecture.n_layers - 1);
    let stream = golden.model.capture(&batch, &[resid, HookPoint::LnFinalScale]).unwrap();
    // A root-mean-square norm without bias is linear once its scale is fixed, so logits are logit weights.
    let weights = golden.model.logit_weights(stream[&resid].row(3)).unwrap();
    let scale = stream[&HookPoint::LnFinalScale].data[3];
    let found: Vec<f32> = weights.iter().map(|weight| weight / scale).collect();
    let expected = golden.tensor("0/logits");
    assert_close("llama", "logit weights", &found, &expected[3 * found.len()..][..found.len()], 1e-4);
    assert!(matches!(golden.model.logit_weights(&[1.0]), Err(ModelError::Width { .. })));
}

#[test]
fn unfit_requests_are_typed_errors() {
    let golden = Golden::open("gpt2");
    let model = &golden.model;
    let run = |sequences: &[&[u32]], run: &Run<'_>| model.run(&Batch::from_sequences(sequences), run, &());
    let plain = Run { hooks: &[HookPoint::Embed], ..Run::default() };
    assert!(matches!(run(&[&[1], &[]], &plain), Err(ModelError::EmptySequence { sequence: 1 })));
    let outside = run(&[&[1, 2, 9999]], &plain);
    assert!(matches!(outside, Err(ModelError::TokenOutOfVocabulary { token: 9999, position: 2, .. })));
    let long = run(&[&[1; 17]], &plain);
    assert!(matches!(long, Err(ModelError::SequenceTooLong { length: 17, limit: 16, .. })));
    for hook in [HookPoint::mlp_post(2), HookPoint::block(0, BlockSite::MlpPreLinear)] {
        let error = run(&[&[1]], &Run { hooks: &[hook], ..Run::default() }).unwrap_err().to_string();
        assert!(error.contains("nearest names here: blocks."), "{error}");
    }
    for spec in [
        "blocks.0.mlp.hook_post:20=0",
        "blocks.0.mlp.hook_post:h0=0",
        "blocks.0.attn.hook_z:h3=0",
        "blocks.0.attn.hook_pattern:1=0",
        "blocks.0.attn.hook_pattern=[1,2]",
        "blocks.0.hook_resid_post=[1,2]",
    ] {
        let interventions = [spec.parse::<Intervention>().unwrap()];
        let error = run(&[&[1]], &Run { interventions: &interventions, ..plain }).unwrap_err();
        assert!(matches!(error, ModelError::Intervention { .. }), "{spec}: {error}");
    }
    assert!(run(&[], &plain).unwrap().is_none());
    let unit = |hook, index| model.output_direction(UnitId::new(hook, index));
    assert!(matches!(unit(HookPoint::mlp_post(0), 20), Err(ModelError::UnitOutOfRange { width: 20, .. })));
    assert!(matches!(unit(HookPoint::LnFinalScale, 0), Err(ModelError::NoDirection { .. })));
}

#[test]
fn the_memory_of_weights_is_known_before_they_are_read() {
    for name in FAMILIES {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let model = Golden::open_as(name, precision).model;
            // Logits pack the unembedding.
            model.run(&Batch::from_sequences(&[&[1]]), &Run { logits: true, ..Run::default() }, &()).unwrap();
            let (expected, held) = (model.architecture().matrix_bytes(precision), model.weight_bytes());
            let Architecture { d_model, d_mlp, n_layers, .. } = *model.architecture();
            // Every map may have a bias.
            let widths = model.architecture().q_width() + 2 * model.architecture().kv_width() + 2 * d_model;
            let biases = n_layers * (widths + 2 * d_mlp) * size_of::<f32>();
            assert!(
                (expected..=expected + biases).contains(&held),
                "{name} {precision:?}: {expected}, {held}"
            );
        }
    }
}
