//! What several tests of the program need: a tiny model and a corpus of made-up sentences.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::path::{Path, PathBuf};

/// The directory of the tiny Llama.
pub(crate) fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama").canonicalize().unwrap()
}

/// Writes a corpus of made-up sentences into a directory.
pub(crate) fn corpus(directory: &Path) -> PathBuf {
    let path = directory.join("texts.jsonl");
    let words = ["the", "model", "reads", "a", "long", "text", "about", "neurons", "and", "42", "cats."];
    let line = |document: usize| {
        let word = |place: usize| words[(document * 7 + place * place + place / 3) % words.len()];
        let text: Vec<&str> = (0..120 + document % 50).map(word).collect();
        serde_json::json!({ "text": format!("{document} {}", text.join(" ")) }).to_string()
    };
    std::fs::write(&path, (0..200).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    path
}
