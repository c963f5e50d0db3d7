//! `glossator record` and `merge` on a tiny model: at once, in shards, killed and resumed, and from a run file,
//! the atlas has the same bytes.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use common::{corpus, model};
use glossator_atlas::{Atlas, ExcerptKind};
use glossator_model::{Batch, HookPoint, Model, Precision, UnitId};

fn glossator(corpus: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("glossator"));
    command.args(["record", "--hook", "blocks.*.mlp.hook_post", "--hook", "blocks.0.hook_resid_post"]);
    command.args(["--context", "16", "--tokens", "3000", "--batch-windows", "8", "--precision", "f32"]);
    command.arg("--model").arg(model()).arg("--corpus").arg(corpus).args(arguments);
    command
}

fn succeed(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Every file of an atlas; the manifest without its times.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).unwrap();
            if path.ends_with("manifest.json") {
                let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                manifest["stages"]
                    .as_object_mut()
                    .unwrap()
                    .values_mut()
                    .for_each(|stage| *stage = true.into());
                bytes = manifest.to_string().into_bytes();
            }
            files.insert(path.strip_prefix(directory).unwrap().to_owned(), bytes);
        }
    }
    files
}

fn assert_same(one: &Path, two: &Path) {
    let (one, two) = (contents(one), contents(two));
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    for (name, bytes) in &one {
        assert!(bytes == &two[name], "{} differs", name.display());
    }
}

#[test]
fn the_atlas_holds_what_the_model_does() {
    let directory = tempfile::tempdir().unwrap();
    let corpus = corpus(directory.path());
    let path = directory.path().join("atlas");
    let output = succeed(glossator(&corpus, &["--json", "--atlas", path.to_str().unwrap()]));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let atlas = Atlas::open(&path).unwrap();
    assert_eq!(summary["units"], atlas.unit_count());
    let model = Model::load(model().to_str().unwrap(), Precision::F32).unwrap();
    let ignored = atlas.manifest().run.ignored_positions as usize;
    for hook in [HookPoint::mlp_post(0), HookPoint::mlp_post(1), HookPoint::resid_post(0)] {
        let unit = UnitId::new(hook, 3);
        let record = atlas.unit(unit).unwrap();
        assert_eq!(record.statistics.tokens, atlas.manifest().run.tokens);
        for excerpt in &record.excerpts {
            let batch = Batch::from_sequences(&[&excerpt.tokens]);
            let values = &model.capture(&batch, &[hook]).unwrap()[&hook];
            let column: Vec<f32> = values.data.chunks(values.shape[1]).map(|row| row[3]).collect();
            assert_eq!(column, excerpt.activations);
            assert!(excerpt.max <= record.statistics.max);
            assert_eq!(excerpt.max, column[ignored..].iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
        assert_eq!(record.excerpts[0].kind, ExcerptKind::Top);
        assert_eq!(record.excerpts[0].window, record.statistics.max_window);
        let weights = model.logit_weights(&model.output_direction(unit).unwrap()).unwrap();
        let best = record.top_logits[0];
        assert!(weights.iter().all(|weight| *weight <= best.weight * 1.0001 + 1e-6));
        assert!((weights[best.token as usize] - best.weight).abs() < 1e-5);
        assert_eq!(record.neighbours.len(), 10);
        assert!(record.neighbours.iter().all(|neighbour| neighbour.unit != unit));
        let own = model.output_direction(unit).unwrap();
        let other = model.output_direction(record.neighbours[0].unit).unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let cosine = dot(&own, &other) / (dot(&own, &own) * dot(&other, &other)).sqrt();
        assert!((cosine - record.neighbours[0].cosine).abs() < 1e-5);
    }
}

#[test]
fn positions_that_are_skipped_count_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let corpus = corpus(directory.path());
    let path = directory.path().join("atlas");
    succeed(glossator(&corpus, &["--skip-first", "5", "--atlas", path.to_str().unwrap()]));
    let atlas = Atlas::open(&path).unwrap();
    let run = &atlas.manifest().run;
    assert_eq!((run.ignored_positions, run.tokens), (5, run.windows * 11));
    let record = atlas.unit(UnitId::new(HookPoint::mlp_post(0), 3)).unwrap();
    assert_eq!(record.histogram.iter().map(|bucket| bucket.count).sum::<u64>(), run.tokens);
    assert!(record.statistics.max_position >= 5);
    for excerpt in &record.excerpts {
        let largest = excerpt.activations[5..].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(excerpt.max, largest);
    }
    let output = glossator(&corpus, &["--skip-first", "16", "--atlas", "none"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("--skip-first 16 leaves nothing"), "{message}");
}

#[test]
fn shards_merge_to_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let corpus = corpus(directory.path());
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    succeed(glossator(&corpus, &["--atlas", &path("whole")]));
    for part in ["1/3", "2/3", "3/3"] {
        let out = path(&format!("part {}", &part[..1]));
        succeed(glossator(&corpus, &["--atlas", &path("parts"), "--shard", part, "--out", &out]));
    }
    let mut merge = Command::new(cargo_bin("glossator"));
    merge.args(["merge", &path("part 3"), &path("part 1"), &path("part 2"), "--atlas", &path("merged")]);
    succeed(merge);
    assert_same(&directory.path().join("whole"), &directory.path().join("merged"));
    let mut incomplete = Command::new(cargo_bin("glossator"));
    incomplete.args(["merge", &path("part 1"), &path("part 2"), "--atlas", &path("incomplete")]);
    let output = incomplete.output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not complete: 2 of 3 given"));
}

#[test]
fn a_killed_run_ends_with_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let corpus = corpus(directory.path());
    let (whole, killed) = (directory.path().join("whole"), directory.path().join("killed"));
    succeed(glossator(&corpus, &["--atlas", whole.to_str().unwrap()]));
    // Killed where it stands: as soon as there is a checkpoint, after the first tables, near the end.
    for sign in ["recording.checkpoint", "units.parquet", "manifest.json"] {
        let _ = fs::remove_dir_all(&killed);
        let arguments = ["--checkpoint-minutes", "0", "--atlas", killed.to_str().unwrap()];
        let mut child = glossator(&corpus, &arguments).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while !killed.join(sign).exists() && started.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        succeed(glossator(&corpus, &arguments));
        assert_same(&whole, &killed);
    }
}

