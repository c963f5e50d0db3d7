//! `inspect`, `doctor`, `activations` and `generate` on the tiny models of `reference/`, as a user runs them.

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use safetensors::{Dtype, SafeTensors};

fn reference(path: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference");
    root.join(path).to_str().unwrap().to_owned()
}

fn glossator(arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("glossator").unwrap();
    command.env("NO_COLOR", "1").env_remove("RUST_LOG").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(output));
    text
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Numbers with a fraction depend on the processor's order of additions in the last digits.
fn without_fractions(text: &str) -> String {
    let mut result = String::new();
    for word in text.split_inclusive([' ', '\n']) {
        let end = word.trim_end_matches([' ', '\n', ',', ':', ';']);
        let fraction = end.contains('.') && end.parse::<f64>().is_ok();
        result.push_str(if fraction { "#" } else { end });
        result.push_str(&word[end.len()..]);
    }
    result
}

#[test]
fn inspect_describes_a_gguf_file() {
    let output = glossator(&["inspect", &reference("gguf/goldens/llama.gguf")]);
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn inspect_describes_a_directory_with_windows_and_caps() {
    insta::assert_snapshot!(stdout(&glossator(&["inspect", &reference("goldens/gemma2")])));
    insta::assert_snapshot!(stdout(&glossator(&["inspect", &reference("goldens/neox_parallel")])));
}

#[test]
fn inspect_lists_every_hook_point_as_json() {
    let json = stdout(&glossator(&["inspect", "--json", &reference("goldens/gpt2")]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let names: Vec<&str> =
        json["hook_points"].as_array().unwrap().iter().map(|hook| hook["name"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[1]), ("hook_embed", "hook_pos_embed"));
    assert!(names.contains(&"blocks.1.mlp.hook_post"));
    assert_eq!(json["architecture"]["d_mlp"], 20);
    assert_eq!(json["tokenizer"]["vocab_size"], 288);
}

#[test]
fn errors_say_what_to_do() {
    let output = glossator(&["inspect", "EleutherAI/pythia-70m"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(stderr(&output), @"error: EleutherAI/pythia-70m: no such file or directory; for the Hugging Face repository write hf:EleutherAI/pythia-70m
");
}

#[test]
fn activations_are_the_goldens_under_their_own_names() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("a.safetensors");
    let golden = std::fs::read(reference("goldens/llama/goldens.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let tokens = first_golden_tokens();
    let list = tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let output = glossator(&[
        "activations",
        "--model",
        &reference("goldens/llama"),
        "--tokens",
        &list,
        "--hook",
        "blocks.*.mlp.hook_post",
        "--hook",
        "blocks.1.attn.hook_pattern",
        "--logits",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(stdout(&output), "");
    let written = std::fs::read(&out).unwrap();
    let written = SafeTensors::deserialize(&written).unwrap();
    let mut names = written.names();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "blocks.0.mlp.hook_post",
            "blocks.1.attn.hook_pattern",
            "blocks.1.mlp.hook_post",
            "logits",
            "tokens"
        ]
    );
    assert_eq!(written.tensor("tokens").unwrap().dtype(), Dtype::I64);
    assert_eq!(written.tensor("tokens").unwrap().shape(), [tokens.len()]);
    for name in names.into_iter().filter(|name| *name != "tokens") {
        let (got, want) = (written.tensor(name).unwrap(), golden.tensor(&golden_name(name)).unwrap());
        assert_close(&floats(got.data()), &floats(want.data()), name);
    }
}

/// The first sequence that the goldens were made with.
fn first_golden_tokens() -> Vec<u32> {
    let text = std::fs::read_to_string(reference("goldens/llama/goldens.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(json["sequences"][0].clone()).unwrap()
}

fn golden_name(name: &str) -> String {
    format!("0/{name}")
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn assert_close(got: &[f32], want: &[f32], name: &str) {
    assert_eq!(got.len(), want.len(), "{name}");
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x * x)).sum::<f64>().sqrt();
    let difference = norm(&mut got.iter().zip(want).map(|(a, b)| a - b));
    assert!(difference <= 1e-4 * norm(&mut want.iter().copied()), "{name}: off by {difference}");
}

#[test]
fn several_sequences_get_an_axis_and_interventions_take_effect() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.txt");
    std::fs::write(&file, "5 6 7\n8,9,10\n").unwrap();
    let out = directory.path().join("a.safetensors");
    let run = |extra: &[&str]| {
        let model = reference("goldens/qwen2");
        let mut arguments = vec!["activations", "--model", &model, "--tokens-file", file.to_str().unwrap()];
        arguments.extend(["--hook", "blocks.0.mlp.hook_post", "--out", out.to_str().unwrap()]);
        arguments.extend(extra);
        glossator(&arguments)
    };
    assert!(run(&["--intervene", "blocks.0.mlp.hook_post:3@-1=1.5"]).status.success());
    let written = std::fs::read(&out).unwrap();
    let written = SafeTensors::deserialize(&written).unwrap();
    assert_eq!(written.tensor("tokens").unwrap().shape(), [2, 3]);
    let post = written.tensor("blocks.0.mlp.hook_post").unwrap();
    assert_eq!(post.shape(), [2, 3, 20]);
    let values = floats(post.data());
    assert!([2, 5].iter().all(|row| (values[row * 20 + 3] - 1.5).abs() < f32::EPSILON));

    let refused = run(&["--intervene", "blocks.0.mlp.hook_post:99=0"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("there is no unit 99"), "{}", stderr(&refused));
}

#[test]
fn generation_repeats_and_reports() {
    let model = reference("gguf/goldens/llama.gguf");
    let arguments = ["generate", "--model", &model, "--tokens", "5,6,7", "--max-tokens", "6", "--json"];
    let first = stdout(&glossator(&arguments));
    assert_eq!(first, stdout(&glossator(&arguments)));
    let json: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(json["prompt"], serde_json::json!([5, 6, 7]));
    assert_eq!(json["tokens"].as_array().unwrap().len(), 6);
    let sampled = |seed: &str| {
        let sampling = ["--temperature", "1.5", "--top-p", "0.9", "--seed", seed];
        stdout(&glossator(&[&arguments[..], &sampling].concat()))
    };
    assert_eq!(sampled("1"), sampled("1"));
    assert_ne!(sampled("1"), sampled("2"));
}

#[test]
fn doctor_sees_that_an_untrained_model_guesses() {
    let output = glossator(&["doctor", &reference("goldens/llama"), "--max-tokens", "100"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = without_fractions(&String::from_utf8(output.stdout).unwrap());
    // Which tokens tie in bf16 depends on the processor.
    let (findings, bf16): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| !line.contains(" bf16 "));
    assert_eq!(bf16.len(), 1);
    insta::assert_snapshot!(findings.join("\n"));
}
