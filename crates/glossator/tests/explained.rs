//! `glossator explain` and `score` on a tiny model: killed where they write and started again, they end with the rows of
//! an undisturbed run; and two of them at once do not get in each other's way silently.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use glossator_atlas::Atlas;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

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

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
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

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() { copy(&path, &to) } else { assert!(fs::copy(&path, &to).unwrap() > 0) }
    }
}

/// Every row that explainers and scorers write, but for the times it took.
fn rows(atlas: &Path) -> Vec<Vec<Value>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(atlas.join("atlas.sqlite"), flags).unwrap();
    let mut rows = Vec::new();
    for query in [
        "SELECT id, unit, explainer, text, body, score FROM explanations ORDER BY id",
        "SELECT * FROM scores ORDER BY explanation, scorer, metric, sample, split",
        "SELECT * FROM simulations ORDER BY explanation, scorer, window",
        "SELECT id, score, explanation FROM units ORDER BY id",
        "SELECT rowid, name, tokens, explanations FROM unit_search ORDER BY rowid",
    ] {
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let read =
            statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
        rows.extend(read.map(Result::unwrap));
    }
    rows
}

/// Runs until the database is being written for the `nth` time, and kills it there. Whether it came to that.
fn kill_while_writing(mut command: Command, atlas: &Path, nth: usize) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let journal = atlas.join("atlas.sqlite-journal");
    let (mut writes, mut writing) = (0, false);
    while child.try_wait().unwrap().is_none() {
        let now = journal.exists();
        writes += usize::from(now && !writing);
        writing = now;
        if writes == nth {
            child.kill().unwrap();
            return child.wait().unwrap().code().is_none();
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    false
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
        for (command, mut again) in commands(&killed).into_iter().zip(commands(&killed)) {
            kills += usize::from(kill_while_writing(command, &killed, nth));
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
