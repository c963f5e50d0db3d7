//! `--dictionary` on a tiny model: features are recorded, explained, scored and changed like neurons.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use assert_cmd::cargo::cargo_bin;
use glossator_atlas::Atlas;
use glossator_dictionary::formats::Format;
use glossator_dictionary::{Activation, Dictionary, InputConvention, Metadata, SplicedDictionary};
use glossator_model::{Batch, HookPoint, Model, Precision, UnitId};

const FEATURES: usize = 24;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama").canonicalize().unwrap()
}

/// A dictionary of pseudo-random directions that reads the stream between the blocks.
fn dictionary(d: usize) -> Dictionary {
    let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
    let weights: Vec<f32> = (0..FEATURES * d).map(value).collect();
    Dictionary {
        d_input: d,
        d_output: d,
        latents: FEATURES,
        encoder_bias: (0..FEATURES).map(|i| value(i + 5) * 0.5).collect(),
        decoder: weights.iter().map(|w| w * 0.2).collect(),
        encoder: weights,
        decoder_bias: (0..d).map(|i| value(i + 50) * 0.1).collect(),
        skip: None,
        activation: Activation::Relu,
        input: InputConvention { subtract_decoder_bias: true, ..InputConvention::default() },
        metadata: Metadata { hook: Some("blocks.0.hook_resid_post".into()), ..Metadata::default() },
    }
}

fn corpus(directory: &Path) -> PathBuf {
    let path = directory.join("texts.jsonl");
    let words = ["the", "model", "reads", "a", "long", "text", "about", "neurons", "and", "42", "cats."];
    let line = |document: usize| {
        let word = |place: usize| words[(document * 7 + place * place + place / 3) % words.len()];
        let text: Vec<&str> = (0..120 + document % 50).map(word).collect();
        serde_json::json!({ "text": format!("{document} {}", text.join(" ")) }).to_string()
    };
    std::fs::write(&path, (0..200).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    path
}

fn glossator<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(cargo_bin("glossator")).args(arguments).output().unwrap()
}

fn succeed<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> String {
    let output = glossator(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Records the features beside the stream they are read from.
fn record(directory: &Path) -> (PathBuf, PathBuf) {
    let d = Model::load(model().to_str().unwrap(), Precision::F32).unwrap().architecture().d_model;
    let (sae, atlas) = (directory.join("sae"), directory.join("atlas"));
    Format::SaeLens.write(&dictionary(d), &sae).unwrap();
    let corpus = corpus(directory);
    let [model, sae_text] = [model(), sae.clone()].map(|path| path.to_str().unwrap().to_owned());
    succeed([
        "record",
        "--model",
        &model,
        "--dictionary",
        &sae_text,
        "--hook",
        "blocks.0.hook_resid_post",
        "--context",
        "16",
        "--tokens",
        "3000",
        "--precision",
        "f32",
        "--corpus",
        corpus.to_str().unwrap(),
        "--atlas",
        atlas.to_str().unwrap(),
    ]);
    (sae, atlas)
}

#[test]
fn features_are_recorded_explained_and_scored_beside_what_they_read() {
    let directory = tempfile::tempdir().unwrap();
    let (sae, path) = record(directory.path());
    let mut model = Model::load(model().to_str().unwrap(), Precision::F32).unwrap();
    let place = HookPoint::resid_post(0);
    let spliced = SplicedDictionary::new(Format::SaeLens.read(&sae).unwrap(), place).unwrap();
    let hook = model.splice(place, Arc::new(spliced)).unwrap();
    let atlas = Atlas::open(&path).unwrap();
    let hooks: Vec<(HookPoint, u32)> = atlas.hooks().iter().map(|hook| (hook.hook, hook.units)).collect();
    assert_eq!(hooks, [(place, model.architecture().d_model as u32), (hook, FEATURES as u32)]);
    for index in [0, 7, FEATURES - 1] {
        let unit = UnitId::new(hook, index);
        let record = atlas.unit(unit).unwrap();
        for excerpt in &record.excerpts {
            let values = &model.capture(&Batch::from_sequences(&[&excerpt.tokens]), &[hook]).unwrap()[&hook];
            let column: Vec<f32> = values.data.chunks(FEATURES).map(|row| row[index]).collect();
            assert_eq!(column, excerpt.activations);
        }
        // The logit weights are those of the decoder row.
        let weights = model.logit_weights(&model.output_direction(unit).unwrap()).unwrap();
        let best = record.top_logits[0];
        assert!((weights[best.token as usize] - best.weight).abs() < 1e-5);
        assert_eq!(record.neighbours.len(), 10);
    }
    drop(atlas);
    let atlas = path.to_str().unwrap();
    succeed(["explain", "--atlas", atlas, "--units", &hook.to_string()]);
    let scores = succeed(["score", "--atlas", atlas, "--units", &hook.to_string(), "--json"]);
    let lines: serde_json::Value = serde_json::from_str(&scores).unwrap();
    let names: Vec<&str> =
        lines.as_array().unwrap().iter().filter_map(|line| line["explainer"].as_str()).collect();
    assert!(names.contains(&"lookup") && names.contains(&"n2g"), "{scores}");
    let explained = Atlas::open(&path).unwrap().explanations(UnitId::new(hook, 7)).unwrap();
    assert_eq!(explained.len(), 3);
}

#[test]
fn another_dictionary_in_the_same_place_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (sae, atlas) = record(directory.path());
    let mut other = Format::SaeLens.read(&sae).unwrap();
    other.encoder_bias[3] += 0.5;
    Format::SaeLens.write(&other, &sae).unwrap();
    let output = glossator(["explain", "--atlas", atlas.to_str().unwrap(), "--explainer", "n2g"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains("not the dictionary"), "{message}");
}

#[test]
fn changing_a_feature_steers_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let d = Model::load(model().to_str().unwrap(), Precision::F32).unwrap().architecture().d_model;
    let mut nameless = dictionary(d);
    nameless.metadata.hook = None;
    let sae = directory.path().join("sae");
    Format::SaeLens.write(&nameless, &sae).unwrap();
    let run = |dictionary: &str, change: &str| {
        let out = directory.path().join("out.safetensors");
        let model = model();
        let arguments = ["activations", "--model", model.to_str().unwrap(), "--tokens", "1,2,3", "--logits"];
        let more = ["--dictionary", dictionary, "--out", out.to_str().unwrap(), "--intervene", change];
        let output = glossator(arguments.iter().chain(&more));
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
            std::fs::read(&out).ok(),
        )
    };
    let (done, message, _) = run(sae.to_str().unwrap(), "hook_embed*=1");
    assert!(!done && message.contains("--dictionary HOOK="), "{message}");
    let named = format!("blocks.0.hook_resid_post={}", sae.display());
    let change = "blocks.0.hook_resid_post.hook_sae_acts_post:7=20";
    let (plain, steered) = (run(&named, "hook_embed*=1"), run(&named, change));
    assert!(plain.0 && steered.0, "{} {}", plain.1, steered.1);
    assert_ne!(plain.2, steered.2);
}
