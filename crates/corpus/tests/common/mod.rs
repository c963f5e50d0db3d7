//! A tokenizer that anyone can check by eye, and plans for small directories.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;

use glossator_corpus::{CorpusPlan, Tokenize};

pub(crate) const BOS: u32 = 256;

/// One token a byte.
pub(crate) struct Bytes {
    pub(crate) add_bos: bool,
}

impl Tokenize for Bytes {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn bos(&self) -> Option<u32> {
        Some(BOS)
    }

    fn add_bos(&self) -> bool {
        self.add_bos
    }

    fn fingerprint(&self) -> u64 {
        u64::from(self.add_bos)
    }
}

/// Windows of 8 tokens from everything below `directory`, nothing held out.
pub(crate) fn plan(directory: &Path) -> CorpusPlan {
    CorpusPlan {
        sources: vec![directory.to_owned()],
        context: 8,
        tokens: 1 << 20,
        held_out: 0.0,
        ..CorpusPlan::default()
    }
}

/// The bytes of a window as text.
pub(crate) fn text(tokens: &[u32]) -> String {
    String::from_utf8(tokens.iter().filter_map(|&token| u8::try_from(token).ok()).collect()).unwrap()
}
