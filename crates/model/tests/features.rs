//! Spliced dictionaries: their features are hook points, looking at them changes nothing, and changing them changes
//! the activations by what the decoder says.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its goldens should stop")]

mod common;

use std::sync::Arc;

use common::{Golden, assert_close};
use glossator_kernels::Threads;
use glossator_model::checkpoint::Matrix;
use glossator_model::{
    Batch, BlockSite, FeatureDictionary, HookPattern, HookPoint, Intervention, Model, ModelError, Run, UnitId,
};

/// f = ReLU(E x), x̂ = f D, with weights from a simple recurrence.
struct Small {
    width: usize,
    encoder: Vec<f32>,
    decoder: Vec<f32>,
    writes_to: HookPoint,
}

const FEATURES: usize = 11;

impl Small {
    fn new(model: &Model, reads: HookPoint, writes_to: HookPoint) -> Arc<Self> {
        let width = reads.width(model.architecture());
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        let encoder = (0..FEATURES * width).map(value).collect();
        let decoder_width = writes_to.width(model.architecture());
        let decoder = (0..FEATURES * decoder_width).map(|i| value(i + 37) * 0.1).collect();
        Arc::new(Self { width, encoder, decoder, writes_to })
    }
}

impl FeatureDictionary for Small {
    fn features(&self) -> usize {
        FEATURES
    }

    fn width(&self) -> usize {
        self.width
    }

    fn encode(&self, activations: &[f32], features: &mut [f32], _: Threads) {
        for (row, features) in activations.chunks(self.width).zip(features.chunks_mut(FEATURES)) {
            for (feature, weights) in features.iter_mut().zip(self.encoder.chunks(self.width)) {
                *feature = row.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>().max(0.0);
            }
        }
    }

    fn change(&self, before: &[f32], after: &[f32], activations: &mut [f32]) {
        for (row, (before, after)) in
            activations.chunks_mut(self.width).zip(before.chunks(FEATURES).zip(after.chunks(FEATURES)))
        {
            for (feature, weights) in self.decoder.chunks(self.width).enumerate() {
                let change = after[feature] - before[feature];
                row.iter_mut().zip(weights).for_each(|(x, d)| *x += change * d);
            }
        }
    }

    fn writes_to(&self) -> HookPoint {
        self.writes_to
    }

    fn decoder(&self) -> Matrix {
        Matrix { rows: FEATURES, cols: self.decoder.len() / FEATURES, data: self.decoder.clone() }
    }

    fn encoder(&self) -> Matrix {
        Matrix { rows: FEATURES, cols: self.width, data: self.encoder.clone() }
    }
}

/// Every place that a dictionary could read in a model with all kinds of places.
fn places(model: &Model) -> Vec<HookPoint> {
    HookPoint::all(model.architecture()).into_iter().filter(|hook| hook.features().is_some()).collect()
}

#[test]
fn features_are_the_encoded_activations_and_looking_changes_nothing() {
    let golden = Golden::open("gemma2");
    let mut model = golden.model;
    let batch = Batch::from_sequences(&golden.sequences);
    let plain = model.run(&batch, &Run { logits: true, ..Run::default() }, &()).unwrap();
    for place in places(&model) {
        let dictionary = Small::new(&model, place, place);
        let hook = model.splice(place, dictionary.clone()).unwrap();
        assert_eq!(hook, format!("{place}.hook_sae_acts_post").parse().unwrap());
        assert!(place < hook && HookPoint::all(model.architecture()).contains(&hook));
        let both = model.capture(&batch, &[place, hook]).unwrap();
        let alone = model.capture(&batch, &[hook]).unwrap();
        let mut expected = vec![0.0; both[&hook].data.len()];
        dictionary.encode(&both[&place].data, &mut expected, Threads::One);
        assert_eq!(both[&hook].data, expected, "{hook}");
        assert_eq!(alone[&hook], both[&hook], "{hook}");
        assert_eq!(alone[&hook].shape, [batch.tokens().len(), FEATURES]);
    }
    let hooks: Vec<HookPoint> = places(&model).iter().filter_map(|place| place.features()).collect();
    let seen = model.capture_with(&batch, &Run { hooks: &hooks, logits: true, ..Run::default() }).unwrap().1;
    assert_eq!(seen, plain);
}

