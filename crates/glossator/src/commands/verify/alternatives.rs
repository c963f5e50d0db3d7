//! The conventions under which a dictionary can be used, and those that differ in one thing.

use glossator_dictionary::{Dictionary, Normalisation};
use glossator_model::{HookPoint, Model};

use super::reading::Reading;

/// Everything that a dictionary's file may be silent or wrong about.
#[derive(Clone)]
pub(super) struct Convention {
    pub(super) hook: HookPoint,
    pub(super) hook_out: HookPoint,
    pub(super) bos: bool,
    normalisation: Normalisation,
    subtract_decoder_bias: bool,
}

impl Convention {
    /// What the files and the command line say; the BOS rule is the tokenizer's where they are silent.
    pub(super) fn declared(
        dictionary: &Dictionary,
        hook: HookPoint,
        hook_out: HookPoint,
        model: &Model,
    ) -> anyhow::Result<Self> {
        let tokenizer = model.tokenizer()?;
        let bos = dictionary.metadata.prepend_bos.unwrap_or_else(|| tokenizer.add_bos());
        Ok(Self {
            hook,
            hook_out,
            bos: bos && tokenizer.bos().is_some(),
            normalisation: dictionary.input.normalisation,
            subtract_decoder_bias: dictionary.input.subtract_decoder_bias,
        })
    }

    /// The dictionary as it is used under this convention.
    pub(super) fn apply(&self, dictionary: &Dictionary) -> Dictionary {
        let mut changed = dictionary.clone();
        changed.input.normalisation = self.normalisation;
        changed.input.subtract_decoder_bias = self.subtract_decoder_bias;
        changed
    }

    /// Conventions that differ in one thing, each with words that complete "it fits better …".
    pub(super) fn alternatives(&self, dictionary: &Dictionary, reading: &Reading) -> Vec<(String, Self)> {
        let mut all = Vec::new();
        let mut normalisations = vec![
            ("with inputs as they are", Normalisation::None),
            ("with layer norm over each input", Normalisation::LayerNorm { epsilon: 1e-5 }),
            ("with each input scaled to norm √d", Normalisation::ConstantNorm),
        ];
        if let Some(norm) =
            reading.mean_norm(self.bos, self.hook, dictionary.d_input).filter(|norm| *norm > 0.0)
        {
            let width = dictionary.d_input as f64;
            normalisations.extend([
                (
                    "with inputs scaled to a mean norm of √d",
                    Normalisation::Scale((width.sqrt() / norm) as f32),
                ),
                ("with inputs scaled to a mean norm of 1", Normalisation::Scale(norm.recip() as f32)),
            ]);
        }
        let kind = std::mem::discriminant::<Normalisation>;
        for (change, normalisation) in normalisations {
            if kind(&normalisation) != kind(&self.normalisation) {
                all.push((change.to_owned(), Self { normalisation, ..self.clone() }));
            }
        }
        if dictionary.d_input == dictionary.d_output {
            let subtract_decoder_bias = !self.subtract_decoder_bias;
            let verb = if subtract_decoder_bias { "with" } else { "without" };
            let change = format!("{verb} the decoder bias subtracted from inputs");
            all.push((change, Self { subtract_decoder_bias, ..self.clone() }));
        }
        let other = if self.bos { "without BOS" } else { "with BOS before each window" };
        all.push((other.to_owned(), Self { bos: !self.bos, ..self.clone() }));
        for hook in reading.hooks(self.bos).filter(|hook| *hook != self.hook) {
            // An autoencoder predicts what it reads.
            let hook_out = if self.hook_out == self.hook { hook } else { self.hook_out };
            if hook_out != hook || self.hook_out == self.hook {
                all.push((format!("reading {hook}"), Self { hook, hook_out, ..self.clone() }));
            }
        }
        all
    }
}
