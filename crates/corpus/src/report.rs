//! What was read, what was left out, and why.

use std::path::PathBuf;

use serde::Serialize;

/// How many places of each kind a report lists; all are counted.
pub(crate) const LISTED: usize = 20;

/// Everything worth knowing about a corpus before it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CorpusReport {
    /// Identity of texts, plan and tokenizer: equal fingerprints give equal windows.
    pub fingerprint: String,
    /// Files read.
    pub files: usize,
    /// Text read, bytes, decompressed.
    pub text_bytes: u64,
    /// Documents read (a text longer than 64 KiB counts as several).
    pub documents: usize,
    /// Of these, documents that repeat another one byte for byte; each text is used once.
    pub duplicates: usize,
    /// Distinct documents of the training split.
    pub train_documents: usize,
    /// Distinct documents of the held-out split.
    pub held_out_documents: usize,
    /// Documents that were tokenised to find the windows.
    pub tokenised_documents: usize,
    /// Of these, documents that are shorter than a window and so give none.
    pub short_documents: usize,
    /// Windows.
    pub windows: usize,
    /// Tokens of the windows, BOS included.
    pub tokens: u64,
    /// Tokens that were asked for.
    pub wanted_tokens: u64,
    /// Rounds through the documents, each taking at most `windows_per_document` windows of every one.
    pub rounds: usize,
    /// Whether every window begins with BOS.
    pub begins_with_bos: bool,
    /// Number of invalid UTF-8 sequences, each replaced by U+FFFD.
    pub invalid_utf8_count: u64,
    /// The first of them.
    pub invalid_utf8: Vec<InvalidUtf8>,
    /// Number of JSONL lines that were left out.
    pub bad_line_count: u64,
    /// The first of them.
    pub bad_lines: Vec<BadLine>,
}

/// A place that is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvalidUtf8 {
    /// The file.
    pub path: PathBuf,
    /// Row of a Parquet table, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Byte offset in the decompressed file, or in the value of `row`.
    pub offset: u64,
}

/// A JSONL line that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// The file.
    pub path: PathBuf,
    /// Line number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Collects what a reader has to say about one file.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) invalid_utf8_count: u64,
    pub(crate) invalid_utf8: Vec<InvalidUtf8>,
    pub(crate) bad_line_count: u64,
    pub(crate) bad_lines: Vec<BadLine>,
}

impl Findings {
    pub(crate) fn invalid_utf8(&mut self, found: InvalidUtf8) {
        self.invalid_utf8_count += 1;
        if self.invalid_utf8.len() < LISTED {
            self.invalid_utf8.push(found);
        }
    }

    pub(crate) fn bad_line(&mut self, found: BadLine) {
        self.bad_line_count += 1;
        if self.bad_lines.len() < LISTED {
            self.bad_lines.push(found);
        }
    }

    /// Appends the findings of the next file.
    pub(crate) fn append(&mut self, next: Self) {
        self.invalid_utf8_count += next.invalid_utf8_count;
        self.invalid_utf8.extend(next.invalid_utf8);
        self.invalid_utf8.truncate(LISTED);
        self.bad_line_count += next.bad_line_count;
        self.bad_lines.extend(next.bad_lines);
        self.bad_lines.truncate(LISTED);
    }
}
