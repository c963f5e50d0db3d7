//! An evaluation of a tiny model against a straightforward computation: one sequence and one position at a time, in
//! f64, from the model's activations and logits and the dictionary's equations.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its goldens should stop")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use glossator_dictionary::evaluation::{
    ABLATION_SPAN, CALIBRATION_PASSES, Calibration, Candidate, CandidateKind, CountedPositions,
    EXPLAINED_PASSES, Evaluation, Evaluator, ExplainedMetrics, ExplainedText, LabelledWindow, Place,
    Prediction, Wanted, baseline, explained,
};
use glossator_dictionary::{Activation, Dictionary, InputConvention, Metadata, Sign};
use glossator_model::{
    Batch, Change, HookPoint, Intervention, Model, ModelError, Positions, Precision, Run, Units,
};

const WIDTH: usize = 24;
const LATENTS: usize = 40;
const LOSSES: Wanted<'static> = Wanted { losses: true, ablations: false, labels: &[] };

fn model() -> Model {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
    Model::load(directory.to_str().unwrap(), Precision::F32).unwrap()
}

/// Sequences of made-up tokens; 0 and 1 are special.
fn sequences() -> Vec<Vec<u32>> {
    let token = |sequence: usize, position: usize| match (position * 31 + sequence * 17) % 97 {
        draw if draw < 6 => draw as u32 % 2,
        draw => 40 + (draw * draw) as u32 % 240,
    };
    (0..9).map(|sequence| (0..7 + sequence).map(|position| token(sequence, position)).collect()).collect()
}

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn dictionary() -> Dictionary {
    dictionary_of(WIDTH)
}

fn dictionary_of(width: usize) -> Dictionary {
    Dictionary {
        d_input: width,
        d_output: width,
        latents: LATENTS,
        encoder: numbers(1, LATENTS * width),
        encoder_bias: numbers(2, LATENTS),
        decoder: numbers(3, LATENTS * width).into_iter().map(|x| 0.2 * x).collect(),
        decoder_bias: numbers(4, width).into_iter().map(|x| 0.1 * x).collect(),
        skip: None,
        activation: Activation::TopK { k: 5, sign: Sign::Positive },
        input: InputConvention { subtract_decoder_bias: true, ..InputConvention::default() },
        metadata: Metadata::default(),
    }
}

/// The latents and the reconstruction of one activation.
fn encode(dictionary: &Dictionary, x: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let centred: Vec<f64> = x.iter().zip(&dictionary.decoder_bias).map(|(x, b)| f64::from(x - b)).collect();
    let mut pre: Vec<(usize, f64)> = (0..LATENTS)
        .map(|i| {
            let row = dictionary.encoder_row(i).iter().zip(&centred);
            (i, row.map(|(e, u)| f64::from(*e) * u).sum::<f64>() + f64::from(dictionary.encoder_bias[i]))
        })
        .collect();
    pre.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut latents = vec![0.0; LATENTS];
    pre[..5].iter().filter(|(_, z)| *z > 0.0).for_each(|(i, z)| latents[*i] = *z);
    let value = |j: usize| {
        let written = latents.iter().enumerate().map(|(i, f)| f * f64::from(dictionary.decoder_row(i)[j]));
        written.sum::<f64>() + f64::from(dictionary.decoder_bias[j])
    };
    let reconstruction = (0..dictionary.d_output).map(value).collect();
    (latents, reconstruction)
}

/// The losses and divergences of the counted predictions of a sequence, when the given positions hold other values.
fn losses(model: &Model, tokens: &[u32], hook: HookPoint, new: &[(usize, Vec<f32>)]) -> (f64, f64) {
    let batch = Batch::from_sequences(&[tokens]);
    let logits = |interventions: &[Intervention]| {
        let run = Run { interventions, logits: true, ..Run::default() };
        model.run(&batch, &run, &()).unwrap().unwrap().data
    };
    let change = |(position, values): &(usize, Vec<f32>)| Intervention {
        hook,
        positions: Positions::Ranges(vec![(*position as i64, Some(*position as i64 + 1))]),
        units: Units::All,
        change: Change::SetVector(values.clone()),
    };
    let changes: Vec<Intervention> = new.iter().map(change).collect();
    let (clean, changed) = (logits(&[]), logits(&changes));
    let log_softmax = |logits: &[f32], position: usize| -> Vec<f64> {
        let row = &logits[position * 288..(position + 1) * 288];
        let total: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
        row.iter().map(|x| f64::from(*x) - total.ln()).collect()
    };
    let (mut cross_entropy, mut divergence) = (0.0, 0.0);
    for position in predictions(tokens) {
        let (p, q) = (log_softmax(&clean, position), log_softmax(&changed, position));
        cross_entropy -= q[tokens[position + 1] as usize];
        divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
    }
    (cross_entropy, divergence)
}