#[test]
fn a_run_file_gives_the_same_run_and_flags_override_it() {
    let directory = tempfile::tempdir().unwrap();
    let corpus = corpus(directory.path());
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    succeed(glossator(&corpus, &["--atlas", &path("one")]));
    let again = |arguments: &[&str]| {
        let mut command = Command::new(cargo_bin("glossator"));
        command.args(["record", "--run", &path("one/run.toml")]).args(arguments);
        command
    };
    succeed(again(&["--atlas", &path("two")]));
    assert_same(&directory.path().join("one"), &directory.path().join("two"));
    succeed(again(&["--atlas", &path("three"), "--seed", "5", "--hook", "blocks.1.mlp.hook_post"]));
    let atlas = Atlas::open(path("three")).unwrap();
    assert_eq!((atlas.manifest().run.seed, atlas.hooks().len()), (5, 1));

    let refused = |mut command: Command, message: &str| {
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(message), "{errors}");
    };
    refused(again(&["--atlas", &path("one"), "--seed", "5"]), "holds another run");
    refused(again(&["--atlas", &path("four"), "--memory-limit", "0"]), "--memory-limit");
    fs::write(directory.path().join("wrong.toml"), "colour = \"red\"").unwrap();
    let mut wrong = Command::new(cargo_bin("glossator"));
    wrong.args(["record", "--run", &path("wrong.toml"), "--atlas", &path("five")]);
    refused(wrong, "`colour` is no flag");
}
