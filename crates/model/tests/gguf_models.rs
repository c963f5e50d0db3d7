//! The same tiny model from a Hugging Face directory and from the GGUF file that llama.cpp's own converter made of it
//! (`reference/gguf/make_models.py`): architecture and every weight must agree.

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

use std::path::{Path, PathBuf};

use glossator_model::checkpoint::{Checkpoint, LayerWeights, NormWeights};
use glossator_model::{Architecture, Family, RotarySpec};

const MODELS: [&str; 10] = [
    "gpt2",
    "neox_parallel",
    "neox_sequential",
    "llama",
    "llama_tied",
    "llama_yarn",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
];

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference")
}

fn both(name: &str) -> (Checkpoint, Checkpoint) {
    let directory = reference().join("goldens").join(name);
    let gguf = reference().join("gguf/goldens").join(format!("{name}.gguf"));
    (Checkpoint::open(&directory).unwrap(), Checkpoint::open(&gguf).unwrap())
}

/// What the GGUF file says, in the terms of the directory, where GGUF cannot say the same.
fn comparable(gguf: &Architecture, directory: &Architecture) -> Architecture {
    let mut same = gguf.clone();
    if matches!(same.family, Family::Gemma2 | Family::Gemma3) {
        // The gains are stored with 1 added, and the query scale of a model of no known size is not stored.
        same.norm.unit_offset = true;
        same.attention_scale = directory.attention_scale;
    }
    if same.family == Family::Gemma3 {
        // GGUF knows only the real models' pattern, one global layer in six.
        same.layers.clone_from(&directory.layers);
    }
    same.rotaries.clone_from(&directory.rotaries);
    same
}

fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let close = got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-6 * want.abs());
    assert!(close, "{what}: {got:?} instead of {want:?}");
}

#[test]
fn the_architectures_agree() {
    for name in MODELS {
        let (directory, gguf) = both(name);
        let (directory, gguf) = (directory.architecture(), gguf.architecture());
        assert_eq!(&comparable(gguf, directory), directory, "{name}");
        assert_eq!(gguf.rotaries.len(), directory.rotaries.len(), "{name}");
        for (got, want) in gguf.rotaries.iter().zip(&directory.rotaries) {
            let RotarySpec { dims, inverse_frequencies, attention_factor } = got;
            assert_eq!(*dims, want.dims, "{name}");
            assert_close(&[*attention_factor], &[want.attention_factor], name);
            assert_close(inverse_frequencies, &want.inverse_frequencies, name);
        }
    }
}

#[test]
fn the_weights_agree() {
    for name in MODELS {
        let (directory, gguf) = both(name);
        let offset = if directory.architecture().norm.unit_offset { 1.0 } else { 0.0 };
        assert_eq!(gguf.embedding().unwrap(), directory.embedding().unwrap(), "{name}");
        assert_eq!(gguf.position_embedding().unwrap(), directory.position_embedding().unwrap(), "{name}");
        assert_eq!(gguf.unembedding().unwrap(), directory.unembedding().unwrap(), "{name}");
        assert_eq!(gguf.final_norm().unwrap(), shifted(directory.final_norm().unwrap(), offset), "{name}");
        assert_eq!(gguf.parameter_count(), directory.parameter_count(), "{name}");
        for layer in 0..directory.architecture().n_layers {
            let want = shifted_layer(directory.layer(layer).unwrap(), offset);
            assert_eq!(gguf.layer(layer).unwrap(), want, "{name}, layer {layer}");
        }
    }
}

fn shifted(mut norm: NormWeights, offset: f32) -> NormWeights {
    norm.weight.iter_mut().for_each(|weight| *weight += offset);
    norm
}

fn shifted_layer(layer: LayerWeights, offset: f32) -> LayerWeights {
    let shift = |norm: Option<NormWeights>| norm.map(|norm| shifted(norm, offset));
    LayerWeights {
        ln1: shifted(layer.ln1, offset),
        ln2: shift(layer.ln2),
        ln1_post: shift(layer.ln1_post),
        ln2_post: shift(layer.ln2_post),
        q_norm: shift(layer.q_norm),
        k_norm: shift(layer.k_norm),
        ..layer
    }
}

#[test]
fn the_tokenizers_agree() {
    for name in MODELS {
        let (directory, gguf) = both(name);
        let (directory, gguf) = (directory.tokenizer().unwrap(), gguf.tokenizer().unwrap());
        let text = "The glossators wrote in margins</s>: naïve 12345,\n\n  why?";
        assert_eq!(gguf.encode(text).unwrap(), directory.encode(text).unwrap(), "{name}");
        assert_eq!((gguf.bos(), gguf.eos()), (directory.bos(), directory.eos()), "{name}");
        assert_eq!(gguf.vocab_size(), directory.vocab_size(), "{name}");
        for id in 0..directory.vocab_size() as u32 {
            assert_eq!(gguf.token_bytes(id), directory.token_bytes(id), "{name}, token {id}");
            assert_eq!(gguf.is_special(id), directory.is_special(id), "{name}, token {id}");
        }
        assert_eq!(gguf.decode(&gguf.encode(text).unwrap()), text, "{name}");
    }
}