fn counted(tokens: &[u32]) -> Vec<usize> {
    (1..tokens.len()).filter(|position| tokens[*position] > 1).collect()
}

fn predictions(tokens: &[u32]) -> Vec<usize> {
    (1..tokens.len() - 1).filter(|position| tokens[*position] > 1 && tokens[position + 1] > 1).collect()
}

fn positions() -> CountedPositions {
    CountedPositions::new(1, 288, |token| token < 2)
}

fn evaluate(model: &Model, candidates: &[Candidate], means: &BTreeMap<Place, Vec<f32>>) -> Vec<Evaluation> {
    let positions = positions();
    let mut evaluator = Evaluator::new(model, &positions, candidates, means);
    for batch in sequences().chunks(4) {
        evaluator.read(&Batch::from_sequences(batch), &LOSSES).unwrap();
    }
    evaluator.finish()
}

fn candidate(hook: HookPoint, dictionary: Dictionary) -> Candidate {
    Candidate::new("tiny".into(), CandidateKind::Dictionary, [hook, hook], dictionary).unwrap()
}

fn assert_close(what: &str, found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    let tolerance = 2e-5 * expected.abs().max(0.1);
    assert!((found - expected).abs() < tolerance, "{what}: {found} is not {expected}");
}

#[test]
fn reconstruction_and_sparsity_agree_with_one_position_at_a_time() {
    let (model, hook, dictionary) = (model(), HookPoint::resid_post(0), dictionary());
    let means = BTreeMap::from([(Place::from(hook), vec![0.0; WIDTH])]);
    let found = evaluate(&model, &[candidate(hook, dictionary.clone())], &means).remove(0);
    let (mut rows, mut active, mut magnitude, mut firings) = (0.0, 0, 0.0, vec![0_u64; LATENTS]);
    let (mut sum, mut squares, mut errors, mut dots) = (vec![0.0; WIDTH], 0.0, 0.0, 0.0);
    let (mut squared_y, mut norms, mut norms_y, mut cosines) = (0.0, 0.0, 0.0, 0.0);
    for tokens in sequences() {
        let captured = model.capture(&Batch::from_sequences(&[&tokens]), &[hook]).unwrap();
        for position in counted(&tokens) {
            let x = &captured[&hook].data[position * WIDTH..(position + 1) * WIDTH];
            let (latents, y) = encode(&dictionary, x);
            let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let error: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x - y).collect();
            rows += 1.0;
            active += latents.iter().filter(|f| **f > 0.0).count();
            magnitude += latents.iter().sum::<f64>();
            latents.iter().zip(&mut firings).for_each(|(f, count)| *count += u64::from(*f > 0.0));
            sum.iter_mut().zip(&x).for_each(|(sum, x)| *sum += x);
            squares += dot(&x, &x);
            errors += dot(&error, &error);
            dots += dot(&x, &y);
            squared_y += dot(&y, &y);
            norms += dot(&x, &x).sqrt();
            norms_y += dot(&y, &y).sqrt();
            cosines += dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt();
        }
    }
    let variance = squares / rows - sum.iter().map(|sum| (sum / rows).powi(2)).sum::<f64>();
    let r = &found.reconstruction;
    assert_eq!((r.rows as f64, r.rows_not_finite), (rows, 0));
    assert_close("mean squared error", r.mean_squared_error, errors / rows / WIDTH as f64);
    assert_close("explained variance", r.explained_variance, 1.0 - errors / rows / variance);
    assert_close("cosine", r.cosine, cosines / rows);
    assert_close("bias", r.relative_reconstruction_bias, squared_y / dots);
    assert_close("shrinkage", r.shrinkage, norms_y / norms);
    assert_close("L0", found.sparsity.l0, active as f64 / rows);
    assert_close("L1", found.sparsity.l1, magnitude / rows);
    assert_eq!(found.sparsity.dead, Some(firings.iter().filter(|count| **count == 0).count() as u64));
    let dense = firings.iter().filter(|count| **count as f64 / rows > 0.01).count();
    assert_eq!(found.sparsity.dense, Some(dense as u64));
}

