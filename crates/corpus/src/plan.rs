//! What to read, and how to cut it: everything that decides the set and the order of the windows.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::CorpusError;
use crate::format::Format;

/// Which text becomes which windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorpusPlan {
    /// Files, directories (read recursively), globs, or `-` for standard input.
    pub sources: Vec<PathBuf>,
    /// Format of standard input and of named files whose extension says nothing; text by default.
    pub format: Format,
    /// The field of a JSONL line, or the column of a Parquet file, that holds the text.
    pub text_field: String,
    /// The field of a JSONL line that says what kind of text it is; see [`Corpus::label`](crate::Corpus::label).
    pub label_field: Option<String>,
    /// Window length in tokens, the BOS token included where there is one.
    pub context: usize,
    /// How many tokens are wanted; rounded up to whole windows.
    pub tokens: u64,
    /// Decides the order of documents and the places of windows.
    pub seed: u64,
    /// Whether a window begins with the BOS token.
    pub bos: BosPolicy,
    /// Share of the documents that is held out, in `[0, 1)`.
    pub held_out: f64,
    /// Which side of the split is read.
    pub split: Split,
    /// How many windows a document gives before every other document has given as many.
    pub windows_per_document: usize,
    /// Leave out JSONL lines that cannot be used, and report them, instead of stopping at the first.
    pub skip_bad_lines: bool,
}

impl Default for CorpusPlan {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            format: Format::Text,
            text_field: "text".to_owned(),
            label_field: None,
            context: 64,
            tokens: 1_000_000,
            seed: 0,
            bos: BosPolicy::Auto,
            held_out: 0.1,
            split: Split::Train,
            windows_per_document: 4,
            skip_bad_lines: false,
        }
    }
}

impl CorpusPlan {
    /// Checks the numbers before anything is read.
    pub(crate) fn check(&self) -> Result<(), CorpusError> {
        if self.sources.is_empty() {
            return Err(CorpusError::plan("corpus", "name at least one file, directory or glob, or `-`"));
        }
        if !(2..=1 << 20).contains(&self.context) {
            return Err(CorpusError::plan("context", format!("{} is not in 2..=1048576", self.context)));
        }
        if self.tokens == 0 {
            return Err(CorpusError::plan("tokens", "must be at least 1"));
        }
        if self.tokens.div_ceil(self.context as u64) > u64::from(u32::MAX) {
            return Err(CorpusError::plan("tokens", "more than 2^32 windows; record the corpus in parts"));
        }
        if !(0.0..1.0).contains(&self.held_out) {
            return Err(CorpusError::plan("held-out", format!("{} is not in [0, 1)", self.held_out)));
        }
        if self.split == Split::HeldOut && self.held_out == 0.0 {
            return Err(CorpusError::plan("split", "nothing is held out: set held-out above 0"));
        }
        if self.windows_per_document == 0 {
            return Err(CorpusError::plan("windows-per-document", "must be at least 1"));
        }
        Ok(())
    }
}

/// Whether a window begins with the BOS token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BosPolicy {
    /// As the tokenizer's own file says.
    #[default]
    Auto,
    /// Always; an error if the tokenizer has no BOS token.
    Always,
    /// Never.
    Never,
}

/// A side of the held-out split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// The documents that are not held out.
    #[default]
    Train,
    /// The documents that are held out.
    HeldOut,
}

impl Split {
    /// `train` or `held-out`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::HeldOut => "held-out",
        }
    }
}

/// Part `index` of `count` of a corpus: every `count`-th batch, so that batches hold the same windows in every part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// The whole corpus.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index`, from 0, of `count`.
    pub fn new(index: usize, count: usize) -> Result<Self, CorpusError> {
        if index < count {
            Ok(Self { index, count })
        } else {
            Err(CorpusError::plan("shard", format!("there is no part {} of {count}", index + 1)))
        }
    }

    /// Number of parts.
    pub fn count(self) -> usize {
        self.count
    }

    /// Which part, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// Whether the batch with this number belongs to the part.
    pub fn holds(self, batch: usize) -> bool {
        batch % self.count == self.index
    }
}

/// `2/4`: the second of four parts.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

impl FromStr for Shard {
    type Err = CorpusError;

    fn from_str(text: &str) -> Result<Self, CorpusError> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse::<usize>().ok()?, n.parse().ok()?)));
        match parts {
            Some((number @ 1.., count)) => Self::new(number - 1, count),
            _ => Err(CorpusError::plan("shard", format!("`{text}` is not of the form 2/4"))),
        }
    }
}
