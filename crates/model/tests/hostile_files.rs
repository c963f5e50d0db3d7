//! Damaged and malicious model files: each is refused with an error that names the problem, without a panic and without
//! memory for what it claims to hold.

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

use std::path::{Path, PathBuf};

use glossator_model::checkpoint::Checkpoint;
use proptest::prelude::*;
use tempfile::TempDir;

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference")
}

/// Opens a model and reads everything in it; the error if there is one.
fn read_all(path: &Path) -> Result<(), String> {
    let read = || {
        let checkpoint = Checkpoint::open(path)?;
        checkpoint.embedding()?;
        checkpoint.position_embedding()?;
        checkpoint.final_norm()?;
        checkpoint.unembedding()?;
        (0..checkpoint.architecture().n_layers).try_for_each(|layer| checkpoint.layer(layer).map(drop))?;
        checkpoint.tokenizer().map(drop)
    };
    read().map_err(|error| error.to_string())
}

/// A copy of the tiny Llama with one file changed (or, with `None`, removed).
fn llama_with(file: &str, contents: Option<&[u8]>) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(reference().join("goldens/llama").join(name), copy.path().join(name)).unwrap();
    }
    match contents {
        Some(contents) => std::fs::write(copy.path().join(file), contents).unwrap(),
        None => std::fs::remove_file(copy.path().join(file)).unwrap(),
    }
    copy
}

fn llama_file(file: &str) -> Vec<u8> {
    std::fs::read(reference().join("goldens/llama").join(file)).unwrap()
}

#[track_caller]
fn assert_refused(path: &Path, reason: &str) {
    let error = read_all(path).unwrap_err();
    assert!(error.contains(reason), "`{error}` does not say `{reason}`");
}

/// `config.json` of the tiny Llama with one field replaced.
fn config_with(field: &str, value: &str) -> Vec<u8> {
    let mut config: serde_json::Value = serde_json::from_slice(&llama_file("config.json")).unwrap();
    config[field] = serde_json::from_str(value).unwrap();
    serde_json::to_vec(&config).unwrap()
}

#[test]
fn the_untouched_models_are_accepted() {
    assert_eq!(read_all(&reference().join("goldens/llama")), Ok(()));
    assert_eq!(read_all(&reference().join("gguf/goldens/llama.gguf")), Ok(()));
}

#[test]
fn impossible_configurations_are_refused() {
    for (field, value, reason) in [
        ("model_type", "\"bert\"", "`bert` is not supported"),
        ("model_type", "null", "model_type"),
        ("num_hidden_layers", "4000000000", "layers"),
        ("num_hidden_layers", "-1", "num_hidden_layers"),
        ("num_hidden_layers", "1e300", "num_hidden_layers"),
        ("hidden_size", "18446744073709551615", "is not a size"),
        ("hidden_size", "0", "is not a size"),
        ("hidden_size", "\"24\"", "expected a whole number"),
        ("hidden_size", "32", "has shape"),
        ("num_attention_heads", "0", "number of heads"),
        ("num_key_value_heads", "3", "does not divide"),
        ("head_dim", "7", "rotated dimensions"),
        ("rms_norm_eps", "-1", "epsilon"),
        ("vocab_size", "1000", "tensor `model.embed_tokens.weight` has shape [288, 24]"),
        ("rope_theta", "0", "rope_theta"),
        ("rope_scaling", "{\"rope_type\": \"longrope\"}", "`longrope` is not supported"),
        ("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0}", "factor"),
        ("rope_scaling", "[1]", "expected an object"),
        ("hidden_act", "\"mish\"", "`mish` is not supported"),
    ] {
        let copy = llama_with("config.json", Some(&config_with(field, value)));
        let error = read_all(copy.path()).unwrap_err();
        assert!(error.contains(reason), "{field} = {value}: `{error}` does not say `{reason}`");
    }
}

#[test]
fn configurations_that_are_not_json_objects_are_refused() {
    for (contents, reason) in [
        (&b""[..], "not valid JSON"),
        (b"{\"hidden_size\": 24", "not valid JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"\xff\xfe\x00", "not valid JSON"),
    ] {
        assert_refused(llama_with("config.json", Some(contents)).path(), reason);
    }
    let deep = "[".repeat(200_000);
    assert_refused(llama_with("config.json", Some(deep.as_bytes())).path(), "not valid JSON");
    assert_refused(llama_with("config.json", None).path(), "there is no config.json");
}

#[test]
fn damaged_safetensors_are_refused() {
    let good = llama_file("model.safetensors");
    let cut = &good[..good.len() - 1];
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 64]].concat();
    let overlapping = header(
        r#"{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},"b":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}"#,
    );
    let outside = header(r#"{"a":{"dtype":"F32","shape":[16],"data_offsets":[64,128]}}"#);
    let overflow =
        header(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,64]}}"#);
    for contents in [cut, &good[..100], &[], &huge, &overlapping, &outside, &overflow] {
        assert_refused(
            llama_with("model.safetensors", Some(contents)).path(),
            "not a whole safetensors file",
        );
    }
    let integers =
        header(r#"{"model.embed_tokens.weight":{"dtype":"I32","shape":[288,24],"data_offsets":[0,64]}}"#);
    assert_refused(llama_with("model.safetensors", Some(&integers)).path(), "not a whole safetensors file");
}

