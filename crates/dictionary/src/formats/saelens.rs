//! SAELens: a directory with `cfg.json` and `sae_weights.safetensors`.
//!
//! Format as of SAELens 6: `W_enc` `[d_in, d_sae]`, `W_dec` `[d_sae, d_out]`, `b_dec` `[d_out]`, and `b_enc` `[d_sae]`
//! except for gated dictionaries, which have `b_gate`, `b_mag` and `r_mag`; `threshold` `[d_sae]` for JumpReLU,
//! `W_skip` `[d_out, d_in]` for skip transcoders. `cfg.json` names the architecture and its conventions, with the model
//! under `metadata`; before version 6 everything stood on the top level, some of it under older names. `sparsity`
//! in `sparsity.safetensors` is log₁₀ of the firing frequency.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::files::{make_directory, malformed, read_json, unsupported, write_json};
use super::fold::{fold_decoder_norms, with_subtraction, without_scale};
use super::source::{self, Source};
use super::tensors::{Named, Tensors, transpose};
use super::{Format, safetensors_file};
use crate::activation::{Activation, Sign};
use crate::dictionary::{Dictionary, InputConvention};
use crate::error::DictionaryError;
use crate::metadata::Metadata;
use crate::normalisation::Normalisation;

pub(super) const WEIGHTS: &str = "sae_weights.safetensors";
const CONFIG: &str = "cfg.json";
const SPARSITY: &str = "sparsity.safetensors";
const SCALER: &str = "activation_scaler.json";
/// The layout that is written; SAELens takes files without a version for older ones.
const VERSION: &str = "6.54.12";
/// What SAELens adds to a standard deviation.
const EPSILON: f32 = 1e-5;

#[derive(Deserialize)]
struct Config {
    architecture: Option<String>,
    d_in: usize,
    d_sae: usize,
    d_out: Option<usize>,
    k: Option<f64>,
    apply_b_dec_to_input: Option<bool>,
    normalize_activations: Option<serde_json::Value>,
    rescale_acts_by_decoder_norm: Option<bool>,
    #[serde(alias = "activation_fn_str")]
    activation_fn: Option<String>,
    activation_fn_kwargs: Option<ActivationArguments>,
    metadata: Option<Source>,
    /// On the top level before version 6.
    #[serde(flatten)]
    flat: Source,
}

#[derive(Deserialize)]
struct ActivationArguments {
    k: Option<f64>,
}

#[derive(Deserialize)]
struct Scaler {
    scaling_factor: Option<f32>,
}

/// Reads a directory.
pub(super) fn read(directory: &Path) -> Result<Dictionary, DictionaryError> {
    let config_path = directory.join(CONFIG);
    let (config, original): (Config, _) = read_json(&config_path)?;
    let tensors = safetensors_file::open(&directory.join(WEIGHTS))?;
    let refuse = |message: &str| malformed(&config_path, message);
    let architecture = config.architecture.as_deref().unwrap_or("standard");
    let transcoder = architecture.ends_with("transcoder");
    let (d_input, latents) = (config.d_in, config.d_sae);
    let d_output = config.d_out.filter(|_| transcoder).unwrap_or(d_input);
    let (activation, encoder_bias) = activation(&config, architecture, &tensors, &config_path)?;
    refuse_finetuning(&tensors)?;
    let mut notes = Vec::new();
    let normalisation = normalisation(&config, directory, &mut notes).map_err(|message| refuse(&message))?;
    let rescaled = matches!(activation, Activation::TopK { .. } | Activation::BatchTopK { .. })
        && config.rescale_acts_by_decoder_norm == Some(true);
    let skip =
        architecture.contains("skip").then(|| tensors.read("W_skip", &[d_output, d_input])).transpose()?;
    let metadata = Metadata {
        firing_frequency: firing_frequency(directory, latents)?,
        notes,
        original_config: Some(original),
        ..config.metadata.unwrap_or(config.flat).into()
    };
    let mut dictionary = Dictionary {
        d_input,
        d_output,
        latents,
        encoder: tensors.read_transposed("W_enc", [latents, d_input])?,
        encoder_bias,
        decoder: tensors.read("W_dec", &[latents, d_output])?,
        decoder_bias: tensors.read("b_dec", &[d_output])?,
        skip,
        activation,
        input: InputConvention {
            subtract_decoder_bias: config.apply_b_dec_to_input.unwrap_or(true) && !transcoder,
            normalisation,
            restore: !transcoder,
        },
        metadata,
    };
    if rescaled {
        fold_decoder_norms(&mut dictionary);
    }
    Ok(dictionary)
}

