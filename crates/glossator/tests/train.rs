//! `glossator train` on a tiny model: every variant, resumption after kill -9, the cache, and what stops a run.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use glossator_dictionary::{Activation, formats};

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama").canonicalize().unwrap()
}

fn corpus(directory: &Path) -> PathBuf {
    let path = directory.join("texts.jsonl");
    let words = ["the", "model", "reads", "a", "long", "text", "about", "neurons", "and", "42", "cats."];
    let line = |document: usize| {
        let word = |place: usize| words[(document * 7 + place * place + place / 3) % words.len()];
        let text: Vec<&str> = (0..120 + document % 50).map(word).collect();
        serde_json::json!({ "text": format!("{document} {}", text.join(" ")) }).to_string()
    };
    fs::write(&path, (0..150).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    path
}

/// A run file with these dictionaries.
fn run_file(directory: &Path, tokens: usize, dictionaries: &str) -> PathBuf {
    let path = directory.join("run.toml");
    let quoted = |path: PathBuf| format!("'{}'", path.display());
    let [model, corpus, out] = [model(), corpus(directory), directory.join("out")].map(quoted);
    let text = format!(
        "model = {model}\ncorpus = [{corpus}]\nout = {out}\ntokens = {tokens}\ncontext = 16\nbatch = 64\n\
         buffer = 512\nwindows_per_document = 64\nevaluation_tokens = 256\nprecision = \"f32\"\n{dictionaries}"
    );
    fs::write(&path, text).unwrap();
    path
}

fn glossator<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(cargo_bin("glossator")).args(arguments).output().unwrap()
}