#[test]
fn changed_features_change_the_activations_by_what_the_decoder_says() {
    for site in [BlockSite::ResidPost, BlockSite::MlpPost, BlockSite::Z] {
        let golden = Golden::open("qwen3");
        let mut model = golden.model;
        let place = HookPoint::block(1, site);
        let dictionary = Small::new(&model, place, place);
        let hook = model.splice(place, dictionary.clone()).unwrap();
        let batch = Batch::from_sequences(&golden.sequences);
        let before = model.capture(&batch, &[place, hook]).unwrap();
        let change: Intervention = format!("{hook}:3@-1=2.5").parse().unwrap();
        let run = Run { hooks: &[hook], interventions: std::slice::from_ref(&change), logits: true };
        let (after, logits) = model.capture_with(&batch, &run).unwrap();
        // The same change made by hand: x ← x + (2.5 − f₃) d₃ at the last position of every sequence.
        let (width, mut by_hand) = (dictionary.width, Vec::new());
        for end in &batch.starts()[1..] {
            let row = end - 1;
            assert_eq!(after[&hook].row(row)[3], 2.5);
            let factor = 2.5 - before[&hook].row(row)[3];
            let x = &before[&place].data[row * width..(row + 1) * width];
            by_hand.push(
                x.iter()
                    .zip(&dictionary.decoder[3 * width..])
                    .map(|(x, d)| x + factor * d)
                    .collect::<Vec<_>>(),
            );
        }
        for (sequence, row) in by_hand.into_iter().enumerate() {
            let single = Batch::from_sequences(&golden.sequences[sequence..=sequence]);
            let values = row.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
            let set: Intervention = format!("{place}@-1=[{values}]").parse().unwrap();
            let run = Run { interventions: &[set], logits: true, ..Run::default() };
            let expected = model.run(&single, &run, &()).unwrap().unwrap();
            let last = batch.starts()[sequence + 1] - 1;
            let found = logits.as_ref().unwrap().row(last);
            assert_close("qwen3", &hook.to_string(), found, expected.row(single.tokens().len() - 1), 1e-5);
        }
    }
}

#[test]
fn directions_of_features_lead_through_the_place_they_write_to() {
    let golden = Golden::open("llama");
    let mut model = golden.model;
    let place = HookPoint::mlp_post(1);
    let dictionary = Small::new(&model, place, place);
    let neurons = model.output_directions(place).unwrap();
    let hook = model.splice(place, dictionary.clone()).unwrap();
    let features = model.output_directions(hook).unwrap();
    let d_model = model.architecture().d_model;
    assert_eq!((features.rows, features.cols), (FEATURES, d_model));
    let expected: Vec<f32> = (0..d_model)
        .map(|i| {
            (0..place.width(model.architecture()))
                .map(|n| dictionary.decoder[n] * neurons.data[n * d_model + i])
                .sum()
        })
        .collect();
    assert_close("llama", "directions", &features.data[..d_model], &expected, 1e-5);
    // The neurons do not live in the stream, so neither does what the features read.
    assert!(matches!(model.input_directions(hook), Err(ModelError::NoDirection { .. })));
    let transcoder = Small::new(
        &model,
        HookPoint::block(0, BlockSite::Ln2Normalized),
        HookPoint::block(0, BlockSite::MlpOut),
    );
    let hook = model.splice(HookPoint::block(0, BlockSite::Ln2Normalized), transcoder.clone()).unwrap();
    assert_eq!(
        model.output_direction(UnitId::new(hook, 2)).unwrap(),
        transcoder.decoder[2 * d_model..3 * d_model]
    );
    let change: Intervention = format!("{hook}:0=zero").parse().unwrap();
    let batch = Batch::from_sequences(&golden.sequences);
    let error = model
        .run(&batch, &Run { interventions: &[change], logits: true, ..Run::default() }, &())
        .unwrap_err();
    assert!(error.to_string().contains("writes elsewhere"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut model = Golden::open("llama").model;
    let place = HookPoint::resid_post(0);
    let dictionary = Small::new(&model, place, place);
    for (wrong, reason) in [
        (HookPoint::Embed, "no such place"),
        (HookPoint::block(0, BlockSite::Pattern), "no such place"),
        (HookPoint::resid_post(99), "no such place"),
        (HookPoint::mlp_post(0), "reads activations of"),
    ] {
        let error = model.splice(wrong, dictionary.clone()).unwrap_err().to_string();
        assert!(error.contains(reason), "{wrong}: {error}");
    }
    let hook = model.splice(place, dictionary.clone()).unwrap();
    assert!(model.splice(place, dictionary).unwrap_err().to_string().contains("another dictionary"));
    // Features are part of patterns by their own name only.
    let expand =
        |pattern: &str| pattern.parse::<HookPattern>().unwrap().expand(model.architecture()).unwrap();
    assert_eq!(expand("blocks.0.*hook_sae_acts_post"), [hook]);
    assert_eq!(expand("blocks.0.hook_resid_post"), [place]);
    assert!("blocks.0.attn.hook_pattern.hook_sae_acts_post".parse::<HookPoint>().is_err());
}
