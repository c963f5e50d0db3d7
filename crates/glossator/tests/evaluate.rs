//! `glossator evaluate` on a tiny model and tiny dictionaries that the test writes, as a user runs it.
#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use glossator_dictionary::formats::Format;
use glossator_dictionary::{Activation, Dictionary, InputConvention, Metadata, Sign};

const WIDTH: usize = 24;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama").canonicalize().unwrap()
}

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A directory with a dictionary of the residual stream, a corpus of two kinds of text, and room for results.
fn prepare() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let latents = 48;
    let dictionary = Dictionary {
        d_input: WIDTH,
        d_output: WIDTH,
        latents,
        encoder: numbers(1, latents * WIDTH),
        encoder_bias: numbers(2, latents),
        decoder: numbers(3, latents * WIDTH).into_iter().map(|x| 0.2 * x).collect(),
        decoder_bias: numbers(4, WIDTH),
        skip: None,
        activation: Activation::TopK { k: 4, sign: Sign::Positive },
        input: InputConvention { subtract_decoder_bias: true, ..InputConvention::default() },
        metadata: Metadata { hook: Some("blocks.0.hook_resid_post".into()), ..Metadata::default() },
    };
    Format::SaeLens.write(&dictionary, &directory.path().join("sae<b>")).unwrap();
    let words = [["the", "model", "reads", "texts"], ["1", "22", "+", "= 3"]];
    let line = |document: usize| {
        let kind = document % 2;
        let word = |place: usize| words[kind][(document * 7 + place * place) % 4];
        let text: Vec<&str> = (0..70 + document % 20).map(word).collect();
        let kind = ["words", "numbers"][kind];
        serde_json::json!({ "text": format!("{document} {}", text.join(" ")), "kind": kind }).to_string()
    };
    let lines: Vec<String> = (0..240).map(line).collect();
    fs::write(directory.path().join("texts.jsonl"), lines.join("\n")).unwrap();
    directory
}

fn evaluate(directory: &Path, calibration: usize, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("glossator").unwrap();
    command.env("NO_COLOR", "1").env_remove("RUST_LOG").current_dir(directory).arg("evaluate");
    command.arg("--model").arg(model()).args(["--corpus", "texts.jsonl", "--precision", "f32"]);
    command.args(["--context", "24", "--tokens", "8000", "--loss-tokens", "480"]);
    command
        .args([
            "--calibration-tokens",
            &calibration.to_string(),
            "--ablation-windows",
            "10",
            "--label-field",
            "kind",
        ])
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Numbers with a fraction depend on the processor's order of additions in the last digits; they become one `#`, and
/// columns one space.
fn without_fractions(text: &str) -> String {
    let cell = |word: &str| {
        let fraction = word.contains(['.', 'e']) && word.parse::<f64>().is_ok();
        if fraction { "#".to_owned() } else { word.to_owned() }
    };
    let line = |line: &str| line.split_whitespace().map(cell).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn tables_are_for_people() {
    let directory = prepare();
    let output = evaluate(directory.path(), 1200, &["--dictionary", "sae<b>"]);
    insta::assert_snapshot!(without_fractions(&stdout(&output)));
}

#[test]
fn json_and_page_hold_everything() {
    let directory = prepare();
    let arguments = [
        ["--dictionary", "sae<b>"],
        ["--dictionary", "blocks.1.hook_resid_post=sae<b>"],
        ["--shuffled-dictionary", "sae<b>"],
    ]
    .concat();
    let output =
        evaluate(directory.path(), 1200, &[&arguments[..], &["--json", "--html", "page.html"]].concat());
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let evaluations = report["evaluations"].as_array().unwrap();
    let kinds: Vec<&str> =
        evaluations.iter().map(|evaluation| evaluation["kind"].as_str().unwrap()).collect();
    let baselines = ["coordinates", "principal_components", "random_dictionary"];
    assert_eq!(kinds, [&["dictionary"; 2][..], &baselines, &baselines, &["shuffled_model"; 3]].concat());
    let shuffled = [8, 9, 10].map(|place: usize| evaluations[place]["name"].as_str().unwrap());
    let trained_there = "sae<b>, trained on the shuffled model";
    assert_eq!(shuffled, ["sae<b>, shuffled model", "sae<b>, shuffled model", trained_there]);
    assert_eq!(evaluations[1]["writes"], "blocks.1.hook_resid_post");
    for evaluation in evaluations {
        // Nothing that the shuffled model predicts is what the model predicts.
        let same_model = evaluation["losses"]["clean"] == evaluations[0]["losses"]["clean"];
        assert_eq!(same_model, evaluation["kind"] != "shuffled_model");
        let variance = evaluation["reconstruction"]["explained_variance"].as_f64().unwrap();
        assert!(variance < 1.0);
        // Fewer than a million positions cannot show a density of one in a million.
        assert!(evaluation["sparsity"]["ultra_low_density"].is_null());
        assert_eq!(evaluation["probes"]["tasks"].as_array().unwrap().len(), 2);
        assert_eq!(evaluation["ablation"]["samples"], 10);
        assert!(evaluation["losses"]["zero_ablated"]["cross_entropy"].is_f64());
    }
    // Principal components are the best linear code of their size.
    let variance =
        |index: usize| evaluations[index]["reconstruction"]["explained_variance"].as_f64().unwrap();
    assert!(variance(3) > variance(4));
    let page = fs::read_to_string(directory.path().join("page.html")).unwrap();
    assert!(page.contains("sae&lt;b&gt;") && !page.contains("<b>") && !page.contains("<script"));
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(!page.contains("http://") && !page.contains("https://"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let directory = prepare();
    for (arguments, reason) in [
        (
            ["--dictionary", "blocks.0.mlp.hook_post=sae<b>"],
            "it is made for 24 values, and blocks.0.mlp.hook_post has 20",
        ),
        (
            ["--dictionary", "blocks.9.hook_resid_post=sae<b>"],
            "the model has no place blocks.9.hook_resid_post",
        ),
        (["--dictionary", "missing"], "missing"),
    ] {
        let output = evaluate(directory.path(), 1200, &arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(reason), "`{error}` does not say `{reason}`");
    }
    let notes = |probed: &str| {
        let arguments = ["--dictionary", "sae<b>", "--baselines", "none", "--probe-windows", probed];
        String::from_utf8(evaluate(directory.path(), 1200, &arguments).stderr).unwrap()
    };
    assert!(notes("20").contains("no value of `kind` has windows enough"));
    assert!(!notes("4096").contains("no value of"));
    let output = evaluate(directory.path(), 9_000_000, &["--dictionary", "sae<b>"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("lower --calibration-tokens"));
}