#[test]
fn losses_agree_with_one_sequence_at_a_time() {
    let (model, hook, dictionary) = (model(), HookPoint::resid_post(0), dictionary());
    let mean: Vec<f32> = numbers(9, WIDTH);
    let means = BTreeMap::from([(Place::from(hook), mean.clone())]);
    let found = evaluate(&model, &[candidate(hook, dictionary.clone())], &means).remove(0).losses.unwrap();
    let (mut tokens, mut sums) = (0, [[0.0; 2]; 4]);
    for sequence in sequences() {
        let captured = model.capture(&Batch::from_sequences(&[&sequence]), &[hook]).unwrap();
        let at = |position: &usize, values: Vec<f32>| (*position, values);
        let reconstruction = |position: &usize| {
            let x = &captured[&hook].data[position * WIDTH..(position + 1) * WIDTH];
            encode(&dictionary, x).1.into_iter().map(|y| y as f32).collect()
        };
        let counted = counted(&sequence);
        tokens += predictions(&sequence).len();
        let runs = [
            Vec::new(),
            counted.iter().map(|position| at(position, reconstruction(position))).collect(),
            counted.iter().map(|position| at(position, vec![0.0; WIDTH])).collect(),
            counted.iter().map(|position| at(position, mean.clone())).collect(),
        ];
        for (sums, new) in sums.iter_mut().zip(&runs) {
            let (cross_entropy, divergence) = losses(&model, &sequence, hook, new);
            sums[0] += cross_entropy;
            sums[1] += divergence;
        }
    }
    let [clean, spliced, zero, ablated] = sums.map(|sums| sums.map(|sum| sum / tokens as f64));
    assert_eq!(found.tokens, tokens as u64);
    for (what, found, expected) in [
        ("clean", found.clean, clean),
        ("spliced", found.spliced, spliced),
        ("zero", found.zero_ablated, zero),
        ("mean", found.mean_ablated, ablated),
    ] {
        assert_close(what, found.cross_entropy, expected[0]);
        assert_close(what, found.divergence, expected[1]);
    }
    assert_close("increase", found.loss_increase, spliced[0] - clean[0]);
    for (what, recovered, ablated) in [
        ("recovered against zero", found.loss_recovered_zero, zero),
        ("recovered against mean", found.loss_recovered_mean, ablated),
    ] {
        let expected = (ablated[0] > clean[0]).then(|| (ablated[0] - spliced[0]) / (ablated[0] - clean[0]));
        assert_eq!(recovered.is_some(), expected.is_some(), "{what}");
        if let Some(expected) = expected {
            // A quotient of small differences of losses: their errors of about 1e-7 come out larger.
            assert!((recovered.unwrap() - expected).abs() < 1e-3 * expected.abs().max(1.0), "{what}");
        }
    }
    assert_close("KL recovered", found.divergence_recovered_zero, (zero[1] - spliced[1]) / zero[1]);
}