/// The activation, and the bias that stands inside its pre-activations.
fn activation(
    config: &Config,
    architecture: &str,
    tensors: &Tensors,
    path: &Path,
) -> Result<(Activation, Vec<f32>), DictionaryError> {
    let latents = config.d_sae;
    let vector = |name| tensors.read(name, &[latents]);
    let k = config.k.or(config.activation_fn_kwargs.as_ref().and_then(|arguments| arguments.k));
    let k = || {
        let whole = k.filter(|k| k.fract() == 0.0 && *k >= 1.0).map(|k| k as usize);
        whole.ok_or_else(|| malformed(path, "k is missing or not a whole number"))
    };
    let name = config.activation_fn.as_deref().unwrap_or("relu");
    let activation = match (architecture, name) {
        // Before version 6, TopK was an activation function of the standard architecture.
        ("standard", "topk") | ("topk", _) => Activation::TopK { k: k()?, sign: Sign::Positive },
        ("standard" | "transcoder" | "skip_transcoder", "relu") => Activation::Relu,
        ("abstopk", _) => Activation::TopK { k: k()?, sign: Sign::Magnitude },
        ("jumprelu" | "jumprelu_transcoder" | "jumprelu_skip_transcoder", "relu") => {
            Activation::JumpRelu { threshold: thresholds(tensors, latents)? }
        }
        // Checkpoints of the trainer; what it saves for use is a jumprelu dictionary.
        ("batchtopk" | "matryoshka_batchtopk", _) => {
            Activation::BatchTopK { k: k()?, threshold: tensors.scalar("topk_threshold")? }
        }
        ("gated", "relu") => {
            let activation =
                Activation::Gated { log_magnitude_scale: vector("r_mag")?, magnitude_bias: vector("b_mag")? };
            return Ok((activation, vector("b_gate")?));
        }
        _ => {
            let message = format!(
                "architecture `{architecture}` with activation `{name}` is not supported (supported: standard, topk, \
                 abstopk, batchtopk, matryoshka_batchtopk, jumprelu, gated, and transcoders with and without skip)"
            );
            return Err(unsupported(&path.display().to_string(), &message));
        }
    };
    Ok((activation, vector("b_enc")?))
}

/// Thresholds as they are used, or as logarithms in the trainer's checkpoints.
fn thresholds(tensors: &Tensors, latents: usize) -> Result<Vec<f32>, DictionaryError> {
    if tensors.has("log_threshold") {
        let logarithms = tensors.read("log_threshold", &[latents])?;
        return Ok(logarithms.into_iter().map(f32::exp).collect());
    }
    tensors.read("threshold", &[latents])
}

/// A factor for each latent, which versions 2 to 5 could train; SAELens itself has dropped it.
fn refuse_finetuning(tensors: &Tensors) -> Result<(), DictionaryError> {
    for name in ["scaling_factor", "finetuning_scaling_factor"] {
        if tensors.has(name) && tensors.read(name, &tensors.shape(name)?)?.iter().any(|&factor| factor != 1.0)
        {
            let message = format!("its latents have a finetuned `{name}`, which is not supported");
            return Err(unsupported(&tensors.path().display().to_string(), &message));
        }
    }
    Ok(())
}

