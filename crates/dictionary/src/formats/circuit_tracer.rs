//! circuit-tracer's transcoders, and those published for it (mwhanna's, Neuronpedia's): one file for each layer.
//!
//! Format (github.com/safety-research/circuit-tracer, single_layer_transcoder.py): `layer_N.safetensors` with `W_enc`
//! and `W_dec` `[latents, d_model]`, `b_enc` `[latents]`, `b_dec` `[d_model]`, `activation_function.threshold`
//! `[latents]` for JumpReLU and `W_skip` `[d_model, d_model]` for skip transcoders. `config.yaml` beside the files names
//! the model and the hooks, and gives `activation` and `k` for TopK, which keeps the k largest z as they are.
//!
//! Of the YAML, only `name: value` lines at the left margin are read.

use std::collections::HashMap;
use std::path::Path;

use super::files::{malformed, read_small, unsupported};
use super::fold::{with_subtraction, without_scale};
use super::tensors::Named;
use super::{Format, safetensors_file};
use crate::activation::{Activation, Sign};
use crate::dictionary::{Dictionary, InputConvention};
use crate::error::DictionaryError;
use crate::metadata::Metadata;
use crate::normalisation::Normalisation;

const CONFIG: &str = "config.yaml";
const THRESHOLD: &str = "activation_function.threshold";

/// Reads one layer's file.
pub(super) fn read(path: &Path) -> Result<Dictionary, DictionaryError> {
    let tensors = safetensors_file::open(path)?;
    let config = config(&path.with_file_name(CONFIG))?;
    let (latents, width) = tensors.matrix_shape("W_enc")?;
    let text = |name: &str| config.get(name).map(String::as_str);
    let activation = match text("activation") {
        _ if tensors.has(THRESHOLD) => {
            let threshold = tensors.read(THRESHOLD, &[latents])?;
            // circuit-tracer has no ReLU around its JumpReLU, which makes a difference below zero only.
            if threshold.iter().any(|&threshold| threshold < 0.0) {
                return Err(unsupported(
                    &path.display().to_string(),
                    "a threshold below zero is not supported",
                ));
            }
            Activation::JumpRelu { threshold }
        }
        None | Some("relu" | "jump_relu" | "jumprelu") => Activation::Relu,
        Some("topk") => {
            let k = text("k").and_then(|k| k.parse().ok());
            let k = k.ok_or_else(|| malformed(&path.with_file_name(CONFIG), "activation topk without k"))?;
            Activation::TopK { k, sign: Sign::Signed }
        }
        Some(other) => {
            let message = format!("activation `{other}` is not supported (supported: relu, jumprelu, topk)");
            return Err(unsupported(&path.display().to_string(), &message));
        }
    };
    let layer = layer(path);
    let hook = |name: &str| {
        let (layer, hook) = (layer?, text(name)?);
        Some(format!("blocks.{layer}.{hook}"))
    };
    let skip = tensors.has("W_skip").then(|| tensors.read("W_skip", &[width, width])).transpose()?;
    Ok(Dictionary {
        d_input: width,
        d_output: width,
        latents,
        encoder: tensors.read("W_enc", &[latents, width])?,
        encoder_bias: tensors.read("b_enc", &[latents])?,
        decoder: tensors.read("W_dec", &[latents, width])?,
        decoder_bias: tensors.read("b_dec", &[width])?,
        skip,
        activation,
        input: InputConvention::default(),
        metadata: Metadata {
            model: text("model_name").map(str::to_owned),
            hook: hook("feature_input_hook"),
            hook_out: hook("feature_output_hook"),
            ..Metadata::default()
        },
    })
}

/// N of `layer_N.safetensors`.
fn layer(path: &Path) -> Option<usize> {
    path.file_stem()?.to_str()?.rsplit_once('_')?.1.parse().ok()
}

/// The plain values of a YAML file; none if there is no file.
fn config(path: &Path) -> Result<HashMap<String, String>, DictionaryError> {
    if !path.is_file() {
        return Ok(HashMap::new());
    }
    let text = read_small(path)?;
    let text = String::from_utf8_lossy(&text);
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let value = value.split(" #").next()?.trim().trim_matches(['"', '\'']);
        let plain = !name.starts_with([' ', '#', '-']) && !value.is_empty();
        plain.then(|| (name.trim().to_owned(), value.to_owned()))
    };
    Ok(text.lines().filter_map(value).collect())
}

/// Writes one layer's file; `config.yaml` describes all layers and is left alone.
pub(super) fn write(dictionary: &Dictionary, path: &Path) -> Result<(), DictionaryError> {
    let dictionary = without_scale(dictionary);
    let format = Format::CircuitTracer;
    if dictionary.input.normalisation != Normalisation::None {
        return Err(format.cannot("normalised inputs"));
    }
    if dictionary.d_input != dictionary.d_output {
        return Err(format.cannot("outputs of another width than inputs"));
    }
    let threshold = match &dictionary.activation {
        Activation::Relu => None,
        Activation::JumpRelu { threshold } => Some(threshold.clone()),
        Activation::BatchTopK { threshold, .. } => Some(vec![*threshold; dictionary.latents]),
        Activation::TopK { .. } => {
            return Err(format.cannot("TopK in one layer's file: k stands in config.yaml for all layers"));
        }
        Activation::Gated { .. } | Activation::GroupMax { .. } => {
            return Err(format.cannot("anything but ReLU, JumpReLU and BatchTopK"));
        }
    };
    let cannot_move = || format.cannot("a bias that is subtracted from inputs of another width");
    let dictionary = with_subtraction(&dictionary, false).ok_or_else(cannot_move)?;
    let (width, latents) = (dictionary.d_input, dictionary.latents);
    let mut weights = vec![
        Named::new("W_enc", &[latents, width], dictionary.encoder.clone()),
        Named::new("W_dec", &[latents, width], dictionary.decoder.clone()),
        Named::new("b_enc", &[latents], dictionary.encoder_bias.clone()),
        Named::new("b_dec", &[width], dictionary.decoder_bias.clone()),
    ];
    if let Some(threshold) = threshold {
        // Below zero nothing passes the ReLU of this format's dictionaries here, but circuit-tracer has none.
        let threshold = threshold.into_iter().map(|threshold| threshold.max(0.0)).collect();
        weights.push(Named::new(THRESHOLD, &[latents], threshold));
    }
    if let Some(skip) = &dictionary.skip {
        weights.push(Named::new("W_skip", &[width, width], skip.clone()));
    }
    safetensors_file::write(path, &weights)
}