/// Of a dictionary of one head: the other heads' values are neither read nor changed.
#[test]
fn one_head_is_measured_by_itself() {
    let (model, hook): (_, HookPoint) = (model(), "blocks.0.attn.hook_z".parse().unwrap());
    let whole = hook.width(model.architecture());
    let place = Place::new(hook, Some(2), model.architecture()).unwrap();
    assert_eq!(Place::new(hook, Some(4), model.architecture()), None);
    assert_eq!(Place::new(HookPoint::resid_post(0), Some(0), model.architecture()), None);
    let width = place.width(model.architecture());
    assert_eq!((width, whole, place.to_string().as_str()), (8, 32, "blocks.0.attn.hook_z, head 2"));
    let (dictionary, mean) = (dictionary_of(width), numbers(9, width));
    let kind = CandidateKind::Dictionary;
    let of_head = Candidate::new("head".into(), kind, [place, place], dictionary.clone()).unwrap();
    let found = evaluate(&model, &[of_head], &BTreeMap::from([(place, mean.clone())])).remove(0);
    assert_eq!((found.head, found.place()), (Some(2), place.to_string()));
    let (mut tokens, mut sums, mut errors, mut rows) = (0, [0.0; 3], 0.0, 0.0);
    for sequence in sequences() {
        let captured = model.capture(&Batch::from_sequences(&[&sequence]), &[hook]).unwrap();
        let row = |position: usize| &captured[&hook].data[position * whole..][..whole];
        let with = |position: usize, own: &[f32]| {
            let mut changed = row(position).to_vec();
            changed[2 * width..3 * width].copy_from_slice(own);
            (position, changed)
        };
        let counted = counted(&sequence);
        let reconstructed: Vec<Vec<f32>> = counted
            .iter()
            .map(|position| {
                let x = &row(*position)[2 * width..3 * width];
                let y: Vec<f32> = encode(&dictionary, x).1.into_iter().map(|y| y as f32).collect();
                errors += x.iter().zip(&y).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
                rows += 1.0;
                y
            })
            .collect();
        tokens += predictions(&sequence).len();
        let spliced = counted.iter().zip(&reconstructed).map(|(position, y)| with(*position, y)).collect();
        let zero = counted.iter().map(|position| with(*position, &vec![0.0; width])).collect();
        let ablated = counted.iter().map(|position| with(*position, &mean)).collect();
        for (sum, new) in sums.iter_mut().zip::<[Vec<(usize, Vec<f32>)>; 3]>([spliced, zero, ablated]) {
            *sum += losses(&model, &sequence, hook, &new).0;
        }
    }
    assert_close("mean squared error", found.reconstruction.mean_squared_error, errors / rows / width as f64);
    let measured = found.losses.unwrap();
    let measured = [measured.spliced, measured.zero_ablated, measured.mean_ablated];
    for (found, expected) in measured.into_iter().zip(sums) {
        assert_close("loss", found.cross_entropy, expected / tokens as f64);
    }
}

#[test]
fn a_perfect_reconstruction_costs_nothing() {
    let (model, hook) = (model(), HookPoint::mlp_post(1));
    let width = hook.width(model.architecture());
    let positions = positions();
    // The mean is zero, so that the sum with it is exact.
    let mut moments = glossator_dictionary::evaluation::Moments::new(width, true);
    moments.add(&vec![0.0; width]);
    let all = baseline(CandidateKind::Coordinates, &moments, width as f64, 0).unwrap();
    let candidates = [Candidate::new("all".into(), CandidateKind::Coordinates, [hook, hook], all).unwrap()];
    let means = BTreeMap::from([(Place::from(hook), vec![0.0; width])]);
    let mut evaluator = Evaluator::new(&model, &positions, &candidates, &means);
    evaluator.read(&Batch::from_sequences(&sequences()), &LOSSES).unwrap();
    let found = evaluator.finish().remove(0);
    let losses = found.losses.unwrap();
    assert_eq!(found.reconstruction.explained_variance, Some(1.0));
    assert_eq!(losses.spliced.cross_entropy, losses.clean.cross_entropy);
    assert_eq!(losses.spliced.divergence, Some(0.0));
    assert!(losses.loss_recovered_zero.is_none_or(|recovered| recovered == 1.0));
}

#[test]
fn calibration_measures_what_ablation_and_baselines_need() {
    let (model, positions, dictionary) = (model(), positions(), dictionary());
    let hooks = [HookPoint::resid_post(0), HookPoint::resid_post(1)];
    let candidates = hooks.map(|hook| candidate(hook, dictionary.clone()));
    let mut calibration = Calibration::new(&model, &positions, &candidates, true);
    for batch in sequences().chunks(2) {
        calibration.read(&Batch::from_sequences(batch)).unwrap();
    }
    let calibrated = calibration.finish();
    let means = calibrated
        .moments
        .iter()
        .map(|(hook, moments)| (*hook, moments.mean().unwrap().into_iter().map(|x| x as f32).collect()))
        .collect();
    let evaluations = evaluate(&model, &candidates, &means);
    for (l0, evaluation) in calibrated.l0.iter().zip(&evaluations) {
        assert_eq!(*l0, evaluation.sparsity.l0);
    }
    let rows: usize = sequences().iter().map(|tokens| counted(tokens).len()).sum();
    assert!(calibrated.moments.values().all(|moments| moments.rows() == rows as u64));
}

