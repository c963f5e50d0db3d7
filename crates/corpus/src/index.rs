//! First reading: what documents there are.

use std::ops::ControlFlow;

use rayon::prelude::*;

use crate::discover::SourceFile;
use crate::error::CorpusError;
use crate::fingerprint;
use crate::plan::CorpusPlan;
use crate::reader::{self, Document};
use crate::report::Findings;

/// All that is kept of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// Hash of the text.
    pub(crate) content: u128,
    /// Which file.
    pub(crate) file: u32,
    /// Position among the documents of the file.
    pub(crate) ordinal: u32,
    /// Length of the text, bytes.
    pub(crate) bytes: u32,
}

/// The distinct documents of all files.
#[derive(Debug)]
pub(crate) struct Index {
    /// Ascending by content; of equal texts the first.
    pub(crate) entries: Vec<Entry>,
    /// Number of documents, repeated ones included.
    pub(crate) documents: usize,
    /// Length of all documents, bytes.
    pub(crate) text_bytes: u64,
    pub(crate) findings: Findings,
}

impl Index {
    /// Reads every file once, several files at a time.
    pub(crate) fn build(files: &[SourceFile], plan: &CorpusPlan) -> Result<Self, CorpusError> {
        let parts: Vec<(Vec<Entry>, Findings)> = files
            .par_iter()
            .enumerate()
            .map(|(number, file)| entries_of(number as u32, file, plan))
            .collect::<Result<_, _>>()?;
        let mut entries = Vec::with_capacity(parts.iter().map(|(entries, _)| entries.len()).sum());
        let mut findings = Findings::default();
        for (of_file, found) in parts {
            entries.extend(of_file);
            findings.append(found);
        }
        let documents = entries.len();
        let text_bytes = entries.iter().map(|entry| u64::from(entry.bytes)).sum();
        entries.par_sort_unstable();
        entries.dedup_by_key(|entry| entry.content);
        Ok(Self { entries, documents, text_bytes, findings })
    }
}

fn entries_of(
    number: u32,
    file: &SourceFile,
    plan: &CorpusPlan,
) -> Result<(Vec<Entry>, Findings), CorpusError> {
    let mut entries = Vec::new();
    let findings = reader::read(file, plan, &mut |Document { ordinal, text, .. }| {
        let content = fingerprint::content(text);
        entries.push(Entry { content, file: number, ordinal, bytes: text.len() as u32 });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((entries, findings))
}
