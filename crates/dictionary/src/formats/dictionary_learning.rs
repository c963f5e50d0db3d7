//! dictionary_learning (saprmarks, Karvonen): a directory with `ae.pt` and `config.json`.
//!
//! Format as of version 0.1: a state dictionary whose keys depend on `trainer.dict_class`; `.weight` of a linear map is
//! `[outputs, inputs]`, `W_enc` is `[d, latents]` and `W_dec` `[latents, d]`.
//!
//! | class | keys | decoder bias subtracted |
//! |---|---|---|
//! | `AutoEncoder` | `bias`, `encoder.weight`, `encoder.bias`, `decoder.weight` | yes |
//! | `AutoEncoderNew` | `encoder.weight`, `encoder.bias`, `decoder.weight`, `decoder.bias` | no |
//! | `GatedAutoEncoder` | `decoder_bias`, `encoder.weight`, `r_mag`, `gate_bias`, `mag_bias`, `decoder.weight` | yes |
//! | `AutoEncoderTopK`, `BatchTopKSAE` | `k`, `threshold`, `encoder.*`, `decoder.weight`, `b_dec` | yes |
//! | `JumpReluAutoEncoder` | `W_enc`, `b_enc`, `W_dec`, `b_dec`, `threshold` | no |
//! | `MatryoshkaBatchTopKSAE` | `W_enc`, `b_enc`, `W_dec`, `b_dec`, `k`, `threshold`, `group_sizes` | yes |
//!
//! The package scales decoder rows of an `AutoEncoder` to norm 1 when it loads one, and encoder rows by what they had,
//! so its latents are those of the file times the norms. Here latents are those of the file. Backups in the middle of a
//! run hold the state under `ae`, with `norm_factor`: what inputs were divided by.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::Format;
use super::files::{make_directory, malformed, read_json, unsupported, write_json};
use super::fold::{with_subtraction, without_scale};
use super::tensors::{Named, Tensors, transpose};
use super::torch::{self, Entry, Plain};
use crate::activation::{Activation, Sign};
use crate::dictionary::{Dictionary, InputConvention};
use crate::error::DictionaryError;
use crate::metadata::Metadata;
use crate::normalisation::Normalisation;

pub(super) const WEIGHTS: &str = "ae.pt";
const CONFIG: &str = "config.json";

#[derive(Deserialize)]
struct Config {
    trainer: Trainer,
    buffer: Option<Buffer>,
}

#[derive(Deserialize)]
struct Trainer {
    dict_class: Option<String>,
    lm_name: Option<String>,
    submodule_name: Option<String>,
}

#[derive(Deserialize)]
struct Buffer {
    ctx_len: Option<usize>,
}

/// Reads a directory, or an `.pt` file with the configuration beside it or one directory up.
pub(super) fn read(path: &Path) -> Result<Dictionary, DictionaryError> {
    let file = if path.is_dir() { path.join(WEIGHTS) } else { path.to_owned() };
    let config: Option<(Config, serde_json::Value)> =
        config_of(&file).map(|path| read_json(&path)).transpose()?;
    let state = torch::open(&file)?;
    let keys = Keys::new(&state.tensors);
    let class = match config.as_ref().and_then(|(config, _)| config.trainer.dict_class.clone()) {
        Some(class) => class,
        None => keys.class()?.to_owned(),
    };
    let normalisation = match state.plain.get("norm_factor") {
        Some(Plain::Float(factor)) if keys.nested => Normalisation::Scale((1.0 / factor) as f32),
        _ => Normalisation::None,
    };
    let mut dictionary = keys.read(&class)?;
    dictionary.input.normalisation = normalisation;
    if let Some((config, original)) = config {
        dictionary.metadata.model = config.trainer.lm_name;
        dictionary.metadata.hook = config.trainer.submodule_name;
        dictionary.metadata.context_size = config.buffer.and_then(|buffer| buffer.ctx_len);
        dictionary.metadata.original_config = Some(original);
    }
    Ok(dictionary)
}

/// The configuration of a weights file; checkpoints lie one directory below theirs.
fn config_of(file: &Path) -> Option<PathBuf> {
    let directory = file.parent()?;
    [Some(directory), directory.parent()]
        .into_iter()
        .flatten()
        .map(|directory| directory.join(CONFIG))
        .find(|path| path.is_file())
}

/// The state dictionary, at the top or under `ae`.
struct Keys<'t> {
    tensors: &'t Tensors,
    nested: bool,
}

impl<'t> Keys<'t> {
    fn new(tensors: &'t Tensors) -> Self {
        Self { tensors, nested: tensors.has("ae.encoder.weight") || tensors.has("ae.W_enc") }
    }

    fn name(&self, key: &str) -> String {
        if self.nested { format!("ae.{key}") } else { key.to_owned() }
    }

