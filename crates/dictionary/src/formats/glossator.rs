//! Glossator's own: a directory with `dictionary.json` and `dictionary.safetensors`, for what no other program can say, such
//! as TopK transcoders between different widths and gated transcoders.
//!
//! The tensors are those of [`Dictionary`], under its names and in its shapes, in f32: `encoder` `[latents, d_input]`,
//! `encoder_bias` `[latents]`, `decoder` `[latents, d_output]`, `decoder_bias` `[d_output]`; `skip` `[d_output, d_input]` where
//! there is one; `threshold` `[latents]` for JumpReLU; `log_magnitude_scale` and `magnitude_bias` `[latents]` for gated ones;
//! `firing_frequency` `[latents]` where it is known. `dictionary.json` says the rest of the equations of `dictionary.rs`:
//! sizes, activation, normalisation, whether the decoder bias is subtracted and the normalisation undone, and where the
//! dictionary comes from.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{make_directory, malformed, read_json, write_json};
use super::safetensors_file;
use super::tensors::{Named, Tensors};
use crate::activation::{Activation, Sign};
use crate::dictionary::{Dictionary, InputConvention};
use crate::error::DictionaryError;
use crate::metadata::Metadata;
use crate::normalisation::Normalisation;

pub(super) const WEIGHTS: &str = "dictionary.safetensors";
const CONFIG: &str = "dictionary.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    version: u32,
    d_input: usize,
    latents: usize,
    d_output: usize,
    activation: Kind,
    subtract_decoder_bias: bool,
    normalisation: Normalisation,
    restore: bool,
    skip: bool,
    metadata: Metadata,
}

/// An activation without its tensors.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    Relu,
    TopK { k: usize, sign: Sign },
    BatchTopK { k: usize, threshold: f32 },
    JumpRelu,
    Gated,
    GroupMax { k: usize },
}

impl Kind {
    fn of(activation: &Activation) -> Self {
        match *activation {
            Activation::Relu => Self::Relu,
            Activation::TopK { k, sign } => Self::TopK { k, sign },
            Activation::BatchTopK { k, threshold } => Self::BatchTopK { k, threshold },
            Activation::JumpRelu { .. } => Self::JumpRelu,
            Activation::Gated { .. } => Self::Gated,
            Activation::GroupMax { k } => Self::GroupMax { k },
        }
    }

    fn with(self, tensors: &Tensors, latents: usize) -> Result<Activation, DictionaryError> {
        let vector = |name: &str| tensors.read(name, &[latents]);
        Ok(match self {
            Self::Relu => Activation::Relu,
            Self::TopK { k, sign } => Activation::TopK { k, sign },
            Self::BatchTopK { k, threshold } => Activation::BatchTopK { k, threshold },
            Self::JumpRelu => Activation::JumpRelu { threshold: vector("threshold")? },
            Self::Gated => Activation::Gated {
                log_magnitude_scale: vector("log_magnitude_scale")?,
                magnitude_bias: vector("magnitude_bias")?,
            },
            Self::GroupMax { k } => Activation::GroupMax { k },
        })
    }
}

/// Reads a directory.
pub(super) fn read(directory: &Path) -> Result<Dictionary, DictionaryError> {
    let path = directory.join(CONFIG);
    let (config, _): (Config, _) = read_json(&path)?;
    if config.version != VERSION {
        let message = format!("version {} is not known here (this reads {VERSION})", config.version);
        return Err(malformed(&path, &message));
    }
    let tensors = safetensors_file::open(&directory.join(WEIGHTS))?;
    let (d_input, latents, d_output) = (config.d_input, config.latents, config.d_output);
    let frequency = "firing_frequency";
    let firing_frequency = tensors.has(frequency).then(|| tensors.read(frequency, &[latents])).transpose()?;
    Ok(Dictionary {
        d_input,
        d_output,
        latents,
        encoder: tensors.read("encoder", &[latents, d_input])?,
        encoder_bias: tensors.read("encoder_bias", &[latents])?,
        decoder: tensors.read("decoder", &[latents, d_output])?,
        decoder_bias: tensors.read("decoder_bias", &[d_output])?,
        skip: config.skip.then(|| tensors.read("skip", &[d_output, d_input])).transpose()?,
        activation: config.activation.with(&tensors, latents)?,
        input: InputConvention {
            subtract_decoder_bias: config.subtract_decoder_bias,
            normalisation: config.normalisation,
            restore: config.restore,
        },
        metadata: Metadata { firing_frequency, ..config.metadata },
    })
}

/// Writes a directory.
pub(super) fn write(dictionary: &Dictionary, directory: &Path) -> Result<(), DictionaryError> {
    let (d_input, latents, d_output) = (dictionary.d_input, dictionary.latents, dictionary.d_output);
    let config = Config {
        version: VERSION,
        d_input,
        latents,
        d_output,
        activation: Kind::of(&dictionary.activation),
        subtract_decoder_bias: dictionary.input.subtract_decoder_bias,
        normalisation: dictionary.input.normalisation,
        restore: dictionary.input.restore,
        skip: dictionary.skip.is_some(),
        metadata: Metadata { firing_frequency: None, ..dictionary.metadata.clone() },
    };
    make_directory(directory)?;
    let path = directory.join(CONFIG);
    let config = serde_json::to_value(config).map_err(|error| malformed(&path, &error.to_string()))?;
    write_json(&path, &config)?;
    safetensors_file::write(&directory.join(WEIGHTS), &tensors(dictionary))
}

fn tensors(dictionary: &Dictionary) -> Vec<Named> {
    let (d_input, latents, d_output) = (dictionary.d_input, dictionary.latents, dictionary.d_output);
    let vector = |name, values: &Vec<f32>| Named::new(name, &[latents], values.clone());
    let mut tensors = vec![
        Named::new("encoder", &[latents, d_input], dictionary.encoder.clone()),
        vector("encoder_bias", &dictionary.encoder_bias),
        Named::new("decoder", &[latents, d_output], dictionary.decoder.clone()),
        Named::new("decoder_bias", &[d_output], dictionary.decoder_bias.clone()),
    ];
    if let Some(skip) = &dictionary.skip {
        tensors.push(Named::new("skip", &[d_output, d_input], skip.clone()));
    }
    match &dictionary.activation {
        Activation::JumpRelu { threshold } => tensors.push(vector("threshold", threshold)),
        Activation::Gated { log_magnitude_scale, magnitude_bias } => {
            tensors.push(vector("log_magnitude_scale", log_magnitude_scale));
            tensors.push(vector("magnitude_bias", magnitude_bias));
        }
        Activation::Relu
        | Activation::TopK { .. }
        | Activation::BatchTopK { .. }
        | Activation::GroupMax { .. } => {}
    }
    if let Some(frequency) = &dictionary.metadata.firing_frequency {
        tensors.push(vector("firing_frequency", frequency));
    }
    tensors
}
