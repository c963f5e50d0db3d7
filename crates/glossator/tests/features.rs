//! `--dictionary` on a tiny model: features are recorded, explained, scored and changed like neurons.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use assert_cmd::cargo::cargo_bin;
use common::{corpus, model};
use glossator_atlas::Atlas;
use glossator_dictionary::formats::Format;
use glossator_dictionary::{Activation, Coder, Dictionary, InputConvention, Metadata, SplicedDictionary};
use glossator_model::{Batch, HookPoint, Model, Precision, UnitId};

const FEATURES: usize = 24;

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

/// The page begins with the features of a dictionary that the atlas knows, and says of any other how to record it.
#[test]
fn the_page_begins_with_a_dictionarys_features() {
    let directory = tempfile::tempdir().unwrap();
    let (sae, atlas) = record(directory.path());
    let mut server = Command::new(cargo_bin("glossator"))
        .args(["serve", "--port", "0", "--dictionary"])
        .args([&sae, &atlas])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stderr.take().unwrap()).read_line(&mut line).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(line.contains("/#/units?hook=blocks.0.hook_resid_post.hook_sae_acts_post"), "{line}");

    let other = directory.path().join("other");
    let mut changed = dictionary(Atlas::open(&atlas).unwrap().hooks()[0].units as usize);
    changed.encoder_bias[0] += 1.0;
    Format::SaeLens.write(&changed, &other).unwrap();
    let output = glossator([Path::new("serve"), &atlas, Path::new("--dictionary"), &other]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("record --dictionary"), "{said}");
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
    // What the model makes of features that are predicted.
    let [model, sae, corpus] = [self::model(), sae, directory.path().join("texts.jsonl")];
    let mut evaluate = vec!["evaluate", "--json", "--model", model.to_str().unwrap(), "--atlas", atlas];
    evaluate.extend(["--dictionary", sae.to_str().unwrap(), "--corpus", corpus.to_str().unwrap()]);
    evaluate.extend(["--context", "16", "--tokens", "1000", "--calibration-tokens", "400"]);
    evaluate.extend(["--loss-tokens", "320", "--ablation-windows", "0", "--absorption-words", "0"]);
    evaluate.extend(["--baselines", "none", "--precision", "f32"]);
    let report: serde_json::Value = serde_json::from_str(&succeed(evaluate)).unwrap();
    let evaluation = &report["evaluations"][0];
    let explanations = evaluation["explanations"].as_array().unwrap();
    let names: Vec<&str> = explanations.iter().map(|one| one["explainer"].as_str().unwrap()).collect();
    assert_eq!(names, ["n2g", "n2g+lookup", "lookup"]);
    for one in explanations {
        assert_eq!(one["explained"], FEATURES);
        assert!(one["loss"]["cross_entropy"].is_f64() && one["recall"].is_f64(), "{one}");
    }
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
    // As transformers calls the output of the block.
    let named = format!("layers.0={}", sae.display());
    let change = "blocks.0.hook_resid_post.hook_sae_acts_post:7=20";
    let (plain, steered) = (run(&named, "hook_embed*=1"), run(&named, change));
    assert!(plain.0 && steered.0, "{} {}", plain.1, steered.1);
    assert_ne!(plain.2, steered.2);
}

#[test]
fn dictionaries_of_one_head_are_recorded_and_steered_alone() {
    let directory = tempfile::tempdir().unwrap();
    let plain = Model::load(model().to_str().unwrap(), Precision::F32).unwrap();
    let d_head = plain.architecture().d_head;
    let place: HookPoint = "blocks.1.attn.hook_z".parse().unwrap();
    let heads = place.heads(plain.architecture());
    let mut of_head = dictionary(d_head);
    of_head.metadata = Metadata { hook: Some(place.to_string()), head: Some(1), ..Metadata::default() };
    let (sae, atlas) = (directory.path().join("sae"), directory.path().join("atlas"));
    Format::SaeLens.write(&of_head, &sae).unwrap();
    let corpus = corpus(directory.path());
    let [model_text, sae_text] = [model(), sae.clone()].map(|path| path.to_str().unwrap().to_owned());
    let mut arguments =
        vec!["record", "--model", &model_text, "--dictionary", &sae_text, "--precision", "f32"];
    arguments.extend(["--context", "16", "--tokens", "2000", "--corpus", corpus.to_str().unwrap()]);
    arguments.extend(["--atlas", atlas.to_str().unwrap()]);
    succeed(arguments);
    let atlas = Atlas::open(&atlas).unwrap();
    let hook = place.features().unwrap();
    let coder = Coder::new(&of_head, glossator_kernels::Precision::F32);
    let excerpt = &atlas.unit(UnitId::new(hook, 7)).unwrap().excerpts[0];
    let values = &plain.capture(&Batch::from_sequences(&[&excerpt.tokens]), &[place]).unwrap()[&place];
    let own: Vec<f32> =
        values.data.chunks(heads * d_head).flat_map(|row| row[d_head..2 * d_head].to_vec()).collect();
    let expected: Vec<f32> = coder.encode(&own).to_dense().chunks(FEATURES).map(|row| row[7]).collect();
    assert_eq!(excerpt.activations, expected);
}
