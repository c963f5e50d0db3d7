//! DICT and `--from`: a dictionary in the files of any program.

use std::path::Path;

use clap::ValueEnum;
use glossator_dictionary::formats::{self, Format};
use glossator_dictionary::{Activation, Dictionary};
use serde_json::json;

use crate::output;

/// A program's way of keeping dictionaries.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatArgument {
    /// SAELens: a directory with cfg.json and sae_weights.safetensors
    Saelens,
    /// sparsify: a directory with cfg.json and sae.safetensors
    Sparsify,
    /// dictionary_learning: a directory with ae.pt and config.json
    DictionaryLearning,
    /// OpenAI's sparse_autoencoder: a .pt file
    Openai,
    /// Gemma Scope: a params.npz file
    GemmaScope,
    /// circuit-tracer: a layer_N.safetensors file
    CircuitTracer,
    /// Glossator's own: a directory with dictionary.json and dictionary.safetensors
    Glossator,
}

impl From<FormatArgument> for Format {
    fn from(argument: FormatArgument) -> Self {
        match argument {
            FormatArgument::Saelens => Self::SaeLens,
            FormatArgument::Sparsify => Self::Sparsify,
            FormatArgument::DictionaryLearning => Self::DictionaryLearning,
            FormatArgument::Openai => Self::OpenAi,
            FormatArgument::GemmaScope => Self::GemmaScope,
            FormatArgument::CircuitTracer => Self::CircuitTracer,
            FormatArgument::Glossator => Self::Glossator,
        }
    }
}

/// Reads a dictionary, and tells the user what its reader had to assume.
pub(crate) fn open(path: &Path, from: Option<FormatArgument>) -> anyhow::Result<(Dictionary, Format)> {
    let (dictionary, format) = match from {
        Some(argument) => (Format::from(argument).read(path)?, argument.into()),
        None => formats::read(path)?,
    };
    for note in &dictionary.metadata.notes {
        output::note(&format!("note: {note}"));
    }
    Ok((dictionary, format))
}

/// What a dictionary is, in a line.
pub(crate) fn described(dictionary: &Dictionary) -> String {
    let activation = match &dictionary.activation {
        Activation::Relu => "ReLU".to_owned(),
        Activation::TopK { k, .. } => format!("TopK {k}"),
        Activation::BatchTopK { k, .. } => format!("BatchTopK {k}"),
        Activation::JumpRelu { .. } => "JumpReLU".to_owned(),
        Activation::Gated { .. } => "gated".to_owned(),
        Activation::GroupMax { k } => format!("GroupMax {k}"),
    };
    let skip = if dictionary.skip.is_some() { ", with skip connection" } else { "" };
    let (input, output) = (dictionary.d_input, dictionary.d_output);
    format!("{input} → {} {activation} latents → {output}{skip}", dictionary.latents)
}

/// The same for programs.
pub(crate) fn as_json(dictionary: &Dictionary, format: Format) -> serde_json::Value {
    json!({
        "format": format.to_string(),
        "d_input": dictionary.d_input,
        "d_output": dictionary.d_output,
        "latents": dictionary.latents,
        "activation": match &dictionary.activation {
            Activation::JumpRelu { .. } => json!({"kind": "jump_relu"}),
            Activation::Gated { .. } => json!({"kind": "gated"}),
            other => json!(other),
        },
        "skip": dictionary.skip.is_some(),
        "subtract_decoder_bias": dictionary.input.subtract_decoder_bias,
        "normalisation": dictionary.input.normalisation,
        "model": dictionary.metadata.model,
        "hook": dictionary.metadata.hook,
        "hook_out": dictionary.metadata.hook_out,
        "notes": dictionary.metadata.notes,
    })
}
