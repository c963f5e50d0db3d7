//! What the corpus needs of a tokenizer.

use xxhash_rust::xxh3::Xxh3;

/// A tokenizer as the corpus sees it.
pub trait Tokenize: Sync {
    /// Token ids of `text`, no special token added; or why not.
    fn encode(&self, text: &str) -> Result<Vec<u32>, String>;
    /// The token that begins a document, if there is one.
    fn bos(&self) -> Option<u32>;
    /// Whether the tokenizer's own file says that a sequence begins with BOS.
    fn add_bos(&self) -> bool;
    /// Changes when the ids of a text may change.
    fn fingerprint(&self) -> u64;
}

impl Tokenize for glossator_model::Tokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        self.encode(text).map_err(|error| error.to_string())
    }

    fn bos(&self) -> Option<u32> {
        self.bos()
    }

    fn add_bos(&self) -> bool {
        self.add_bos()
    }

    /// Hash of the vocabulary in order of the ids.
    fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for id in 0..self.vocab_size() as u32 {
            let bytes = self.token_bytes(id);
            hash.update(&(bytes.len() as u32).to_le_bytes());
            hash.update(bytes);
        }
        hash.digest()
    }
}
