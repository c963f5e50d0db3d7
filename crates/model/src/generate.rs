//! Generation: one token at a time, with the keys and values of what came before kept in a cache.

use crate::error::ModelError;
use crate::forward::KeyValueCache;
use crate::intervention::Intervention;
use crate::model::Model;
use crate::sampling::{Sampler, Sampling};

/// How a text is continued.
#[derive(Clone, Debug, Default)]
pub struct GenerationOptions<'a> {
    /// At most this many new tokens.
    pub max_tokens: usize,
    /// How each token is chosen.
    pub sampling: Sampling,
    /// Tokens that end the text; they are not part of it.
    pub stop_tokens: &'a [u32],
    /// Changes made in every step. Positions count from the start of the prompt; negative ones from the
    /// end of the text so far, so `-1` is the newest token in every step.
    pub interventions: &'a [Intervention],
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A stop token was chosen.
    StopToken(u32),
    /// The number of new tokens was reached.
    MaxTokens,
    /// The text is as long as the model's learned positions.
    ContextFull,
    /// The callback asked for it.
    Callback,
}

/// A finished continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The new tokens.
    pub tokens: Vec<u32>,
    /// Why there are no more.
    pub stop: StopReason,
}

impl Model {
    /// Continues `prompt`. `on_token` sees each new token at once and returns whether to go on.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn generate(
        &self,
        prompt: &[u32],
        options: &GenerationOptions<'_>,
        mut on_token: impl FnMut(u32) -> bool,
    ) -> Result<Generation, ModelError> {
        let architecture = self.architecture();
        let mut cache = KeyValueCache::new(architecture.n_layers);
        let mut sampler = Sampler::new(options.sampling);
        let mut tokens = Vec::new();
        let mut logits = self.extend(prompt, &mut cache, options.interventions)?;
        let stop = loop {
            if tokens.len() == options.max_tokens {
                break StopReason::MaxTokens;
            }
            let token = sampler.next(&mut logits);
            if options.stop_tokens.contains(&token) {
                break StopReason::StopToken(token);
            }
            tokens.push(token);
            if !on_token(token) {
                break StopReason::Callback;
            }
            if tokens.len() == options.max_tokens {
                break StopReason::MaxTokens;
            }
            if architecture.learned_positions && cache.len() == architecture.context_length {
                break StopReason::ContextFull;
            }
            logits = self.extend(&[token], &mut cache, options.interventions)?;
        };
        Ok(Generation { tokens, stop })
    }
}