#[test]
fn missing_and_foreign_weights_are_named() {
    let other = std::fs::read(reference().join("goldens/gpt2/model.safetensors")).unwrap();
    assert_refused(
        llama_with("model.safetensors", Some(&other)).path(),
        "tensor `model.embed_tokens.weight` is missing",
    );
    assert_refused(llama_with("model.safetensors", None).path(), "there is no .safetensors file");
    let pickled = llama_with("model.safetensors", None);
    std::fs::write(pickled.path().join("pytorch_model.bin"), b"\x80\x02cos\nsystem\n").unwrap();
    assert_refused(pickled.path(), "pickle");
}

#[test]
fn an_index_cannot_reach_outside_its_directory() {
    for (index, reason) in [
        (r#"{"weight_map":{"a":"../../etc/passwd"}}"#, "not a plain file name"),
        (r#"{"weight_map":{"a":"/etc/passwd"}}"#, "not a plain file name"),
        (r#"{"weight_map":{"a":7}}"#, "something else than file names"),
        (r#"{"weight_map":[]}"#, "weight_map"),
        (r#"{"weight_map":{"a":"model-00009-of-00009.safetensors"}}"#, "model-00009-of-00009.safetensors"),
    ] {
        assert_refused(llama_with("model.safetensors.index.json", Some(index.as_bytes())).path(), reason);
    }
}

#[test]
fn broken_tokenizers_are_named() {
    assert_refused(llama_with("tokenizer.json", Some(b"{}")).path(), "not a tokenizer");
    assert_refused(llama_with("tokenizer.json", None).path(), "there is no tokenizer.json");
}

fn gguf(name: &str) -> Vec<u8> {
    std::fs::read(reference().join("gguf/goldens").join(name)).unwrap()
}

fn saved(contents: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), contents).unwrap();
    file
}

/// The file with the bytes after the first occurrence of `key` (and `skip` more) replaced.
fn gguf_with(key: &str, skip: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = gguf("llama.gguf");
    let at = file.windows(key.len()).position(|window| window == key.as_bytes()).unwrap() + key.len() + skip;
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn damaged_gguf_files_are_refused() {
    let good = gguf("llama.gguf");
    let header = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let max = u64::MAX.to_le_bytes();
    let mut unknown = gguf("llama.gguf");
    let value = unknown.windows(5).position(|window| window == b"llama").unwrap();
    unknown[value..value + 5].copy_from_slice(b"rwkv7");
    for (contents, reason) in [
        (b"".to_vec(), "truncated"),
        (b"GGML....".to_vec(), "not a GGUF file"),
        (header(4, &1u32.to_le_bytes()), "version 1 is too old"),
        (header(4, &3u32.to_be_bytes()), "big-endian"),
        (header(4, &77u32.to_le_bytes()), "version 77"),
        (header(8, &max), "number of tensors"),
        (header(16, &max), "number of metadata pairs"),
        (header(24, &max), "metadata key"),
        (good[..good.len() - 4].to_vec(), "truncated"),
        (good[..5000].to_vec(), "truncated"),
        (unknown, "`rwkv7` is not supported"),
        // A key's value begins with its 4-byte type.
        (gguf_with("llama.block_count", 4, &u32::MAX.to_le_bytes()), "layers"),
        (gguf_with("llama.embedding_length", 4, &25u32.to_le_bytes()), "has shape"),
        (gguf_with("llama.attention.head_count", 0, &99u32.to_le_bytes()), "unknown type 99"),
        // An array: 4 bytes of element type, then 8 of length.
        (gguf_with("tokenizer.ggml.tokens", 8, &max), "length of array"),
        (gguf_with("tokenizer.ggml.tokens", 4, &9u32.to_le_bytes()), "array of arrays"),
        // A tensor: 4 bytes of rank, 8 for each dimension, 4 of type, 8 of offset.
        (gguf_with("token_embd.weight", 0, &9u32.to_le_bytes()), "9 dimensions"),
        (gguf_with("token_embd.weight", 4, &max), "larger than any file"),
        (gguf_with("token_embd.weight", 20, &200u32.to_le_bytes()), "type 200 is not supported"),
        (gguf_with("token_embd.weight", 20, &2u32.to_le_bytes()), "do not fill blocks of 32"),
        (gguf_with("token_embd.weight", 24, &max), "larger than any file"),
        (gguf_with("token_embd.weight", 24, &(1u64 << 40).to_le_bytes()), "truncated"),
        (gguf_with("token_embd.weight", 24, &64u64.to_le_bytes()), "overlap"),
        (gguf_with("tokenizer.ggml.pre", 12, b"gpt-9"), "`gpt-9` is not supported"),
        (gguf_with("tokenizer.ggml.bos_token_id", 4, &70_000u32.to_le_bytes()), "bos_token_id"),
    ] {
        let file = saved(&contents);
        let error = read_all(file.path()).unwrap_err();
        assert!(error.contains(reason), "`{error}` does not say `{reason}`");
    }
}

#[test]
fn a_path_that_does_not_exist_is_named() {
    assert_refused(Path::new("no/such/model.gguf"), "no/such/model.gguf");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a few flipped bytes in the header do, reading ends with a value or an error.
    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((0usize..9000, any::<u8>()), 1..6)) {
        let mut file = gguf("llama.gguf");
        for (at, byte) in flips {
            file[at] = byte;
        }
        let _ = read_all(saved(&file).path());
    }

    /// The same for a file that ends anywhere.
    #[test]
    fn truncated_files_never_panic(length in 0usize..80_000) {
        let file = gguf("llama.gguf");
        prop_assert!(read_all(saved(&file[..length]).path()).is_err());
    }
}
