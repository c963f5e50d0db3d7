//! Prompts in which some text is trusted to name control tokens and other text is not.
//!
//! The marks of a chat template become control tokens; a message that spells such a mark stays text. What stands between
//! two control tokens is tokenised as one piece, as it would be in the rendered conversation.

use super::Tokenizer;
use crate::error::ModelError;

/// A part of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span<'a> {
    /// Text in which the names of control tokens are those tokens.
    Trusted(&'a str),
    /// Text that is only text.
    Plain(&'a str),
}

/// Put before a text so that a tokenizer that begins every text with a space does so elsewhere.
const LEAD: &str = "\n";

impl Tokenizer {
    /// Token ids of a prompt; no token is added at its beginning or end.
    pub fn encode_spans(&self, spans: &[Span<'_>]) -> Result<Vec<u32>, ModelError> {
        let mut tokens = Vec::new();
        let mut waiting = String::new();
        for span in spans {
            match span {
                Span::Plain(text) => waiting.push_str(text),
                Span::Trusted(text) => {
                    let mut rest = *text;
                    while let Some((at, name, id)) = self.first_control(rest) {
                        waiting.push_str(&rest[..at]);
                        self.flush(&mut waiting, &mut tokens)?;
                        tokens.push(id);
                        rest = &rest[at + name.len()..];
                    }
                    waiting.push_str(rest);
                }
            }
        }
        self.flush(&mut waiting, &mut tokens)?;
        Ok(tokens)
    }

    /// Token ids of a text that continues another one. Names of control tokens in it are text.
    pub fn encode_inside(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let (lead, whole) = (self.encode_plain(LEAD)?, self.encode_plain(&format!("{LEAD}{text}"))?);
        let begins_with_space =
            self.encode_plain("a")?.first().is_some_and(|id| self.token_bytes(*id) == b" a");
        match whole.strip_prefix(lead.as_slice()) {
            Some(own) if begins_with_space => Ok(own.to_vec()),
            _ => self.encode_plain(text),
        }
    }

    /// Token ids of a text in which names of control tokens are text.
    fn encode_plain(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let plain = self.plain.get_or_init(|| {
            let mut plain = self.inner.clone();
            plain.set_encode_special_tokens(true);
            plain
        });
        let encoding =
            plain.encode_fast(text, false).map_err(|error| ModelError::Tokenizer(error.to_string()))?;
        match encoding.get_ids().iter().find(|id| self.is_special(**id)) {
            Some(id) => Err(ModelError::Tokenizer(format!(
                "a text became the control token {}",
                self.token_text(*id)
            ))),
            None => Ok(encoding.get_ids().to_vec()),
        }
    }

    fn flush(&self, waiting: &mut String, tokens: &mut Vec<u32>) -> Result<(), ModelError> {
        if !waiting.is_empty() {
            let own =
                if tokens.is_empty() { self.encode_plain(waiting) } else { self.encode_inside(waiting) };
            tokens.extend(own?);
            waiting.clear();
        }
        Ok(())
    }

    /// The first control token that a text names: where, by which name (the longest), and its id.
    fn first_control(&self, text: &str) -> Option<(usize, &str, u32)> {
        let found = |(name, id): &(String, u32)| text.find(name.as_str()).map(|at| (at, name.len(), *id));
        let (at, length, id) = self
            .added
            .iter()
            .filter_map(found)
            .min_by_key(|(at, length, _)| (*at, std::cmp::Reverse(*length)))?;
        let name = self.added.iter().find(|(name, other)| *other == id && name.len() == length)?;
        Some((at, &name.0, id))
    }
}
