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
            skip: (!self.skip.weights.is_empty()).then(|| self.skip.weights.clone()),
            activation: self.activation(&recipe.objective),
            input: InputConvention {
                subtract_decoder_bias: recipe.subtract_decoder_bias,
                normalisation,
                restore: true,
            },
            metadata,
        }
    }
    /// What the dictionary makes of pre-activations when it is used.
    fn activation(&self, objective: &Objective) -> Activation {
        match *objective {
            Objective::TopK { k, .. } | Objective::MultiTopK { k, .. } => {
                Activation::TopK { k, sign: Sign::Positive }
            }
            Objective::BatchTopK { k, .. } | Objective::Matryoshka { k, .. } => {
                Activation::BatchTopK { k, threshold: self.progress.threshold.unwrap_or(0.0) }
            }
            Objective::L1 { .. } | Objective::PAnnealing(_) => Activation::Relu,
            Objective::JumpRelu(_) => Activation::JumpRelu {
                threshold: self.log_threshold.weights.iter().map(|logarithm| logarithm.exp()).collect(),
            },
            Objective::Gated { .. } => Activation::Gated {
                log_magnitude_scale: self.log_magnitude_scale.weights.clone(),
                magnitude_bias: self.magnitude_bias.weights.clone(),
            },
        }
    }
}
