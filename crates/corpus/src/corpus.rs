//! A corpus that has been read: the windows and the report.

use std::path::PathBuf;

use rayon::prelude::*;

use crate::discover;
use crate::error::CorpusError;
use crate::fingerprint;
use crate::index::{Entry, Index};
use crate::origin::{DocumentId, DocumentOrigin};
use crate::plan::{BosPolicy, CorpusPlan, Shard, Split};
use crate::report::CorpusReport;
use crate::selection::{Chosen, Selection};
use crate::tokenize::Tokenize;
use crate::window::Window;

/// The windows of a plan, in their order.
#[derive(Debug)]
pub struct Corpus {
    report: CorpusReport,
    context: usize,
    bos: Option<u32>,
    paths: Vec<PathBuf>,
    documents: Vec<Entry>,
    /// Of the documents that were tokenised.
    labels: Vec<Option<String>>,
    chosen: Vec<Chosen>,
    /// Tokens without BOS; `Chosen::start` points into them.
    tokens: Vec<u32>,
}

impl Corpus {
    /// Reads the sources of `plan` and chooses the windows. What stays in memory is 4 bytes a token and about 40 bytes a
    /// document, however long the texts are.
    pub fn open(plan: &CorpusPlan, tokenizer: &dyn Tokenize) -> Result<Self, CorpusError> {
        plan.check()?;
        let bos = bos_token(plan.bos, tokenizer)?;
        let body = plan.context - usize::from(bos.is_some());
        let files = discover::files(plan)?;
        let index = Index::build(&files, plan)?;
        let contents = index.entries.iter().map(|entry| entry.content);
        let fingerprint = fingerprint::corpus(contents, plan, bos, tokenizer);
        let (documents, held_out_documents) = seeded_order(&index, plan);
        let wanted = plan.tokens.div_ceil(plan.context as u64) as usize;
        let selection = Selection::make(&files, plan, tokenizer, &documents, body, wanted)?;
        if selection.chosen.is_empty() {
            return Err(no_windows(plan, &documents));
        }
        let report = CorpusReport {
            fingerprint,
            files: files.len(),
            text_bytes: index.text_bytes,
            documents: index.documents,
            duplicates: index.documents - index.entries.len(),
            train_documents: index.entries.len() - held_out_documents,
            held_out_documents,
            tokenised_documents: selection.slots.len(),
            short_documents: selection.slots.iter().filter(|&&slots| slots == 0).count(),
            windows: selection.chosen.len(),
            tokens: (selection.chosen.len() * plan.context) as u64,
            wanted_tokens: plan.tokens,
            rounds: selection.chosen.last().map_or(0, |last| last.round as usize + 1),
            begins_with_bos: bos.is_some(),
            invalid_utf8_count: index.findings.invalid_utf8_count,
            invalid_utf8: index.findings.invalid_utf8,
            bad_line_count: index.findings.bad_line_count,
            bad_lines: index.findings.bad_lines,
        };
        let Selection { labels, chosen, tokens, .. } = selection;
        let paths = files.into_iter().map(|file| file.path).collect();
        Ok(Self { report, context: plan.context, bos, paths, documents, labels, chosen, tokens })
    }

    /// What was read and what was left out.
    pub fn report(&self) -> &CorpusReport {
        &self.report
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// A corpus without windows cannot be opened.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Window length in tokens.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The token that every window begins with, if the policy says so.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The window with this id.
    pub fn window(&self, id: u32) -> Option<Window> {
        let chosen = self.chosen.get(id as usize)?;
        let mut tokens = Vec::with_capacity(self.context);
        tokens.extend(self.bos);
        tokens.extend_from_slice(self.body(chosen));
        Some(Window { id, document: DocumentId(chosen.document), offset: chosen.offset, tokens })
    }

    /// All windows in the order of their ids.
    pub fn windows(&self) -> impl Iterator<Item = Window> {
        (0..self.chosen.len() as u32).filter_map(|id| self.window(id))
    }

    /// The windows of a shard in batches of `size`; the last batch of the corpus may be smaller.
    pub fn batches(&self, size: usize, shard: Shard) -> impl Iterator<Item = Vec<Window>> {
        let size = size.max(1);
        (0..self.chosen.len().div_ceil(size)).filter(move |&batch| shard.holds(batch)).map(move |batch| {
            let ids = batch * size..((batch + 1) * size).min(self.chosen.len());
            ids.filter_map(|id| self.window(id as u32)).collect()
        })
    }

    /// How often each token id (the index) occurs in the windows of a shard with batches of `size`, BOS included.
    pub fn token_counts(&self, size: usize, shard: Shard) -> Vec<u64> {
        let mut counts = Vec::new();
        let mut count = |token: u32, times: u64| {
            let token = token as usize;
            if token >= counts.len() {
                counts.resize(token + 1, 0);
            }
            counts[token] += times;
        };
        for (_, windows) in
            self.chosen.chunks(size.max(1)).enumerate().filter(|(batch, _)| shard.holds(*batch))
        {
            windows.iter().flat_map(|window| self.body(window)).for_each(|&token| count(token, 1));
            if let Some(bos) = self.bos {
                count(bos, windows.len() as u64);
            }
        }
        counts
    }

    /// Where a document was read.
    pub fn origin(&self, document: DocumentId) -> Option<DocumentOrigin> {
        let entry = self.documents.get(document.0 as usize)?;
        Some(DocumentOrigin { path: self.paths[entry.file as usize].clone(), ordinal: entry.ordinal })
    }

    /// What kind of text a document is: the value of the plan's label field in its line of JSONL, if it is a string, a
    /// number or a truth value.
    pub fn label(&self, document: DocumentId) -> Option<&str> {
        self.labels.get(document.0 as usize)?.as_deref()
    }

    fn body(&self, chosen: &Chosen) -> &[u32] {
        let length = self.context - usize::from(self.bos.is_some());
        &self.tokens[chosen.start..chosen.start + length]
    }
}

fn bos_token(policy: BosPolicy, tokenizer: &dyn Tokenize) -> Result<Option<u32>, CorpusError> {
    let wanted = match policy {
        BosPolicy::Auto => tokenizer.add_bos(),
        BosPolicy::Always => true,
        BosPolicy::Never => false,
    };
    match tokenizer.bos() {
        Some(bos) if wanted => Ok(Some(bos)),
        None if wanted => Err(CorpusError::plan("bos", "the tokenizer has no BOS token; use --bos never")),
        _ => Ok(None),
    }
}

/// The documents of the plan's split in their seeded order, and how many are held out.
fn seeded_order(index: &Index, plan: &CorpusPlan) -> (Vec<Entry>, usize) {
    let (held_out, train): (Vec<Entry>, Vec<Entry>) =
        index.entries.iter().partition(|entry| fingerprint::is_held_out(entry.content, plan.held_out));
    let count = held_out.len();
    let mut documents = match plan.split {
        Split::Train => train,
        Split::HeldOut => held_out,
    };
    documents.par_sort_by_cached_key(|entry| (fingerprint::order(entry.content, plan.seed), entry.content));
    (documents, count)
}

fn no_windows(plan: &CorpusPlan, documents: &[Entry]) -> CorpusError {
    let longest = documents.iter().map(|entry| entry.bytes).max();
    let reason = match longest {
        None => "it has no documents".to_owned(),
        Some(bytes) => {
            format!("each of its {} documents is shorter (the longest has {bytes} bytes)", documents.len())
        }
    };
    CorpusError::NoWindows { context: plan.context, split: plan.split.name(), reason }
}
