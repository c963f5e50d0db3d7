//! What tests of killed runs need: a copy of an atlas, every row in it, and a way to kill a run where it writes.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Copies a directory in the place of another.
pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() { copy(&path, &to) } else { assert!(fs::copy(&path, &to).unwrap() > 0) }
    }
}

/// Every row that explainers and scorers write, but for the times it took.
pub(crate) fn rows(atlas: &Path) -> Vec<Vec<Value>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(atlas.join("atlas.sqlite"), flags).unwrap();
    let mut rows = Vec::new();
    for query in [
        "SELECT id, unit, explainer, text, body, score FROM explanations ORDER BY id",
        "SELECT * FROM scores ORDER BY explanation, scorer, metric, sample, split",
        "SELECT * FROM simulations ORDER BY explanation, scorer, window",
        "SELECT unit, explainer, scorer, split, requests, prompt_tokens, completion_tokens, failures, cost FROM calls
         ORDER BY unit, explainer, scorer, split",
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
pub(crate) fn kill_while_writing(command: &mut Command, atlas: &Path, nth: usize) -> bool {
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
