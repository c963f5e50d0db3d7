//! `glossator corpus` as a user sees it: the whole output, on texts and a tiny model that are committed.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama")
}

/// The command in a directory that holds two texts, a bad line and a bad byte.
fn corpus(directory: &Path, arguments: &[&str]) -> Command {
    std::fs::write(
        directory.join("a.txt"),
        "The quick brown fox jumps over the lazy dog, again and again.\n",
    )
    .unwrap();
    std::fs::write(
        directory.join("b.jsonl"),
        b"{\"text\": \"A second text,\\nof two lines \xff and no more.\", \"id\": 1}\n{\"id\": 2}\n",
    )
    .unwrap();
    let mut command = Command::cargo_bin("glossator").unwrap();
    command.current_dir(directory).arg("corpus").args(arguments).arg("--model").arg(model());
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

#[test]
fn the_report_says_what_was_read_and_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [".", "--context", "8", "--held-out", "0", "--skip-bad-lines", "--samples", "2"];
    let text = stdout(&mut corpus(directory.path(), &arguments));
    insta::assert_snapshot!(text, @"");
}

#[test]
fn json_holds_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["a.txt", "--context", "8", "--held-out", "0", "--samples", "1", "--json"];
    let text = stdout(&mut corpus(directory.path(), &arguments));
    insta::assert_snapshot!(text, @"");
}

#[test]
fn standard_input_is_read_as_a_file_is() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--context", "8", "--held-out", "0", "--skip-bad-lines", "--json", "--samples", "0"];
    let from_file = stdout(corpus(directory.path(), &arguments).arg("b.jsonl"));
    let lines = std::fs::read(directory.path().join("b.jsonl")).unwrap();
    let from_pipe =
        stdout(corpus(directory.path(), &arguments).args(["-", "--format", "jsonl"]).write_stdin(lines));
    assert_eq!(from_file.replace("b.jsonl", "-"), from_pipe);
}

#[test]
fn errors_name_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let error = |arguments: &[&str]| {
        let assert = corpus(directory.path(), arguments).assert().code(1);
        String::from_utf8(assert.get_output().stderr.clone()).unwrap()
    };
    insta::assert_snapshot!(error(&["."]), @"");
    insta::assert_snapshot!(error(&["a.txt", "--held-out", "0"]), @"");
    insta::assert_snapshot!(error(&["*.parquet"]), @"");
}
