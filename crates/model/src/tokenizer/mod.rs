//! Text to token ids and back, from a `tokenizer.json` or from the metadata of a GGUF file.

mod bytes;
mod gguf;
mod huggingface;
mod pretokenizer;
mod prompt;

pub use prompt::Span;

use std::path::Path;
use std::sync::OnceLock;

use bytes::TokenBytes;

use crate::checkpoint::Metadata;
use crate::error::ModelError;

/// The tokenizer of a checkpoint.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same, to which names of control tokens are text; made when it is first needed.
    plain: OnceLock<tokenizers::Tokenizer>,
    /// Tokens that are matched as a whole, by name.
    added: Vec<(String, u32)>,
    bytes: TokenBytes,
    special: Vec<bool>,
    control: Control,
}

/// The tokens with a role, and the file's own convention about them.
#[derive(Debug, Clone, Copy, Default)]
struct Control {
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
    add_bos: bool,
}

impl Tokenizer {
    /// From `tokenizer.json`, with `tokenizer_config.json` and others for the roles of tokens.
    pub(crate) fn from_directory(directory: &Path) -> Result<Self, ModelError> {
        let (inner, control) = huggingface::read(directory)?;
        Ok(Self::new(inner, control))
    }

    /// From the `tokenizer.ggml.*` keys of a GGUF file.
    pub(crate) fn from_gguf(path: &Path, metadata: &Metadata) -> Result<Self, ModelError> {
        let (inner, control) = gguf::read(path, metadata)?;
        Ok(Self::new(inner, control))
    }

    fn new(inner: tokenizers::Tokenizer, control: Control) -> Self {
        let bytes = TokenBytes::of(&inner);
        let mut special = vec![false; bytes.len()];
        for (id, token) in inner.get_added_tokens_decoder() {
            if let Some(flag) = special.get_mut(id as usize) {
                *flag = token.special;
            }
        }
        let added = inner.get_added_tokens_decoder().into_iter().map(|(id, token)| (token.content, id));
        let mut added: Vec<(String, u32)> = added.filter(|(name, _)| !name.is_empty()).collect();
        added.sort_unstable();
        Self { inner, plain: OnceLock::new(), added, bytes, special, control }
    }

    /// Token ids of `text`; no token is added at its beginning or end. The name of a special token inside the
    /// text becomes that token, as everywhere in this field.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding =
            self.inner.encode_fast(text, false).map_err(|error| ModelError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `tokens`, special tokens included; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that a token stands for; empty for an id outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id)
    }

    /// The token as text for display; bytes that are not UTF-8 by themselves are shown as `\xNN`.
    pub fn token_text(&self, id: u32) -> String {
        if (id as usize) < self.vocab_size() {
            bytes::readable(self.token_bytes(id))
        } else {
            format!("<no token {id}>")
        }
    }

    /// Number of token ids. A model may have more rows in its embedding (padding), or fewer.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    /// The token that begins a document.
    pub fn bos(&self) -> Option<u32> {
        self.control.bos
    }

    /// The token that ends a document.
    pub fn eos(&self) -> Option<u32> {
        self.control.eos
    }

    /// The padding token.
    pub fn pad(&self) -> Option<u32> {
        self.control.pad
    }

    /// Whether the tokenizer's own files say that a sequence begins with [`Self::bos`].
    pub fn add_bos(&self) -> bool {
        self.control.add_bos && self.control.bos.is_some()
    }

    /// The id of a token, spelled as in the vocabulary (`Ġthe`, `▁the`).
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether the token is a control token and not text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }
}
