//! `convert`, `encode` and `verify` as a user runs them.

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use glossator_dictionary::formats::Format;
use glossator_dictionary::{Activation, Dictionary, InputConvention, Metadata, Normalisation, Sign};
use glossator_model::{Batch, HookPoint, Model, Precision};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

fn reference(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference").join(path)
}

fn glossator(arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("glossator").unwrap();
    command.env("NO_COLOR", "1").env_remove("RUST_LOG").args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[track_caller]
fn assert_close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x * x)).sum::<f64>().sqrt();
    let difference = norm(&mut got.iter().zip(want).map(|(a, b)| a - b));
    assert!(difference <= 1e-5 * norm(&mut want.iter().copied()), "off by {difference}");
}

/// A golden's inputs under the key `x`, with a leading axis of their own.
fn inputs(golden: &str, directory: &Path) -> PathBuf {
    let golden =
        std::fs::read(reference("dictionaries/goldens").join(golden).join("golden.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let inputs = golden.tensor("inputs").unwrap();
    let x = TensorView::new(Dtype::F32, vec![2, 12, 12], inputs.data()).unwrap();
    let path = directory.join("x.safetensors");
    std::fs::write(&path, safetensors::serialize([("x", x)], None).unwrap()).unwrap();
    path
}

#[test]
fn a_converted_dictionary_encodes_as_the_original() {
    let directory = tempfile::tempdir().unwrap();
    let source = reference("dictionaries/goldens/saelens_topk_rescaled");
    let target = directory.path().join("converted");
    let output = glossator(&["convert", text(&source), text(&target), "--to", "sparsify"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).ends_with("converted: 12 → 32 TopK 4 latents → 12 (saelens to sparsify)\n"));
    let x = inputs("saelens_topk_rescaled", directory.path());
    let y = directory.path().join("y.safetensors");
    let output = glossator(&["encode", text(&target), "--input", text(&x), "--out", text(&y), "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["rows"], &summary["latents"]), (&24.into(), &32.into()));
    let golden = std::fs::read(source.join("golden.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let written = std::fs::read(&y).unwrap();
    let written = SafeTensors::deserialize(&written).unwrap();
    for (name, width) in [("latents", 32), ("reconstruction", 12)] {
        let tensor = written.tensor(name).unwrap();
        assert_eq!(tensor.shape(), [2, 12, width]);
        assert_close(&floats(tensor.data()), &floats(golden.tensor(name).unwrap().data()));
    }

    let sparse = glossator(&["encode", text(&target), "--input", text(&x), "--out", text(&y), "--sparse"]);
    assert!(sparse.status.success(), "{}", stderr(&sparse));
    let written = std::fs::read(&y).unwrap();
    let written = SafeTensors::deserialize(&written).unwrap();
    assert_eq!(written.tensor("latents.row_ends").unwrap().shape(), [24]);
    let active =
        floats(golden.tensor("latents").unwrap().data()).iter().filter(|value| **value != 0.0).count();
    assert_eq!(written.tensor("latents.values").unwrap().shape(), [active]);
}

#[test]
fn conversions_that_cannot_be_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let source = reference("dictionaries/goldens/sparsify_groupmax");
    let output = glossator(&["convert", text(&source), text(directory.path()), "--to", "sparsify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is already there"), "{}", stderr(&output));
    let target = directory.path().join("x");
    let output = glossator(&["convert", text(&source), text(&target), "--to", "saelens"]);
    insta::assert_snapshot!(stderr(&output), @"error: the format saelens: cannot express GroupMax
");
    assert!(!target.exists());
}

/// A dictionary that reconstructs everything, or with `noise` nothing.
fn dictionary(width: usize, noise: bool) -> Dictionary {
    let latents = 2 * width;
    let mut encoder = vec![0.0; latents * width];
    for (latent, row) in encoder.chunks_exact_mut(width).enumerate() {
        row[latent % width] = if latent < width { 1.0 } else { -1.0 };
    }
    let mut decoder = encoder.clone();
    if noise {
        decoder.rotate_right(3);
    }
    Dictionary {
        d_input: width,
        d_output: width,
        latents,
        encoder,
        encoder_bias: vec![0.0; latents],
        decoder,
        decoder_bias: vec![0.0; width],
        skip: None,
        activation: Activation::Relu,
        input: InputConvention::default(),
        metadata: Metadata { hook: Some("blocks.1.hook_resid_pre".into()), ..Metadata::default() },
    }
}

#[test]
fn verify_tells_a_dictionary_that_fits_from_one_that_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let model = reference("goldens/llama");
    let verify = |noise: bool, extra: &[&str]| {
        let path = directory.path().join(format!("sae_{noise}"));
        Format::SaeLens.write(&dictionary(24, noise), &path).unwrap();
        let arguments = ["verify", text(&path), "--model", text(&model), "--max-tokens", "300"];
        glossator(&[&arguments, extra].concat())
    };
    let output = verify(false, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
    let output = verify(true, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["fits"], &report["hook"]), (&false.into(), &"blocks.1.hook_resid_pre".into()));
    assert!(report["fit"]["explained_variance"].as_f64().unwrap() < 0.5);
    let findings = report["findings"].to_string();
    assert!(findings.contains("is it a dictionary of this model?"), "{findings}");
    let output = verify(false, &["--hook", "blocks.1.mlp.hook_post"]);
    assert!(stderr(&output).contains("belongs to another model or hook point"), "{}", stderr(&output));
}

/// The files ask for inputs of norm √d, which are too small for the dictionary's thresholds; the model's own are not.
#[test]
fn verify_names_the_convention_that_fits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sae");
    let mut scaled = dictionary(24, false);
    scaled.activation = Activation::JumpRelu { threshold: vec![1.6; 48] };
    scaled.input.normalisation = Normalisation::ConstantNorm;
    Format::SaeLens.write(&scaled, &path).unwrap();
    let model = reference("goldens/llama");
    let output =
        glossator(&["verify", text(&path), "--model", text(&model), "--json", "--max-tokens", "300"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    let better = report["better"].as_array().unwrap();
    let changes: Vec<&str> = better.iter().map(|better| better["change"].as_str().unwrap()).collect();
    assert!(changes.contains(&"with inputs as they are"), "{changes:?}");
}

/// The report of `verify` on a dictionary of the tiny model.
fn verified(dictionary: &Dictionary, format: Format) -> serde_json::Value {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sae");
    format.write(dictionary, &path).unwrap();
    let model = reference("goldens/llama");
    let arguments = ["verify", text(&path), "--model", text(&model), "--json", "--max-tokens", "300"];
    let output = glossator(&arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)))
}

fn changes(report: &serde_json::Value) -> Vec<&str> {
    let better = report["better"].as_array().unwrap();
    better.iter().map(|better| better["change"].as_str().unwrap()).collect()
}

/// Every coordinate twice: as it is, and in a latent that is hardly active but writes as much. Only a k keeps those out.
#[test]
fn verify_names_the_variant_that_fits() {
    let single = dictionary(24, false);
    let twice = |first: f32, second: f32| {
        let scaled = |by: f32| single.encoder.iter().map(move |x| by * x).collect::<Vec<_>>();
        [scaled(first), scaled(second)].concat()
    };
    let mut lost = Dictionary {
        latents: 96,
        encoder: twice(1.0, 0.02),
        encoder_bias: vec![0.0; 96],
        decoder: twice(1.0, 50.0),
        ..single.clone()
    };
    let report = verified(&lost, Format::SaeLens);
    assert!(!report["fits"].as_bool().unwrap());
    assert!(changes(&report).contains(&"as TopK with k = 16"), "{report}");
    lost.activation = Activation::TopK { k: 16, sign: Sign::Positive };
    assert_eq!(verified(&lost, Format::SaeLens)["fits"], true);

    // Thresholds that let nothing pass do not belong to these weights; others only make it sparser.
    let thresholds = |threshold: f32| Dictionary {
        activation: Activation::JumpRelu { threshold: vec![threshold; 48] },
        ..single.clone()
    };
    let report = verified(&thresholds(100.0), Format::SaeLens);
    assert!(changes(&report).contains(&"as ReLU without thresholds"), "{report}");
    let report = verified(&thresholds(0.8), Format::SaeLens);
    let explained = report["fit"]["explained_variance"].as_f64().unwrap();
    assert!((0.5..0.95).contains(&explained), "the test needs another threshold: {explained}");
    assert!(!changes(&report).contains(&"as ReLU without thresholds"), "{report}");
}

/// A transcoder that predicts what leaves the block, and in truth reads just that under another name.
#[test]
fn verify_names_the_hook_point_that_fits() {
    let mut moved = dictionary(24, false);
    moved.metadata.hook = Some("blocks.0.hook_resid_mid".into());
    moved.metadata.hook_out = Some("blocks.1.hook_resid_pre".into());
    let report = verified(&moved, Format::SaeLens);
    assert_eq!(report["better"][0]["change"], "reading blocks.0.hook_resid_post", "{report}");
    assert!(report["better"][0]["fit"]["explained_variance"].as_f64().unwrap() > 0.9999);
}

/// A dictionary that knows by heart what the tiny model's attention writes with BOS before each window, or without, and
/// nothing else: the latent of the nearest of those activations is active.
fn memory_of_beginnings(bos: bool) -> Dictionary {
    let model = Model::load(text(&reference("goldens/llama")), Precision::F32).unwrap();
    let tokenizer = model.tokenizer().unwrap();
    let hook: HookPoint = "blocks.0.hook_attn_out".parse().unwrap();
    let mut tokens = tokenizer.encode(include_str!("../src/commands/doctor/text.txt")).unwrap();
    tokens.truncate(300);
    let first = tokenizer.bos().filter(|_| bos);
    let mut rows = Vec::new();
    // The two lengths of window that `verify` reads.
    for length in [16, model.architecture().context_length.min(128) - 1] {
        for window in tokens.chunks(length) {
            let window: Vec<u32> = first.into_iter().chain(window.iter().copied()).collect();
            let captured = model.capture(&Batch::from_sequences(&[window]), &[hook]).unwrap();
            rows.extend_from_slice(&captured[&hook].data);
        }
    }
    let squares: Vec<f32> = rows.chunks_exact(24).map(|row| row.iter().map(|x| x * x).sum()).collect();
    let decoder = rows
        .chunks_exact(24)
        .zip(&squares)
        .flat_map(|(row, square)| row.iter().map(move |x| 2.0 * x / square));
    Dictionary {
        latents: squares.len(),
        decoder: decoder.collect(),
        // The largest of x·r - ‖r‖²/2 is that of the nearest r, and it is ‖r‖²/2 where x = r.
        encoder_bias: squares.iter().map(|square| -square / 2.0).collect(),
        encoder: rows,
        activation: Activation::TopK { k: 1, sign: Sign::Positive },
        metadata: Metadata { hook: Some(hook.to_string()), prepend_bos: Some(bos), ..Metadata::default() },
        ..dictionary(24, false)
    }
}

#[test]
fn verify_says_when_the_bos_rule_alone_is_wrong() {
    for (bos, right, wrong) in [
        (
            true,
            "with BOS before each window",
            "it fits better with BOS before each window (windows of 16 tokens;",
        ),
        (false, "without BOS", "it fits better without BOS (windows of 16 tokens;"),
    ] {
        let mut memory = memory_of_beginnings(bos);
        let report = verified(&memory, Format::SaeLens);
        assert_eq!((&report["fits"], &report["begins_with_bos"]), (&true.into(), &bos.into()), "{report}");
        let findings = report["findings"].to_string();
        assert!(findings.contains(&format!("the BOS rule is right: {right} it explains")), "{findings}");

        memory.metadata.prepend_bos = Some(!bos);
        let report = verified(&memory, Format::SaeLens);
        assert_eq!(
            (&report["fits"], &report["begins_with_bos"]),
            (&false.into(), &(!bos).into()),
            "{report}"
        );
        assert_eq!(changes(&report).len(), 1, "nothing but BOS is wrong: {report}");
        let findings = report["findings"].to_string();
        assert!(findings.contains(wrong), "{findings}");
    }
    // What fits everything fits both, and that is said.
    let report = verified(&dictionary(24, false), Format::SaeLens);
    let findings = report["findings"].to_string();
    assert!(findings.contains("it cannot be told from its fit which BOS rule is right"), "{findings}");
}