fn train(run: &Path, out: &Path, extra: &[&str]) -> serde_json::Value {
    let mut arguments = vec!["train", run.to_str().unwrap(), "--json", "--out", out.to_str().unwrap()];
    arguments.extend(extra);
    let output = glossator(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every file of the trained dictionaries and their metrics. Event files hold the time of day: of them the length.
fn result(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
        let read = |file: &str| fs::read(entry.join(file)).unwrap();
        for file in ["metrics.jsonl", "dictionary/sae_weights.safetensors", "dictionary/cfg.json"] {
            files.insert(format!("{name}/{file}"), read(file));
        }
        let events = read("events.out.tfevents.0").len();
        files.insert(format!("{name}/events"), events.to_le_bytes().to_vec());
    }
    assert!(!files.is_empty());
    files
}

const VARIED: &str = r#"
[[dictionary]]
name = "batch"
hook = "blocks.0.hook_resid_post"
latents = 96
variant = "batch_top_k"
k = 4
average = 0.9
dead_after = 2000

[[dictionary]]
name = "annealed"
hook = "blocks.0.mlp.hook_post"
latents = 64
variant = "p_annealing"
l1 = 0.05
p_start = 5
learning_rate = 1e-3

[[dictionary]]
name = "resampled"
hook = "blocks.0.hook_resid_post"
latents = 64
variant = "l1"
l1 = 0.2
resample_at = [20, 40, 80, 120]
resample_window = 5
learning_rate = 5e-3
"#;

/// kill -9 while a checkpoint is being written and at other times; resumed, the run ends with the same bytes.
#[test]
fn killed_and_resumed_a_run_ends_with_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_file(directory.path(), 12_000, VARIED);
    let (whole, broken) = (directory.path().join("whole"), directory.path().join("broken"));
    train(&run, &whole, &[]);
    let (checkpoint, partial) = (broken.join("training.checkpoint"), broken.join("training.partial"));
    let written = || fs::metadata(&checkpoint).and_then(|metadata| metadata.modified()).ok();
    let mut kills = 0;
    for attempt in 0..12 {
        let _ = fs::remove_file(&partial);
        let before = written();
        let mut child = Command::new(cargo_bin("glossator"))
            .args(["train", run.to_str().unwrap(), "--checkpoint-minutes", "0"])
            .args(["--out", broken.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every other time as soon as a checkpoint is begun, else a while after a new one is there.
        let reached = || if attempt % 2 == 0 { partial.exists() } else { written() != before };
        while !reached() && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        if attempt % 2 == 1 {
            sleep(Duration::from_millis(3 * attempt));
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 2, "the run was over before it could be killed");
    // What a kill in the middle of a write leaves behind.
    fs::write(&partial, b"GLOSTRN1 torn").unwrap();
    train(&run, &broken, &["--checkpoint-minutes", "0"]);
    assert_eq!(result(&broken), result(&whole));
    assert!(!checkpoint.exists());
    assert!(fs::read_to_string(broken.join("report.html")).unwrap().contains("</svg>"));
    let metrics = fs::read_to_string(whole.join("resampled/metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"resampled\":"), "nothing was resampled");
}

const EVERY_VARIANT: &str = r#"
[[dictionary]]
name = "top"
hook = "blocks.0.hook_resid_post"
latents = 64
k = [2, 4]

[[dictionary]]
name = "multi"
hook = "blocks.0.hook_resid_post"
latents = 64
variant = "multi_top_k"
k = 4

[[dictionary]]
name = "matryoshka"
hook = "blocks.0.hook_resid_post"
latents = 64
variant = "matryoshka"
groups = [0.25, 0.25, 0.5]
k = 4

[[dictionary]]
name = "batch"
hook = "blocks.0.hook_resid_post"
latents = 64
variant = "batch_top_k"
k = 4

[[dictionary]]
name = "norm"
hook = "blocks.0.hook_resid_post"
latents = 64
variant = "l1_by_norm"
l1 = 5
penalty_warm_up = 10

[[dictionary]]
name = "jump"
hook = "blocks.0.hook_resid_post"
latents = 64
variant = "jump_relu"
normalisation = "unit"
l0 = 0.001
warm_up = 5

[[dictionary]]
name = "jump-target"
hook = "blocks.0.hook_resid_post"
latents = 64
variant = "jump_relu"
penalty = "target"
target_l0 = 8
l0 = 1.0
bandwidth = 0.1
threshold = 0.1

[[dictionary]]
name = "gated"
hook = "blocks.0.hook_resid_post"
latents = 64
variant = "gated"
l1 = 0.1

[[dictionary]]
name = "head"
hook = "blocks.0.attn.hook_z"
head = 1
latents = 16
k = 2

[[dictionary]]
name = "transcoder"
hook = "blocks.0.hook_resid_mid"
target_hook = "blocks.0.hook_mlp_out"
latents = 64
k = 4

[[dictionary]]
name = "skip"
hook = "blocks.0.hook_resid_mid"
target_hook = "blocks.0.hook_mlp_out"
skip = true
variant = "jump_relu"
latents = 64
l0 = 0.001

[[dictionary]]
name = "wider"
hook = "blocks.0.mlp.hook_in"
target_hook = "blocks.0.mlp.hook_post"
latents = 64
k = 4

[[dictionary]]
name = "gated-transcoder"
hook = "blocks.0.mlp.hook_in"
target_hook = "blocks.0.hook_mlp_out"
skip = true
variant = "gated"
latents = 64
l1 = 0.1
"#;

/// Every variant trains, is saved, loads, and is what it should be; several at once on one pass.
#[test]
fn every_variant_trains_and_loads_back() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_file(directory.path(), 6000, EVERY_VARIANT);
    let out = directory.path().join("out");
    let summary = train(&run, &out, &[]);
    let summaries = summary["dictionaries"].as_array().unwrap();
    assert_eq!(summaries.len(), 14);
    for summary in summaries {
        let name = summary["name"].as_str().unwrap();
        let (dictionary, _) = formats::read(Path::new(summary["path"].as_str().unwrap())).unwrap();
        let as_expected = matches!(
            (name, &dictionary.activation),
            ("top-k-2", Activation::TopK { k: 2, .. })
                | ("top-k-4" | "multi" | "head" | "transcoder" | "wider", Activation::TopK { k: 2 | 4, .. })
                | ("batch" | "matryoshka" | "jump" | "jump-target" | "skip", Activation::JumpRelu { .. })
                | ("norm", Activation::Relu)
                | ("gated" | "gated-transcoder", Activation::Gated { .. })
        );
        assert!(as_expected, "{name}: {:?}", dictionary.activation);
        assert_eq!(dictionary.skip.is_some(), matches!(name, "skip" | "gated-transcoder"));
        // Whatever format it is in, its file says between which hook points it belongs.
        let hook_out = dictionary.metadata.hook_out.as_deref();
        let written = match name {
            "transcoder" | "skip" | "gated-transcoder" => Some("blocks.0.hook_mlp_out"),
            "wider" => Some("blocks.0.mlp.hook_post"),
            _ => None,
        };
        assert_eq!(hook_out, written, "{name}");
        assert!(dictionary.metadata.hook.unwrap().starts_with("blocks.0."));
        assert_eq!(dictionary.metadata.head, (name == "head").then_some(1));
        let held_out = &summary["held_out"];
        assert!(held_out["l0"].is_number(), "{name}: {held_out}");
    }
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Share of dead latents") && page.contains("Loss recovered"));
}

/// A cache is announced, filled, used by another run for the same weights, and refused for other activations.
#[test]
fn a_cache_gives_the_same_weights_with_and_without_its_shards() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_file(directory.path(), 5000, VARIED);
    let [cache, first, second] = ["cache", "first", "second"].map(|name| directory.path().join(name));
    let arguments = ["--cache", cache.to_str().unwrap()];
    let begin = ["train", run.to_str().unwrap(), "--out", first.to_str().unwrap()];
    let output = glossator(begin.iter().chain(&arguments));
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && notes.contains("GiB in 1 shards, of which 0 are there"), "{notes}");
    let shard = cache.join("shard-00000.safetensors");
    let written = fs::metadata(&shard).unwrap().modified().unwrap();
    train(&run, &second, &arguments);
    assert_eq!(result(&first), result(&second));
    assert_eq!(fs::metadata(&shard).unwrap().modified().unwrap(), written, "the shard was written again");
    // One of its hook points alone is enough for a later run.
    let one = VARIED.split("\n\n").nth(1).unwrap();
    let part = directory.path().join("part.toml");
    let text = fs::read_to_string(&run).unwrap();
    let (head, _) = text.split_once("\n[[dictionary]]").unwrap();
    fs::write(&part, format!("{head}\n{one}\n")).unwrap();
    let third = directory.path().join("third");
    train(&part, &third, &arguments);
    assert_eq!(result(&third)["annealed/metrics.jsonl"], result(&first)["annealed/metrics.jsonl"]);
    let other = run_file(directory.path(), 3000, VARIED);
    let output = glossator(["train", other.to_str().unwrap(), "--cache", cache.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("holds other activations") && error.contains("corpus"), "{error}");
    // A shard that is cut off is refused by name.
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() - 2]).unwrap();
    let run = run_file(directory.path(), 5000, VARIED);
    let output = glossator(["train", run.to_str().unwrap(), "--cache", cache.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("shard-00000.safetensors is no whole shard"), "{error}");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let dictionary = "[[dictionary]]\nname = \"wild\"\nhook = \"blocks.0.hook_resid_post\"\nlatents = 32\n\
                      variant = \"l1_by_norm\"\nl1 = 1\nlearning_rate = 1e30\n";
    let run = run_file(directory.path(), 6000, dictionary);
    let output = glossator(["train", run.to_str().unwrap(), "--checkpoint-minutes", "0"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("wild: the loss of step") && error.contains("batches of windows"), "{error}");
    assert!(error.contains("last good checkpoint: "), "{error}");
    assert!(!directory.path().join("out/wild/dictionary").exists());
}

/// The loss of a step is that of the weights before its update: what the last update breaks shows in no loss.
#[test]
fn weights_that_the_last_update_makes_infinite_are_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let dictionary = "[[dictionary]]\nname = \"wild\"\nhook = \"blocks.0.hook_resid_post\"\nlatents = 32\n\
                      variant = \"l1_by_norm\"\nl1 = 1\nlearning_rate = 1e39\n";
    // One batch and no more.
    let run = run_file(directory.path(), 96, dictionary);
    let output = glossator(["train", run.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("1 steps of 64 rows"), "{error}");
    assert!(
        !output.status.success() && error.contains("wild: the update of step 1 has made weights"),
        "{error}"
    );
    assert!(error.contains("last good checkpoint: none yet"), "{error}");
    assert!(!directory.path().join("out/wild/dictionary").exists());
}

#[test]
fn contradictions_in_a_run_file_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let entry = |keys: &str| {
        format!("[[dictionary]]\nname = \"a\"\nhook = \"blocks.0.hook_resid_mid\"\nlatents = 32\n{keys}\n")
    };
    for (keys, message) in [
        ("variant = \"jump_relu\"", "a: this variant needs l0"),
        ("variant = \"l1\"\nl1 = 1.0\nk = 3", "a: this variant has no k"),
        ("k = 4\nskip = true", "a: skip is for transcoders"),
        ("k = 4\nresample_at = [10]", "a: resample_at is for the variant l1"),
        ("k = 40", "a: k is 40, but there are 32 latents"),
        ("k = 4\nhead = 9", "a: blocks.0.hook_resid_mid has no head 9"),
        ("k = 4\nvariant = \"matryoshka\"\ngroups = [0.9, 0.9]\n", "a: 32 latents do not divide into groups"),
        ("k = 4\nnonsense = 1", "unknown field `nonsense`"),
    ] {
        let run = run_file(directory.path(), 5000, &entry(keys));
        let output = glossator(["train", run.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(message), "`{message}` is not in:\n{error}");
        assert!(!error.contains("steps of"), "the run had begun before it was refused:\n{error}");
    }
}

/// A run on the model with its weights in a random order is another run, and its dictionaries say so.
#[test]
fn a_run_may_shuffle_the_weights_of_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let entry = "[[dictionary]]\nname = \"a\"\nhook = \"blocks.0.hook_resid_post\"\nlatents = 32\nk = 4\n";
    let [plain, shuffled] = ["plain", "shuffled"].map(|name| directory.path().join(name));
    let run = run_file(directory.path(), 3000, entry);
    train(&run, &plain, &[]);
    let run = run_file(directory.path(), 3000, &format!("shuffled_weights = true\n{entry}"));
    train(&run, &shuffled, &[]);
    let [plain, shuffled] = [plain, shuffled].map(|out| formats::read(&out.join("a/dictionary")).unwrap().0);
    assert_ne!(plain.encoder, shuffled.encoder);
    let model = |dictionary: &glossator_dictionary::Dictionary| dictionary.metadata.model.clone().unwrap();
    assert_eq!(model(&shuffled), format!("{} with shuffled weights", model(&plain)));
}