fn normalisation(
    config: &Config,
    directory: &Path,
    notes: &mut Vec<String>,
) -> Result<Normalisation, String> {
    use serde_json::Value;
    let kind = match &config.normalize_activations {
        None | Some(Value::Null | Value::Bool(false)) => "none",
        Some(Value::Bool(true)) => "expected_average_only_in",
        Some(Value::String(kind)) => kind,
        Some(other) => return Err(format!("normalize_activations is {other}")),
    };
    match kind {
        "none" => Ok(Normalisation::None),
        "layer_norm" => Ok(Normalisation::LayerNorm { epsilon: EPSILON }),
        "constant_norm_rescale" => Ok(Normalisation::ConstantNorm),
        "expected_average_only_in" => {
            let scaler = directory.join(SCALER);
            if scaler.is_file() {
                let (scaler, _): (Scaler, _) = read_json(&scaler).map_err(|error| error.to_string())?;
                if let Some(factor) = scaler.scaling_factor {
                    return Ok(Normalisation::Scale(factor));
                }
            }
            notes.push(
                "the configuration says that training inputs were scaled to a mean norm of √d, but not by what \
                 factor; as SAELens does, inputs are taken as they are"
                    .to_owned(),
            );
            Ok(Normalisation::None)
        }
        other => Err(format!("normalize_activations `{other}` is not supported")),
    }
}

fn firing_frequency(directory: &Path, latents: usize) -> Result<Option<Vec<f32>>, DictionaryError> {
    let path = directory.join(SPARSITY);
    if !path.is_file() {
        return Ok(None);
    }
    let logarithms = safetensors_file::open(&path)?.read("sparsity", &[latents])?;
    Ok(Some(logarithms.into_iter().map(|value| 10.0_f32.powf(value)).collect()))
}

/// Writes a directory.
pub(super) fn write(dictionary: &Dictionary, directory: &Path) -> Result<(), DictionaryError> {
    let dictionary = without_scale(dictionary);
    let transcoder = dictionary.skip.is_some()
        || dictionary.metadata.hook_out.is_some()
        || dictionary.d_input != dictionary.d_output
        || (!dictionary.input.restore && dictionary.input.normalisation != Normalisation::None);
    if transcoder && dictionary.input.restore && dictionary.input.normalisation != Normalisation::None {
        return Err(Format::SaeLens.cannot("a normalisation that a transcoder undoes"));
    }
    let subtract = dictionary.input.subtract_decoder_bias && !transcoder;
    let cannot_move = || Format::SaeLens.cannot("a bias that is subtracted from inputs of another width");
    let dictionary = with_subtraction(&dictionary, subtract).ok_or_else(cannot_move)?;
    let (architecture, weights) = weights(&dictionary, transcoder)?;
    let mut config = json!({
        "architecture": architecture,
        "d_in": dictionary.d_input,
        "d_sae": dictionary.latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": subtract,
        "normalize_activations": match dictionary.input.normalisation {
            Normalisation::LayerNorm { epsilon } if epsilon != EPSILON => {
                return Err(Format::SaeLens.cannot(&format!("layer norm with epsilon {epsilon} instead of {EPSILON}")));
            }
            Normalisation::LayerNorm { .. } => "layer_norm",
            Normalisation::ConstantNorm => "constant_norm_rescale",
            Normalisation::None | Normalisation::Scale(_) => "none",
        },
        "reshape_activations": reshape(&dictionary.metadata),
        "metadata": metadata_fields(&dictionary.metadata),
    });
    if transcoder {
        config["d_out"] = json!(dictionary.d_output);
    }
    if let Activation::TopK { k, .. } = dictionary.activation {
        config["k"] = json!(k);
        config["rescale_acts_by_decoder_norm"] = json!(false);
    }
    make_directory(directory)?;
    write_json(&directory.join(CONFIG), &config)?;
    safetensors_file::write(&directory.join(WEIGHTS), &weights)?;
    if let Some(frequency) = &dictionary.metadata.firing_frequency {
        let logarithms = frequency.iter().map(|share| (share + 1e-10).log10()).collect();
        let sparsity = Named::new("sparsity", &[dictionary.latents], logarithms);
        safetensors_file::write(&directory.join(SPARSITY), &[sparsity])?;
    }
    Ok(())
}

