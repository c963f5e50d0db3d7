//! The conventions under which a dictionary can be used, and those that differ in one thing.

use glossator_dictionary::{Activation, Dictionary, Normalisation, Sign};
use glossator_model::{HookPoint, Model};

use super::reading::Reading;

/// The k that are tried where a file says ReLU.
const POSSIBLE_K: [usize; 7] = [8, 16, 32, 64, 128, 256, 512];

/// Everything that a dictionary's file may be silent or wrong about.
#[derive(Clone)]
pub(super) struct Convention {
    pub(super) hook: HookPoint,
    pub(super) hook_out: HookPoint,
    pub(super) bos: bool,
    normalisation: Normalisation,
    subtract_decoder_bias: bool,
    activation: Activation,
}

/// A convention that differs from the declared one in one thing.
pub(super) struct Alternative {
    /// Words that complete "it fits better …".
    pub(super) change: String,
    pub(super) convention: Convention,
    /// Whether it lets more latents pass: then it explains more for that reason alone.
    pub(super) looser: bool,
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
            activation: dictionary.activation.clone(),
        })
    }

    /// The dictionary as it is used under this convention.
    pub(super) fn apply(&self, dictionary: &Dictionary) -> Dictionary {
        let mut changed = dictionary.clone();
        changed.input.normalisation = self.normalisation;
        changed.input.subtract_decoder_bias = self.subtract_decoder_bias;
        changed.activation = self.activation.clone();
        changed
    }

    /// Everything but the BOS rule that differs in one thing, for a dictionary of which `active` latents are, as declared.
    pub(super) fn alternatives(
        &self,
        dictionary: &Dictionary,
        reading: &Reading,
        active: f64,
    ) -> Vec<Alternative> {
        let mut all = self.normalisations(dictionary, reading);
        if dictionary.d_input == dictionary.d_output {
            let subtract_decoder_bias = !self.subtract_decoder_bias;
            let verb = if subtract_decoder_bias { "with" } else { "without" };
            let change = format!("{verb} the decoder bias subtracted from inputs");
            all.push((change, Self { subtract_decoder_bias, ..self.clone() }));
        }
        all.extend(self.hooks(reading));
        let same = |(change, convention)| Alternative { change, convention, looser: false };
        all.into_iter().map(same).chain(self.variants(dictionary.latents, active)).collect()
    }

    fn normalisations(&self, dictionary: &Dictionary, reading: &Reading) -> Vec<(String, Self)> {
        let mut normalisations = vec![
            ("with inputs as they are", Normalisation::None),
            ("with layer norm over each input", Normalisation::LayerNorm { epsilon: 1e-5 }),
            ("with each input scaled to norm √d", Normalisation::ConstantNorm),
        ];
        if let Some(norm) = reading.mean_norm(self.hook, dictionary.d_input).filter(|norm| *norm > 0.0) {
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
        normalisations.retain(|(_, normalisation)| kind(normalisation) != kind(&self.normalisation));
        let changed = |(change, normalisation): (&str, Normalisation)| {
            (change.to_owned(), Self { normalisation, ..self.clone() })
        };
        normalisations.into_iter().map(changed).collect()
    }

    fn hooks(&self, reading: &Reading) -> impl Iterator<Item = (String, Self)> {
        reading.hooks().filter(move |hook| *hook != self.hook).filter_map(move |hook| {
            // An autoencoder predicts what it reads, and a transcoder does not.
            let autoencoder = self.hook_out == self.hook;
            let hook_out = if autoencoder { hook } else { self.hook_out };
            let possible = autoencoder || hook_out != hook;
            possible.then(|| (format!("reading {hook}"), Self { hook, hook_out, ..self.clone() }))
        })
    }

    /// What a file that lost its variant would hide: thresholds or a k that do not belong to these weights, or a k that is
    /// missing.
    fn variants(&self, latents: usize, active: f64) -> Vec<Alternative> {
        let changed = |change: String, activation: Activation, looser: bool| {
            let convention = Self { activation, ..self.clone() };
            Alternative { change, convention, looser }
        };
        let top = |k, sign| Activation::TopK { k, sign };
        match self.activation {
            Activation::Relu => POSSIBLE_K
                .into_iter()
                .filter(|k| *k < latents && (*k as f64) < active)
                .map(|k| changed(format!("as TopK with k = {k}"), top(k, Sign::Positive), false))
                .collect(),
            Activation::JumpRelu { .. } | Activation::BatchTopK { .. } => {
                vec![changed("as ReLU without thresholds".to_owned(), Activation::Relu, true)]
            }
            Activation::TopK { k, sign } => {
                let (words, other) = match sign {
                    Sign::Magnitude => ("as TopK of the largest values", Sign::Positive),
                    Sign::Positive | Sign::Signed => ("as TopK of the largest magnitudes", Sign::Magnitude),
                };
                let relu = changed("as ReLU without a k".to_owned(), Activation::Relu, true);
                vec![changed(words.to_owned(), top(k, other), false), relu]
            }
            Activation::GroupMax { k } => {
                let top = changed(format!("as TopK with k = {k}"), top(k, Sign::Positive), false);
                vec![top, changed("as ReLU without groups".to_owned(), Activation::Relu, true)]
            }
            Activation::Gated { .. } => Vec::new(),
        }
    }
}
