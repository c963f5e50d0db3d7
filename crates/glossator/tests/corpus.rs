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
    insta::assert_snapshot!(text, @r#"
    files        2, 106 bytes of text
    documents    2, of which 0 repeat another
    split        2 train, 0 held out
    tokenised    2 documents, of which 0 are shorter than a window
    windows      10, without BOS
    rounds       2
    tokens       80 of 1000000 wanted
    not UTF-8    1
    bad lines    1
    fingerprint  70a51f17967c12ab249061446ebe4932
    not UTF-8: ./b.jsonl, byte 39
    left out: ./b.jsonl:2: no field `text`; the fields are: id (--text-field chooses one)

    window 0: ./a.txt, document 0, token 17
      "x jumps "

    window 5: ./b.jsonl, document 0, token 2
      "second tex"
    "#);
}

#[test]
fn json_holds_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["a.txt", "--context", "8", "--held-out", "0", "--samples", "1", "--json"];
    let text = stdout(&mut corpus(directory.path(), &arguments));
    insta::assert_snapshot!(text, @r#"
    {
      "fingerprint": "c74f0490bded03a79a9efb1a1fba6c46",
      "files": 1,
      "text_bytes": 62,
      "documents": 1,
      "duplicates": 0,
      "train_documents": 1,
      "held_out_documents": 0,
      "tokenised_documents": 1,
      "short_documents": 0,
      "windows": 6,
      "tokens": 48,
      "wanted_tokens": 1000000,
      "rounds": 2,
      "begins_with_bos": false,
      "invalid_utf8_count": 0,
      "invalid_utf8": [],
      "bad_line_count": 0,
      "bad_lines": [],
      "samples": [
        {
          "window": 0,
          "path": "a.txt",
          "ordinal": 0,
          "offset": 17,
          "text": "x jumps "
        }
      ]
    }
    "#);
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
    insta::assert_snapshot!(error(&["."]), @r#"error: ./b.jsonl:2: no field `text`; the fields are: id (--text-field chooses one); --skip-bad-lines leaves such lines out"#);
    insta::assert_snapshot!(error(&["a.txt", "--held-out", "0"]), @r#"error: no window of 64 tokens in the train split: each of its 1 documents is shorter (the longest has 62 bytes)"#);
    insta::assert_snapshot!(error(&["*.parquet"]), @r#"error: no text found at `*.parquet`: no file matches"#);
}
