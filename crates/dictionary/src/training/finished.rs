//! A dictionary from the weights in training.

use super::objective::{Objective, Recipe};
use super::parameters::Parameters;
use crate::{Activation, Dictionary, InputConvention, Metadata, Normalisation, Sign};

impl Parameters {
    /// The dictionary that these weights are, trained by `recipe` on rows normalised by `normalisation`.
    pub fn dictionary(
        &self,
        recipe: &Recipe,
        normalisation: Normalisation,
        metadata: Metadata,
    ) -> Dictionary {
        Dictionary {
            d_input: self.d_input,
            d_output: self.d_output,
            latents: self.latents,
            encoder: self.encoder.weights.clone(),
            encoder_bias: self.encoder_bias.weights.clone(),
            decoder: self.decoder.weights.clone(),
            decoder_bias: self.decoder_bias.weights.clone(),
            skip: None,
            activation: match recipe.objective {
                Objective::TopK { k, .. } => Activation::TopK { k, sign: Sign::Positive },
                Objective::L1 { .. } => Activation::Relu,
            },
            input: InputConvention {
                subtract_decoder_bias: recipe.subtract_decoder_bias,
                normalisation,
                restore: true,
            },
            metadata,
        }
    }
}
