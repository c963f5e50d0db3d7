//! EleutherAI's sparsify: a directory with `cfg.json` and `sae.safetensors`.
//!
//! Format as of sparsify 1.3: `encoder.weight` `[latents, d_in]`, `encoder.bias` `[latents]`, `W_dec`
//! `[latents, d_in]`, `b_dec` `[d_in]`, and `W_skip` `[d_in, d_in]` with a skip connection. Latents are the `k` largest
//! of max(z, 0) (`topk`), or the largest of each of `k` runs (`groupmax`). The decoder bias is subtracted from inputs
//! unless the dictionary is a transcoder. Early files have `signed`: the k largest z as they are.
//!
//! sparsify names the module that is read in the directory's name alone, and passes over fields that it does not know. What is
//! written here says where it comes from under `metadata`, as SAELens does.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::files::{make_directory, malformed, read_json, unsupported, write_json};
use super::fold::{with_subtraction, without_scale};
use super::source::{self, Source};
use super::tensors::Named;
use super::{Format, safetensors_file};
use crate::activation::{Activation, Sign};
use crate::dictionary::{Dictionary, InputConvention};
use crate::error::DictionaryError;
use crate::metadata::Metadata;
use crate::normalisation::Normalisation;

pub(super) const WEIGHTS: &str = "sae.safetensors";
const CONFIG: &str = "cfg.json";

#[derive(Deserialize)]
struct Config {
    d_in: usize,
    k: usize,
    num_latents: Option<usize>,
    expansion_factor: Option<usize>,
    activation: Option<String>,
    #[serde(default)]
    signed: bool,
    #[serde(default)]
    transcode: bool,
    #[serde(default)]
    skip_connection: bool,
    metadata: Option<Source>,
}

/// Reads a directory.
pub(super) fn read(directory: &Path) -> Result<Dictionary, DictionaryError> {
    let path = directory.join(CONFIG);
    let (config, original): (Config, _) = read_json(&path)?;
    let tensors = safetensors_file::open(&directory.join(WEIGHTS))?;
    let width = config.d_in;
    let expanded = config.expansion_factor.and_then(|factor| factor.checked_mul(width));
    let latents = config.num_latents.filter(|&latents| latents > 0).or(expanded);
    let latents =
        latents.ok_or_else(|| malformed(&path, "neither num_latents nor expansion_factor says the size"))?;
    let sign = if config.signed { Sign::Signed } else { Sign::Positive };
    let activation = match config.activation.as_deref() {
        None | Some("topk") => Activation::TopK { k: config.k, sign },
        Some("groupmax") => Activation::GroupMax { k: config.k },
        Some(other) => {
            let message = format!("activation `{other}` is not supported (supported: topk, groupmax)");
            return Err(unsupported(&path.display().to_string(), &message));
        }
    };
    let skip = config.skip_connection.then(|| tensors.read("W_skip", &[width, width])).transpose()?;
    let mut metadata =
        Metadata { original_config: Some(original), ..config.metadata.unwrap_or_default().into() };
    metadata.hook = metadata.hook.or_else(|| hook(directory));
    Ok(Dictionary {
        d_input: width,
        d_output: width,
        latents,
        encoder: tensors.read("encoder.weight", &[latents, width])?,
        encoder_bias: tensors.read("encoder.bias", &[latents])?,
        decoder: tensors.read("W_dec", &[latents, width])?,
        decoder_bias: tensors.read("b_dec", &[width])?,
        skip,
        activation,
        input: InputConvention { subtract_decoder_bias: !config.transcode, ..InputConvention::default() },
        metadata,
    })
}

/// sparsify names the directory after the module whose output is read, such as `layers.3.mlp`.
fn hook(directory: &Path) -> Option<String> {
    let name = directory.file_name()?.to_str()?;
    (name.contains('.') || name == "embed_tokens").then(|| name.to_owned())
}

/// Writes a directory.
pub(super) fn write(dictionary: &Dictionary, directory: &Path) -> Result<(), DictionaryError> {
    let dictionary = without_scale(dictionary);
    if dictionary.input.normalisation != Normalisation::None {
        return Err(Format::Sparsify.cannot("normalised inputs"));
    }
    if dictionary.d_input != dictionary.d_output {
        return Err(Format::Sparsify.cannot("outputs of another width than inputs"));
    }
    let (name, k) = match dictionary.activation {
        Activation::TopK { k, sign: Sign::Positive } => ("topk", k),
        Activation::GroupMax { k } => ("groupmax", k),
        _ => return Err(Format::Sparsify.cannot("anything but TopK and GroupMax")),
    };
    let transcode = dictionary.skip.is_some()
        || dictionary.metadata.hook_out.is_some()
        || (!dictionary.input.subtract_decoder_bias && is_transcoder(&dictionary.metadata));
    let cannot_move = || Format::Sparsify.cannot("a bias that is subtracted from inputs of another width");
    let dictionary = with_subtraction(&dictionary, !transcode).ok_or_else(cannot_move)?;
    let (width, latents) = (dictionary.d_input, dictionary.latents);
    let mut weights = vec![
        Named::new("encoder.weight", &[latents, width], dictionary.encoder.clone()),
        Named::new("encoder.bias", &[latents], dictionary.encoder_bias.clone()),
        Named::new("W_dec", &[latents, width], dictionary.decoder.clone()),
        Named::new("b_dec", &[width], dictionary.decoder_bias.clone()),
    ];
    if let Some(skip) = &dictionary.skip {
        weights.push(Named::new("W_skip", &[width, width], skip.clone()));
    }
    let mut config = json!({
        "activation": name,
        "d_in": width,
        "expansion_factor": latents.div_ceil(width),
        "k": k,
        "multi_topk": false,
        // It matters in training only.
        "normalize_decoder": false,
        "num_latents": latents,
        "skip_connection": dictionary.skip.is_some(),
        "transcode": transcode,
    });
    let source = source::fields(&dictionary.metadata);
    if !source.is_empty() {
        config["metadata"] = source.into();
    }
    make_directory(directory)?;
    write_json(&directory.join(CONFIG), &config)?;
    safetensors_file::write(&directory.join(WEIGHTS), &weights)
}

/// Whether a file of this format said so.
fn is_transcoder(metadata: &Metadata) -> bool {
    let original = metadata.original_config.as_ref().and_then(|config| config.get("transcode"));
    original.and_then(serde_json::Value::as_bool).unwrap_or(false)
}