fn weights(dictionary: &Dictionary, transcoder: bool) -> Result<(&'static str, Vec<Named>), DictionaryError> {
    let (d_input, d_output, latents) = (dictionary.d_input, dictionary.d_output, dictionary.latents);
    let bias = |name| Named::new(name, &[latents], dictionary.encoder_bias.clone());
    let mut weights = vec![
        Named::new("W_enc", &[d_input, latents], transpose(&dictionary.encoder, latents, d_input)),
        Named::new("W_dec", &[latents, d_output], dictionary.decoder.clone()),
        Named::new("b_dec", &[d_output], dictionary.decoder_bias.clone()),
    ];
    if let Some(skip) = &dictionary.skip {
        weights.push(Named::new("W_skip", &[d_output, d_input], skip.clone()));
    }
    let skip = dictionary.skip.is_some();
    let mut jump = |threshold: Vec<f32>| {
        weights.extend([bias("b_enc"), Named::new("threshold", &[latents], threshold)]);
        match (transcoder, skip) {
            (false, _) => "jumprelu",
            (true, false) => "jumprelu_transcoder",
            (true, true) => "jumprelu_skip_transcoder",
        }
    };
    let architecture = match &dictionary.activation {
        Activation::JumpRelu { threshold } => jump(threshold.clone()),
        Activation::BatchTopK { threshold, .. } => jump(vec![*threshold; latents]),
        Activation::Relu => {
            weights.push(bias("b_enc"));
            match (transcoder, skip) {
                (false, _) => "standard",
                (true, false) => "transcoder",
                (true, true) => "skip_transcoder",
            }
        }
        Activation::TopK { sign: Sign::Positive, .. } if !transcoder => {
            weights.push(bias("b_enc"));
            "topk"
        }
        Activation::TopK { sign: Sign::Magnitude, .. } if !transcoder => {
            weights.push(bias("b_enc"));
            "abstopk"
        }
        Activation::Gated { log_magnitude_scale, magnitude_bias } if !transcoder => {
            weights.push(bias("b_gate"));
            weights.push(Named::new("r_mag", &[latents], log_magnitude_scale.clone()));
            weights.push(Named::new("b_mag", &[latents], magnitude_bias.clone()));
            "gated"
        }
        Activation::TopK { .. } if transcoder => return Err(Format::SaeLens.cannot("TopK transcoders")),
        Activation::TopK { .. } => return Err(Format::SaeLens.cannot("TopK that keeps negative values")),
        Activation::Gated { .. } => return Err(Format::SaeLens.cannot("gated transcoders")),
        Activation::GroupMax { .. } => return Err(Format::SaeLens.cannot("GroupMax")),
    };
    Ok((architecture, weights))
}

/// SAELens joins the heads of `hook_z`, which its models keep apart.
fn reshape(metadata: &Metadata) -> &'static str {
    let joined =
        metadata.head.is_none() && metadata.hook.as_deref().is_some_and(|hook| hook.ends_with("hook_z"));
    if joined { "hook_z" } else { "none" }
}

/// The `metadata` of the configuration: that of the original file where it was of this format, with what is known.
fn metadata_fields(metadata: &Metadata) -> serde_json::Value {
    let original = metadata.original_config.as_ref().and_then(|config| config.get("metadata")).cloned();
    let mut fields = match original {
        Some(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    fields.extend(source::fields(metadata));
    fields.insert("sae_lens_version".into(), json!(VERSION));
    fields.into()
}
