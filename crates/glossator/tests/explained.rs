//! `glossator explain` and `score` on a tiny model: killed where they write and started again, they end with the rows of
//! an undisturbed run; and two of them at once do not get in each other's way silently.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

#[path = "common/killing.rs"]
mod killing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use glossator_atlas::Atlas;
use killing::{copy, kill_while_writing, rows, succeed};
use rusqlite::Connection;

/// Records the tiny model on made-up sentences.
fn record(directory: &Path) -> PathBuf {
    let model =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama").canonicalize().unwrap();
    let corpus = directory.join("texts.txt");
    let words = ["the", "model", "reads", "a", "long", "text", "about", "neurons", "and", "42", "cats."];
    let text: Vec<&str> =
        (0..6000_usize).map(|place| words[(place * place + place / 7 + place % 13) % words.len()]).collect();
    fs::write(&corpus, text.join(" ")).unwrap();
    let atlas = directory.join("atlas");
    let mut command = Command::new(cargo_bin("glossator"));
    command.args(["record", "--hook", "blocks.*.mlp.hook_post", "--hook", "blocks.0.hook_resid_post"]);
    command.args(["--context", "16", "--tokens", "3000", "--precision", "f32", "--model"]).arg(model);
    succeed(command.arg("--corpus").arg(corpus).arg("--atlas").arg(&atlas));
    atlas
}

/// The two commands, one after the other.
fn commands(atlas: &Path) -> [Command; 2] {
    ["explain", "score"].map(|name| {
        let mut command = Command::new(cargo_bin("glossator"));
        command.arg(name).args(["--explainer", "lookup,n2g", "--atlas"]).arg(atlas);
        if name == "explain" {
            command.args(["--precision", "f32"]);
        }
        command
    })
}

#[test]
fn killed_runs_end_with_the_same_rows() {
    let directory = tempfile::tempdir().unwrap();
    let recorded = record(directory.path());
    let (whole, killed) = (directory.path().join("whole"), directory.path().join("killed"));
    copy(&recorded, &whole);
    commands(&whole).iter_mut().for_each(|command| drop(succeed(command)));
    let expected = rows(&whole);
    assert!(expected.len() > 1000);
    let mut kills = 0;
    for nth in [1, 2, 4] {
        copy(&recorded, &killed);
        for (mut command, mut again) in commands(&killed).into_iter().zip(commands(&killed)) {
            kills += usize::from(kill_while_writing(&mut command, &killed, nth));
            // Whoever only reads sees what was stored before.
            Atlas::open(&killed).unwrap().progress().unwrap();
            succeed(&mut again);
        }
        assert!(rows(&killed) == expected, "killed at write {nth}: other rows");
    }
    assert!(kills > 1, "only {kills} runs were killed while they wrote");
}

#[test]
fn a_second_writer_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = record(directory.path());
    let other = Connection::open(atlas.join("atlas.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let [mut explain, _] = commands(&atlas);
    let output = explain.args(["--limit", "3"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("another process is writing to this atlas"),
        "{errors}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    let [mut explain, _] = commands(&atlas);
    succeed(explain.args(["--limit", "3"]));
}

#[test]
fn another_schema_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = record(directory.path());
    let database = Connection::open(atlas.join("atlas.sqlite")).unwrap();
    database.pragma_update(None, "user_version", 77).unwrap();
    let [mut explain, _] = commands(&atlas);
    let output = explain.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("schema version is 77"), "{errors}");
    let path = atlas.join("manifest.json");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace("\"schema_version\": 2", "\"schema_version\": 77")).unwrap();
    let [mut explain, _] = commands(&atlas);
    let output = explain.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = "atlas schema version 77, this glossator reads version 2";
    assert!(!output.status.success() && errors.contains(expected), "{errors}");
}
