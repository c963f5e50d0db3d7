//! The one form that every sparse autoencoder and transcoder takes here.
//!
//! With N a normalisation of rows ([`Normalisation`]) and a an activation ([`Activation`]):
//!
//! ```text
//! u = N(x)                                    [d_input]
//! z = E (u − s b_d) + b_e                     [latents]     s is 1 or 0: `subtract_decoder_bias`
//! f = a(z)                                    [latents]
//! y = N⁻¹(Dᵀ f + b_d) + S x                   [d_output]    S: the skip connection of skip transcoders
//! ```
//!
//! N⁻¹ is left out where `restore` is false, as it is for transcoders of normalised inputs: their outputs live in
//! another space. E and D have one row per latent. Conventions that can be folded into the weights without changing any latent or
//! reconstruction are folded when a file is read.

use crate::activation::Activation;
use crate::error::DictionaryError;
use crate::metadata::Metadata;
use crate::normalisation::Normalisation;

/// How a dictionary reads activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputConvention {
    /// Whether the decoder bias is subtracted before encoding (after the normalisation).
    pub subtract_decoder_bias: bool,
    /// The normalisation of the inputs.
    pub normalisation: Normalisation,
    /// Whether the normalisation is undone for the reconstruction.
    pub restore: bool,
}

impl Default for InputConvention {
    /// Inputs are read as they are.
    fn default() -> Self {
        Self { subtract_decoder_bias: false, normalisation: Normalisation::None, restore: true }
    }
}

/// A sparse autoencoder or transcoder. All matrices are row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Dictionary {
    /// Width of the activations that are read.
    pub d_input: usize,
    /// Width of the activations that are reconstructed; another hook point's for transcoders.
    pub d_output: usize,
    /// Number of latents.
    pub latents: usize,
    /// E `[latents, d_input]`.
    pub encoder: Vec<f32>,
    /// b_e `[latents]`; the gate's bias in gated dictionaries.
    pub encoder_bias: Vec<f32>,
    /// D `[latents, d_output]`: row i is what latent i writes.
    pub decoder: Vec<f32>,
    /// b_d `[d_output]`.
    pub decoder_bias: Vec<f32>,
    /// S `[d_output, d_input]`.
    pub skip: Option<Vec<f32>>,
    /// a.
    pub activation: Activation,
    /// N and s.
    pub input: InputConvention,
    /// Where it comes from.
    pub metadata: Metadata,
}

impl Dictionary {
    /// Refuses shapes that contradict each other, parameters that no dictionary can have, and weights that are not
    /// finite.
    pub fn check(&self) -> Result<(), DictionaryError> {
        let (d_input, d_output, latents) = (self.d_input, self.d_output, self.latents);
        if d_input == 0 || d_output == 0 || latents == 0 {
            let message =
                format!("{d_input} inputs, {latents} latents and {d_output} outputs are no dictionary");
            return Err(DictionaryError::Value { what: "shape".into(), message });
        }
        check_tensor("encoder", &self.encoder, &[latents, d_input])?;
        check_tensor("encoder_bias", &self.encoder_bias, &[latents])?;
        check_tensor("decoder", &self.decoder, &[latents, d_output])?;
        check_tensor("decoder_bias", &self.decoder_bias, &[d_output])?;
        if let Some(skip) = &self.skip {
            check_tensor("skip", skip, &[d_output, d_input])?;
        }
        if self.input.subtract_decoder_bias && d_input != d_output {
            return Err(DictionaryError::Value {
                what: "subtract_decoder_bias".into(),
                message: format!(
                    "a bias of width {d_output} cannot be subtracted from inputs of width {d_input}"
                ),
            });
        }
        if let Normalisation::Scale(scale) = self.input.normalisation
            && !(scale.is_finite() && scale > 0.0)
        {
            return Err(DictionaryError::Value {
                what: "normalisation".into(),
                message: format!("inputs cannot be multiplied by {scale}"),
            });
        }
        self.activation.check(latents)
    }

    /// What latent `latent` writes `[d_output]`, in the space of normalised activations.
    ///
    /// # Panics
    /// If there is no such latent.
    pub fn decoder_row(&self, latent: usize) -> &[f32] {
        &self.decoder[latent * self.d_output..][..self.d_output]
    }

    /// What latent `latent` reads `[d_input]`, in the space of normalised activations.
    ///
    /// # Panics
    /// If there is no such latent.
    pub fn encoder_row(&self, latent: usize) -> &[f32] {
        &self.encoder[latent * self.d_input..][..self.d_input]
    }
}

/// Refuses a tensor of another size or with values that are not finite.
fn check_tensor(name: &str, values: &[f32], shape: &[usize]) -> Result<(), DictionaryError> {
    let (expected, found) = (shape.to_vec(), vec![values.len()]);
    if shape.iter().try_fold(1_usize, |size, &axis| size.checked_mul(axis)) != Some(values.len()) {
        return Err(DictionaryError::Shape { tensor: name.into(), expected, found });
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(DictionaryError::Value {
            what: name.into(),
            message: format!("value {at} is {}, not a finite number", values[at]),
        }),
    }
}