    fn has(&self, key: &str) -> bool {
        self.tensors.has(&self.name(key))
    }

    /// The class that has these keys, if only one has.
    fn class(&self) -> Result<&'static str, DictionaryError> {
        let path = self.tensors.path();
        if self.has("group_sizes") {
            Ok("MatryoshkaBatchTopKSAE")
        } else if self.has("r_mag") {
            Ok("GatedAutoEncoder")
        } else if self.has("W_enc") {
            Ok("JumpReluAutoEncoder")
        } else if self.has("b_dec") {
            Err(malformed(
                path,
                "AutoEncoderTopK and BatchTopKSAE save the same tensors: which one it is stands in config.json, \
                 which is not there",
            ))
        } else if self.has("decoder.bias") {
            Ok("AutoEncoderNew")
        } else if self.has("bias") {
            Ok("AutoEncoder")
        } else {
            Err(malformed(path, "its tensors are those of no class of dictionary_learning"))
        }
    }

    fn read(&self, class: &str) -> Result<Dictionary, DictionaryError> {
        let tensors = self.tensors;
        let joined = matches!(class, "JumpReluAutoEncoder" | "MatryoshkaBatchTopKSAE");
        let (latents, width) = if joined {
            let (width, latents) = tensors.matrix_shape(&self.name("W_enc"))?;
            (latents, width)
        } else {
            tensors.matrix_shape(&self.name("encoder.weight"))?
        };
        let vector = |key: &str, length: usize| tensors.read(&self.name(key), &[length]);
        let k = || tensors.size(&self.name("k"));
        let threshold = || tensors.scalar(&self.name("threshold"));
        let (activation, encoder_bias, decoder_bias) = match class {
            "AutoEncoder" => (Activation::Relu, "encoder.bias", "bias"),
            "AutoEncoderNew" => (Activation::Relu, "encoder.bias", "decoder.bias"),
            "GatedAutoEncoder" => {
                let (log_magnitude_scale, magnitude_bias) =
                    (vector("r_mag", latents)?, vector("mag_bias", latents)?);
                (Activation::Gated { log_magnitude_scale, magnitude_bias }, "gate_bias", "decoder_bias")
            }
            "AutoEncoderTopK" => {
                (Activation::TopK { k: k()?, sign: Sign::Positive }, "encoder.bias", "b_dec")
            }
            "BatchTopKSAE" => {
                (Activation::BatchTopK { k: k()?, threshold: threshold()? }, "encoder.bias", "b_dec")
            }
            "JumpReluAutoEncoder" => {
                (Activation::JumpRelu { threshold: vector("threshold", latents)? }, "b_enc", "b_dec")
            }
            "MatryoshkaBatchTopKSAE" => {
                (Activation::BatchTopK { k: k()?, threshold: threshold()? }, "b_enc", "b_dec")
            }
            other => {
                let message = format!("dict_class `{other}` is not supported");
                return Err(unsupported(&tensors.path().display().to_string(), &message));
            }
        };
        let (encoder, decoder) = if joined {
            let encoder = tensors.read_transposed(&self.name("W_enc"), [latents, width])?;
            (encoder, tensors.read(&self.name("W_dec"), &[latents, width])?)
        } else {
            let encoder = tensors.read(&self.name("encoder.weight"), &[latents, width])?;
            (encoder, tensors.read_transposed(&self.name("decoder.weight"), [latents, width])?)
        };
        let nested_groups = match class {
            "MatryoshkaBatchTopKSAE" => tensors.sizes(&self.name("group_sizes"))?,
            _ => Vec::new(),
        };
        let subtract_decoder_bias = !matches!(class, "AutoEncoderNew" | "JumpReluAutoEncoder");
        Ok(Dictionary {
            d_input: width,
            d_output: width,
            latents,
            encoder,
            encoder_bias: vector(encoder_bias, latents)?,
            decoder,
            decoder_bias: vector(decoder_bias, width)?,
            skip: None,
            activation,
            input: InputConvention { subtract_decoder_bias, ..InputConvention::default() },
            metadata: Metadata { nested_groups, ..Metadata::default() },
        })
    }
}

