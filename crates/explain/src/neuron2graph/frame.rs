//! What surrounds the tokens that a search tries: the padding token that stands for "anything", and what goes in front.

use glossator_model::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::ExplainError;

/// The token that replaces others when their importance is tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// The token.
    pub token: u32,
    /// Why this one.
    pub rule: String,
}

impl Padding {
    /// The first that the tokenizer has of: ` _` as a single token (as Gao et al. 2024 use for GPT-2), `_` as a single
    /// token, the padding token, the end-of-sequence token.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self, ExplainError> {
        for text in [" _", "_"] {
            if let [token] = tokenizer.encode(text)?[..]
                && !tokenizer.is_special(token)
            {
                return Ok(Self { token, rule: format!("`{text}` is a single token") });
            }
        }
        let special =
            [(tokenizer.pad(), "the padding token"), (tokenizer.eos(), "the end-of-sequence token")];
        let found =
            special.into_iter().find_map(|(token, rule)| Some(Self { token: token?, rule: rule.to_owned() }));
        found.ok_or(ExplainError::NoPadding)
    }
}

/// How sequences are put together around a suffix.
///
/// Every sequence begins with a *lead*: the begin-of-sequence token where the unit's windows have one, else a padding
/// token. Many models treat the first position of a sequence unlike all others (an attention sink with a huge
/// residual), so that a unit's value on a bare suffix says little about the same tokens inside a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The begin-of-sequence token that the unit's windows begin with.
    pub bos: Option<u32>,
    /// The padding token.
    pub padding: u32,
}

impl Frame {
    /// `tokens` without the begin-of-sequence token.
    pub fn body(self, tokens: &[u32]) -> &[u32] {
        match tokens.split_first() {
            Some((first, body)) if Some(*first) == self.bos => body,
            _ => tokens,
        }
    }

    /// The lead, `padding` padding tokens, and `suffix`.
    pub(super) fn led(self, padding: usize, suffix: &[u32]) -> Vec<u32> {
        let mut tokens = vec![self.bos.unwrap_or(self.padding)];
        tokens.extend(std::iter::repeat_n(self.padding, padding));
        tokens.extend_from_slice(suffix);
        tokens
    }

    /// `body` at the beginning of a sequence, as in the recorded window.
    pub(super) fn initial(self, body: &[u32]) -> Vec<u32> {
        self.bos.into_iter().chain(body.iter().copied()).collect()
    }
}
