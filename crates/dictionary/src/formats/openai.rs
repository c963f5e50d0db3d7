//! OpenAI's sparse_autoencoder: one `.pt` file.
//!
//! Format (github.com/openai/sparse_autoencoder, model.py): `pre_bias` `[d]`, `encoder.weight` `[latents, d]`,
//! `latent_bias` `[latents]`, `decoder.weight` `[d, latents]`, counters of training, `activation` (`ReLU`, `TopK` or
//! `Identity`) and `activation_state_dict` with `k` and `postact_fn`. TopK dictionaries normalise every row to mean 0
//! and standard deviation 1 (ε = 10⁻⁵), the others read rows as they are.

use std::path::Path;

use super::Format;
use super::files::unsupported;
use super::fold::{with_subtraction, without_scale};
use super::tensors::{Named, transpose};
use super::torch::{self, Entry, Plain, Value};
use crate::activation::{Activation, Sign};
use crate::dictionary::{Dictionary, InputConvention};
use crate::error::DictionaryError;
use crate::metadata::Metadata;
use crate::normalisation::Normalisation;

const EPSILON: f32 = 1e-5;

/// Whether a `.pt` file has the tensors of this format.
pub(super) fn is_one(path: &Path) -> Result<bool, DictionaryError> {
    torch::open(path).map(|state| state.tensors.has("latent_bias"))
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Dictionary, DictionaryError> {
    let state = torch::open(path)?;
    let tensors = &state.tensors;
    let (latents, width) = tensors.matrix_shape("encoder.weight")?;
    let refuse = |message: String| unsupported(&path.display().to_string(), &message);
    let text = |name: &str, absent: &str| match state.plain.get(name) {
        None => Ok(absent.to_owned()),
        Some(Plain::Text(text)) => Ok(text.clone()),
        Some(other) => Err(refuse(format!("`{name}` is {other:?}"))),
    };
    let (activation, normalisation) = match text("activation", "ReLU")?.as_str() {
        "ReLU" => (Activation::Relu, Normalisation::None),
        "TopK" => {
            let k = match state.plain.get("activation_state_dict.k") {
                Some(Plain::Integer(k)) => usize::try_from(*k).ok(),
                _ => None,
            };
            let sign = match text("activation_state_dict.postact_fn", "ReLU")?.as_str() {
                "ReLU" => Sign::Positive,
                "Identity" => Sign::Signed,
                other => return Err(refuse(format!("TopK with `{other}` is not supported"))),
            };
            let k = k.ok_or_else(|| refuse("TopK without k".into()))?;
            (Activation::TopK { k, sign }, Normalisation::LayerNorm { epsilon: EPSILON })
        }
        other => {
            return Err(refuse(format!("activation `{other}` is not supported (supported: ReLU, TopK)")));
        }
    };
    let frequency = "latents_activation_frequency";
    let firing_frequency = tensors.has(frequency).then(|| tensors.read(frequency, &[latents])).transpose()?;
    Ok(Dictionary {
        d_input: width,
        d_output: width,
        latents,
        encoder: tensors.read("encoder.weight", &[latents, width])?,
        encoder_bias: tensors.read("latent_bias", &[latents])?,
        decoder: tensors.read_transposed("decoder.weight", [latents, width])?,
        decoder_bias: tensors.read("pre_bias", &[width])?,
        skip: None,
        activation,
        input: InputConvention { subtract_decoder_bias: true, normalisation, restore: true },
        metadata: Metadata { firing_frequency, ..Metadata::default() },
    })
}

/// Writes a file.
pub(super) fn write(dictionary: &Dictionary, path: &Path) -> Result<(), DictionaryError> {
    let dictionary = without_scale(dictionary);
    let format = Format::OpenAi;
    if dictionary.d_input != dictionary.d_output || dictionary.skip.is_some() {
        return Err(format.cannot("transcoders of another width or with a skip connection"));
    }
    let layer_norm = Normalisation::LayerNorm { epsilon: EPSILON };
    let (name, arguments) = match (&dictionary.activation, dictionary.input.normalisation) {
        (Activation::Relu, Normalisation::None) => ("ReLU", None),
        (Activation::TopK { k, sign }, normalisation)
            if normalisation == layer_norm && dictionary.input.restore =>
        {
            let function = match sign {
                Sign::Positive => "ReLU",
                Sign::Signed => "Identity",
                Sign::Magnitude => return Err(format.cannot("AbsTopK")),
            };
            (
                "TopK",
                Some(vec![("k", Value::Integer(*k as i64)), ("postact_fn", Value::Text(function.into()))]),
            )
        }
        (Activation::TopK { .. }, _) => {
            return Err(
                format.cannot("TopK of inputs that are not layer-normalised: it normalises for TopK, always")
            );
        }
        (Activation::Relu, _) => return Err(format.cannot("ReLU of normalised inputs")),
        _ => return Err(format.cannot("anything but ReLU and TopK")),
    };
    let cannot_move = || format.cannot("a bias that is subtracted from inputs of another width");
    let dictionary = with_subtraction(&dictionary, true).ok_or_else(cannot_move)?;
    let (width, latents) = (dictionary.d_input, dictionary.latents);
    let decoder = transpose(&dictionary.decoder, latents, width);
    let zeros = || vec![0.0; latents];
    let frequency = dictionary.metadata.firing_frequency.clone().unwrap_or_else(zeros);
    let floats = |name, shape: &[usize], values| Entry::Floats(Named::new(name, shape, values));
    let mut entries = vec![
        floats("pre_bias", &[width], dictionary.decoder_bias.clone()),
        floats("latent_bias", &[latents], dictionary.encoder_bias.clone()),
        Entry::Integers {
            name: "stats_last_nonzero",
            shape: vec![latents],
            values: vec![0; latents],
            wide: true,
        },
        floats("latents_activation_frequency", &[latents], frequency),
        floats("latents_mean_square", &[latents], zeros()),
        floats("encoder.weight", &[latents, width], dictionary.encoder.clone()),
        floats("decoder.weight", &[width, latents], decoder),
        Entry::Text("activation", name.into()),
    ];
    entries.extend(arguments.map(|arguments| Entry::Dictionary("activation_state_dict", arguments)));
    torch::write(path, &entries)
}