/// Writes a directory.
pub(super) fn write(dictionary: &Dictionary, directory: &Path) -> Result<(), DictionaryError> {
    let dictionary = without_scale(dictionary);
    let format = Format::DictionaryLearning;
    if dictionary.input.normalisation != Normalisation::None {
        return Err(format.cannot("normalised inputs"));
    }
    if dictionary.d_input != dictionary.d_output || dictionary.skip.is_some() {
        return Err(format.cannot("transcoders of another width or with a skip connection"));
    }
    let nested = !dictionary.metadata.nested_groups.is_empty();
    let (class, subtract) = match dictionary.activation {
        Activation::Relu if dictionary.input.subtract_decoder_bias => ("AutoEncoder", true),
        Activation::Relu => ("AutoEncoderNew", false),
        Activation::Gated { .. } => ("GatedAutoEncoder", true),
        Activation::TopK { sign: Sign::Positive, .. } => ("AutoEncoderTopK", true),
        Activation::BatchTopK { .. } if nested => ("MatryoshkaBatchTopKSAE", true),
        Activation::BatchTopK { .. } => ("BatchTopKSAE", true),
        Activation::JumpRelu { .. } => ("JumpReluAutoEncoder", false),
        Activation::TopK { .. } => return Err(format.cannot("TopK that keeps negative values")),
        Activation::GroupMax { .. } => return Err(format.cannot("GroupMax")),
    };
    let cannot_move = || format.cannot("a bias that is subtracted from inputs of another width");
    let dictionary = with_subtraction(&dictionary, subtract).ok_or_else(cannot_move)?;
    make_directory(directory)?;
    torch::write(&directory.join(WEIGHTS), &entries(&dictionary, class))?;
    write_json(&directory.join(CONFIG), &config(&dictionary, class))
}

fn entries(dictionary: &Dictionary, class: &str) -> Vec<Entry> {
    let (width, latents) = (dictionary.d_input, dictionary.latents);
    let vector = |name, values: &[f32]| Entry::Floats(Named::new(name, &[values.len()], values.to_vec()));
    let number = |name, value: usize| Entry::Integers {
        name,
        shape: Vec::new(),
        values: vec![value as i64],
        wide: false,
    };
    let scalar = |name, value: f32| Entry::Floats(Named::new(name, &[], vec![value]));
    let joined = matches!(class, "JumpReluAutoEncoder" | "MatryoshkaBatchTopKSAE");
    let mut entries = if joined {
        let encoder = transpose(&dictionary.encoder, latents, width);
        vec![
            Entry::Floats(Named::new("W_enc", &[width, latents], encoder)),
            Entry::Floats(Named::new("W_dec", &[latents, width], dictionary.decoder.clone())),
        ]
    } else {
        let decoder = transpose(&dictionary.decoder, latents, width);
        vec![
            Entry::Floats(Named::new("encoder.weight", &[latents, width], dictionary.encoder.clone())),
            Entry::Floats(Named::new("decoder.weight", &[width, latents], decoder)),
        ]
    };
    let (encoder_bias, decoder_bias) = match class {
        "AutoEncoder" => ("encoder.bias", "bias"),
        "AutoEncoderNew" => ("encoder.bias", "decoder.bias"),
        "GatedAutoEncoder" => ("gate_bias", "decoder_bias"),
        "AutoEncoderTopK" | "BatchTopKSAE" => ("encoder.bias", "b_dec"),
        _ => ("b_enc", "b_dec"),
    };
    entries.push(vector(encoder_bias, &dictionary.encoder_bias));
    entries.push(vector(decoder_bias, &dictionary.decoder_bias));
    match &dictionary.activation {
        Activation::Gated { log_magnitude_scale, magnitude_bias } => {
            entries.push(vector("r_mag", log_magnitude_scale));
            entries.push(vector("mag_bias", magnitude_bias));
        }
        // −1 stands for a threshold that was never set.
        Activation::TopK { k, .. } => entries.extend([number("k", *k), scalar("threshold", -1.0)]),
        Activation::BatchTopK { k, threshold } => {
            entries.extend([number("k", *k), scalar("threshold", *threshold)]);
        }
        Activation::JumpRelu { threshold } => entries.push(vector("threshold", threshold)),
        Activation::Relu | Activation::GroupMax { .. } => {}
    }
    if class == "MatryoshkaBatchTopKSAE" {
        let groups = &dictionary.metadata.nested_groups;
        entries.push(Entry::Integers {
            name: "group_sizes",
            shape: vec![groups.len()],
            values: groups.iter().map(|&size| size as i64).collect(),
            wide: true,
        });
    }
    entries
}

fn config(dictionary: &Dictionary, class: &str) -> serde_json::Value {
    let metadata = &dictionary.metadata;
    let mut trainer = json!({
        "dict_class": class,
        "activation_dim": dictionary.d_input,
        "dict_size": dictionary.latents,
        "lm_name": metadata.model,
        "submodule_name": metadata.hook,
    });
    if let Activation::TopK { k, .. } | Activation::BatchTopK { k, .. } = dictionary.activation {
        trainer["k"] = json!(k);
    }
    if class == "MatryoshkaBatchTopKSAE" {
        trainer["group_sizes"] = json!(metadata.nested_groups);
    }
    json!({ "trainer": trainer, "buffer": { "ctx_len": metadata.context_size } })
}