#[test]
fn nothing_counted_is_undefined_everywhere() {
    let (model, hook) = (model(), HookPoint::resid_post(0));
    let candidates = [candidate(hook, dictionary())];
    let positions = CountedPositions::new(1, 288, |_| true);
    let means = BTreeMap::from([(Place::from(hook), vec![0.0; WIDTH])]);
    let mut evaluator = Evaluator::new(&model, &positions, &candidates, &means);
    evaluator.read(&Batch::from_sequences(&sequences()[..2]), &LOSSES).unwrap();
    let found = evaluator.finish().remove(0);
    assert_eq!((found.reconstruction.explained_variance, found.sparsity.l0), (None, None));
    assert_eq!(found.losses, None);
}

#[test]
fn an_ablation_moves_what_a_run_without_the_latent_moves() {
    let (model, hook) = (model(), HookPoint::resid_post(0));
    // One latent that is always active, and one position with enough after it.
    let mut one = dictionary();
    (one.latents, one.activation) = (1, Activation::Relu);
    (one.encoder, one.encoder_bias, one.decoder) = (vec![0.0; WIDTH], vec![0.5], numbers(12, WIDTH));
    let tokens: Vec<u32> = (40..=40 + ABLATION_SPAN as u32).collect();
    let (positions, candidates) = (positions(), [candidate(hook, one.clone())]);
    let means = BTreeMap::from([(Place::from(hook), vec![0.0; WIDTH])]);
    let mut evaluator = Evaluator::new(&model, &positions, &candidates, &means);
    let wanted = Wanted { ablations: true, ..Wanted::default() };
    evaluator.read(&Batch::from_sequences(&[&tokens]), &wanted).unwrap();
    let found = evaluator.finish().remove(0).ablation.unwrap();
    let logits = |interventions: &[Intervention]| {
        let run = Run { interventions, logits: true, ..Run::default() };
        model.run(&Batch::from_sequences(&[&tokens]), &run, &()).unwrap().unwrap().data
    };
    let without = Intervention {
        hook,
        positions: Positions::Ranges(vec![(1, Some(2))]),
        units: Units::All,
        change: Change::AddVector(one.decoder.iter().map(|d| -0.5 * d).collect()),
    };
    let (before, after) = (logits(&[]), logits(&[without]));
    let (mut sum, mut squares) = (0.0, 0.0);
    for (before, after) in before.chunks_exact(288).zip(after.chunks_exact(288)).skip(1) {
        let mut change: Vec<f64> = before.iter().zip(after).map(|(b, a)| f64::from(a - b)).collect();
        change.sort_by(f64::total_cmp);
        let median = change[143];
        sum += change.iter().map(|change| (change - median).abs()).sum::<f64>();
        squares += change.iter().map(|change| (change - median).powi(2)).sum::<f64>();
    }
    assert_eq!((found.samples, found.without_effect), (1, 0));
    let expected = sum * sum / squares / (288 * ABLATION_SPAN) as f64;
    assert!((found.effective_share.unwrap() - expected).abs() < 1e-3 * expected, "{found:?} {expected}");
}

#[test]
fn labels_are_probed_where_there_are_any() {
    let (model, hook) = (model(), HookPoint::resid_post(0));
    // The label is which of two sets of five tokens a text is made of.
    let sequences: Vec<Vec<u32>> = (0..300_u32)
        .map(|i| (0..6).map(|position| 40 + i % 2 * 120 + (i * 7 + position * 13) % 5).collect())
        .collect();
    let window = |i: u32| LabelledWindow {
        document: i,
        label: if i.is_multiple_of(2) { "low" } else { "high" }.into(),
    };
    let labels: Vec<Option<LabelledWindow>> =
        (0..300).map(|i| (!u32::is_multiple_of(i, 11)).then(|| window(i))).collect();
    let (positions, means) = (positions(), BTreeMap::from([(Place::from(hook), vec![0.0; WIDTH])]));
    let candidates = [candidate(hook, dictionary())];
    let mut evaluator = Evaluator::new(&model, &positions, &candidates, &means);
    for (sequences, labels) in sequences.chunks(64).zip(labels.chunks(64)) {
        let wanted = Wanted { labels, ..Wanted::default() };
        evaluator.read(&Batch::from_sequences(sequences), &wanted).unwrap();
    }
    let found = evaluator.finish().remove(0);
    let probes = found.probes.unwrap();
    assert_eq!(probes.tasks.iter().map(|task| task.label.as_str()).collect::<Vec<_>>(), ["high", "low"]);
    // Even random directions of random embeddings can tell ten tokens apart.
    assert!(probes.loss.unwrap() < 0.6 && probes.accuracy[2].unwrap() > 0.75, "{probes:?}");
    assert!(probes.tasks.iter().all(|task| task.best_latent < LATENTS));
    assert_eq!((found.losses, found.ablation), (None, None));
}

