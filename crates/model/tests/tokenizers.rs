//! Tokenizers from GGUF metadata against the libraries that define them and llama.cpp
//! (`reference/gguf/make_tokenizers.py`, `check_llama_cpp.mjs`).

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glossator_model::Tokenizer;
use glossator_model::checkpoint::Checkpoint;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/gguf/goldens")
}

fn check(name: &str, tokenizer: &Tokenizer, cases: &[Case], changes: bool) {
    for Case { text, ids } in cases {
        assert_eq!(&tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
        let decoded = tokenizer.decode(ids);
        if !changes {
            // SentencePiece may put a space before the text.
            assert!(decoded == *text || decoded == format!(" {text}"), "{name}: {text:?} became {decoded:?}");
        }
    }
}

#[test]
fn small_vocabularies_give_the_ids_of_the_original_libraries() {
    let text = std::fs::read_to_string(goldens().join("tokenizer_ids.json")).unwrap();
    let cases: BTreeMap<String, Vec<Case>> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 7);
    for (name, cases) in cases {
        let checkpoint = Checkpoint::open(&goldens().join(format!("tokenizer_{name}.gguf"))).unwrap();
        // These two compose characters first.
        let changes = name == "olmo" || name == "qwen2";
        check(&name, &checkpoint.tokenizer().unwrap(), &cases, changes);
    }
}

#[test]
fn the_demo_model_gives_the_ids_of_llama_cpp() {
    let path = common::demo_model();
    let tokenizer = Checkpoint::open(&path).unwrap().tokenizer().unwrap();
    let text = std::fs::read_to_string(goldens().join("smollm2_ids.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 24);
    check("SmolLM2", &tokenizer, &cases, false);
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.add_bos()), (Some(1), Some(2), false));
    assert!(tokenizer.is_special(1) && !tokenizer.is_special(100));
}

#[test]
fn tokens_are_shown_without_loss() {
    let smollm = Checkpoint::open(&goldens().join("tokenizer_smollm.gguf")).unwrap().tokenizer().unwrap();
    assert_eq!(smollm.token_text(smollm.token_id("Ġthe").unwrap()), " the");
    assert_eq!(smollm.token_text(smollm.token_id("Ċ").unwrap()), "\n");
    assert_eq!(smollm.token_text(smollm.token_id("ð").unwrap()), "\\xf0");
    assert_eq!(smollm.token_text(1_000_000), "<no token 1000000>");
    assert!(smollm.token_bytes(1_000_000).is_empty() && smollm.token_bytes(u32::MAX).is_empty());
    let llama = Checkpoint::open(&goldens().join("tokenizer_llama.gguf")).unwrap().tokenizer().unwrap();
    assert_eq!(llama.token_text(llama.token_id("<0xF0>").unwrap()), "\\xf0");
    assert_eq!(llama.token_text(llama.token_id("▁the").unwrap()), " the");
    assert!(llama.add_bos());
}
