//! Gemma Scope (Lieberum et al. 2024): JumpReLU dictionaries in `params.npz`, or in `params.safetensors` since Gemma
//! Scope 2.
//!
//! Format: `W_enc` `[d_in, latents]`, `W_dec` `[latents, d_out]`, `b_enc`, `b_dec`, `threshold` `[latents]`; in Gemma
//! Scope 2 in lower case, with `affine_skip_connection` `[d_in, d_out]` for skip transcoders. Inputs are read as they
//! are and the decoder bias is not subtracted. Dictionaries over token embeddings (a directory `embedding`) were trained
//! on embeddings times √d.

use std::path::Path;

use super::fold::{with_subtraction, without_scale};
use super::tensors::{Named, transpose};
use super::{Format, npy, safetensors_file};
use crate::activation::Activation;
use crate::dictionary::{Dictionary, InputConvention};
use crate::error::DictionaryError;
use crate::metadata::Metadata;
use crate::normalisation::Normalisation;

pub(super) const WEIGHTS: &str = "params.npz";
pub(super) const WEIGHTS_2: &str = "params.safetensors";

/// Reads a file, or a directory that holds one.
pub(super) fn read(path: &Path) -> Result<Dictionary, DictionaryError> {
    let file = match path {
        file if !file.is_dir() => file.to_owned(),
        directory if directory.join(WEIGHTS).is_file() => directory.join(WEIGHTS),
        directory => directory.join(WEIGHTS_2),
    };
    let second = file.extension().is_some_and(|extension| extension == "safetensors");
    let tensors = if second { safetensors_file::open(&file)? } else { npy::open(&file)? };
    let (w_enc, w_dec) = if tensors.has("w_enc") { ("w_enc", "w_dec") } else { ("W_enc", "W_dec") };
    let (d_input, latents) = tensors.matrix_shape(w_enc)?;
    let (_, d_output) = tensors.matrix_shape(w_dec)?;
    let skip = "affine_skip_connection";
    let skip = tensors.has(skip).then(|| tensors.read_transposed(skip, [d_output, d_input])).transpose()?;
    let mut dictionary = Dictionary {
        d_input,
        d_output,
        latents,
        encoder: tensors.read_transposed(w_enc, [latents, d_input])?,
        encoder_bias: tensors.read("b_enc", &[latents])?,
        decoder: tensors.read(w_dec, &[latents, d_output])?,
        decoder_bias: tensors.read("b_dec", &[d_output])?,
        skip,
        activation: Activation::JumpRelu { threshold: tensors.read("threshold", &[latents])? },
        input: InputConvention::default(),
        metadata: Metadata::default(),
    };
    if file.components().any(|component| component.as_os_str() == "embedding") {
        let scale = (d_input as f32).sqrt();
        dictionary.encoder.iter_mut().for_each(|value| *value /= scale);
        dictionary.decoder.iter_mut().for_each(|value| *value *= scale);
        let note = "its directory is called `embedding`: encoder divided and decoder multiplied by √d, as SAELens does";
        dictionary.metadata.notes.push(note.to_owned());
    }
    Ok(dictionary)
}

/// Writes a `.npz` file.
pub(super) fn write(dictionary: &Dictionary, path: &Path) -> Result<(), DictionaryError> {
    let dictionary = without_scale(dictionary);
    let format = Format::GemmaScope;
    if dictionary.input.normalisation != Normalisation::None {
        return Err(format.cannot("normalised inputs"));
    }
    if dictionary.skip.is_some() {
        return Err(format.cannot("a skip connection"));
    }
    let threshold = match &dictionary.activation {
        Activation::JumpRelu { threshold } => threshold.clone(),
        Activation::BatchTopK { threshold, .. } => vec![*threshold; dictionary.latents],
        Activation::Relu => vec![0.0; dictionary.latents],
        _ => return Err(format.cannot("anything but JumpReLU, BatchTopK and ReLU")),
    };
    let cannot_move = || format.cannot("a bias that is subtracted from inputs of another width");
    let dictionary = with_subtraction(&dictionary, false).ok_or_else(cannot_move)?;
    let (d_input, d_output, latents) = (dictionary.d_input, dictionary.d_output, dictionary.latents);
    npy::write(
        path,
        &[
            Named::new("W_enc", &[d_input, latents], transpose(&dictionary.encoder, latents, d_input)),
            Named::new("W_dec", &[latents, d_output], dictionary.decoder.clone()),
            Named::new("b_enc", &[latents], dictionary.encoder_bias.clone()),
            Named::new("b_dec", &[d_output], dictionary.decoder_bias.clone()),
            Named::new("threshold", &[latents], threshold),
        ],
    )
}