/// Explanations that predict a latent by `predict`, given its true activations, of the latents that have one.
fn measure(
    model: &Model,
    evaluation: &Evaluation,
    predict: impl Fn(usize, f32) -> Option<f32> + Copy + Send + Sync + 'static,
) -> ExplainedMetrics {
    let (hook, dictionary) = (HookPoint::resid_post(0), dictionary());
    let candidate = candidate(hook, dictionary.clone());
    let batches = || sequences().chunks(4).map(Batch::from_sequences).collect::<Vec<_>>();
    // The true latents of every window, which an explanation does not know; here they stand for a good one.
    let truths: BTreeMap<Vec<u32>, Vec<Vec<f64>>> = sequences()
        .into_iter()
        .map(|tokens| {
            let values = &model.capture(&Batch::from_sequences(&[&tokens]), &[hook]).unwrap()[&hook];
            let latents = values.data.chunks(WIDTH).map(|row| encode(&dictionary, row).0).collect();
            (tokens, latents)
        })
        .collect();
    let predictions = |latent: usize| -> Result<Option<Prediction>, ModelError> {
        let truths = truths.clone();
        let known = predict(latent, 1.0).is_some();
        Ok(known.then(|| -> Prediction {
            Box::new(move |tokens| {
                let rows = truths[tokens].iter();
                rows.map(|row| predict(latent, row[latent] as f32).unwrap()).collect()
            })
        }))
    };
    let losses = evaluation.losses.as_ref().unwrap();
    let text = ExplainedText { calibration: batches(), evaluated: batches(), losses };
    let passed = Cell::new(0);
    let progress = |tokens: usize| passed.set(passed.get() + tokens);
    let (positions, name) = (positions(), "made up".to_owned());
    let found = explained(model, &positions, &candidate, text, name, predictions, &progress).unwrap();
    let tokens: usize = sequences().iter().map(Vec::len).sum();
    assert_eq!(passed.get(), (CALIBRATION_PASSES + EXPLAINED_PASSES) * tokens);
    found
}

#[test]
fn explanations_are_as_good_as_what_they_predict() {
    let (model, hook) = (model(), HookPoint::resid_post(0));
    let means = BTreeMap::from([(Place::from(hook), vec![0.0; WIDTH])]);
    let evaluation = evaluate(&model, &[candidate(hook, dictionary())], &means).remove(0);
    let spliced = evaluation.losses.as_ref().unwrap();
    // Perfect in a wrong scale, which is found; or no explanation at all: the dictionary's own loss.
    let perfect = measure(&model, &evaluation, |_, truth| Some(0.3 * truth));
    let none = measure(&model, &evaluation, |_, _| None);
    for (found, explained) in [(&perfect, LATENTS), (&none, 0)] {
        assert_eq!(found.explained, explained);
        assert_close("loss", found.loss.cross_entropy, spliced.spliced.cross_entropy.unwrap());
        assert_close(
            "variance",
            found.explained_variance,
            evaluation.reconstruction.explained_variance.unwrap(),
        );
        assert_close("recovered", found.loss_recovered_zero, spliced.loss_recovered_zero.unwrap());
    }
    assert_eq!((perfect.precision, perfect.recall), (Some(1.0), Some(1.0)));
    assert_eq!((none.precision, none.recall), (None, None));
    // Predicting nothing leaves the decoder bias; predicting always is never silent where it should not be.
    let silent = measure(&model, &evaluation, |_, _| Some(0.0));
    assert_eq!((silent.precision, silent.recall), (None, Some(0.0)));
    let bias: Vec<f32> = dictionary().decoder_bias;
    let (mut entropy, mut count) = (0.0, 0.0);
    for tokens in sequences() {
        let new: Vec<(usize, Vec<f32>)> =
            counted(&tokens).into_iter().map(|position| (position, bias.clone())).collect();
        entropy += losses(&model, &tokens, hook, &new).0;
        count += predictions(&tokens).len() as f64;
    }
    assert_close("bias alone", silent.loss.cross_entropy, entropy / count);
    let always = measure(&model, &evaluation, |latent, _| (latent == 3).then_some(1.0));
    assert_eq!(always.explained, 1);
    assert!(always.precision.unwrap() < 1.0 && always.recall == Some(1.0));
}
