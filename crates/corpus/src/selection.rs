//! Second reading: which windows are taken, and in what order.
//!
//! A document of T tokens has ⌊T / b⌋ slots of b = `context` − BOS tokens, laid from a seeded offset, and offers them in
//! a seeded order. In round r every document, in the seeded order of documents, gives its next `windows_per_document`
//! slots. The windows are the first N of that sequence. Only the documents that round one needs are tokenised.

use std::ops::{ControlFlow, Range};

use rayon::prelude::*;

use crate::discover::SourceFile;
use crate::error::CorpusError;
use crate::fingerprint;
use crate::index::Entry;
use crate::plan::CorpusPlan;
use crate::reader::{self, Document};
use crate::tokenize::Tokenize;

/// Text that is gathered before it is tokenised by all threads together, bytes.
const GATHERED: usize = 4 << 20;

/// A chosen window; its tokens, without BOS, lie at `start` in [`Selection::tokens`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chosen {
    pub(crate) round: u32,
    pub(crate) document: u32,
    /// Which slot of the document's own order.
    pub(crate) turn: u32,
    pub(crate) offset: u32,
    pub(crate) start: usize,
}

/// The windows of a corpus while they are being found.
pub(crate) struct Selection<'a> {
    files: &'a [SourceFile],
    plan: &'a CorpusPlan,
    tokenizer: &'a dyn Tokenize,
    /// Documents in the seeded order.
    order: &'a [Entry],
    /// Tokens of a window without BOS.
    body: usize,
    /// Slots of every document that was tokenised.
    pub(crate) slots: Vec<u32>,
    /// Their labels, where the plan asks for them and the files have them.
    pub(crate) labels: Vec<Option<String>>,
    pub(crate) chosen: Vec<Chosen>,
    pub(crate) tokens: Vec<u32>,
}

impl<'a> Selection<'a> {
    /// Chooses the first `wanted` windows, or all there are.
    pub(crate) fn make(
        files: &'a [SourceFile],
        plan: &'a CorpusPlan,
        tokenizer: &'a dyn Tokenize,
        order: &'a [Entry],
        body: usize,
        wanted: usize,
    ) -> Result<Self, CorpusError> {
        let (slots, labels, chosen, tokens) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut selection = Self { files, plan, tokenizer, order, body, slots, labels, chosen, tokens };
        while selection.slots.len() < order.len() && selection.chosen.len() < wanted {
            let next = selection.slots.len()..selection.enough(wanted);
            selection.slots.resize(next.end, 0);
            selection.labels.resize(next.end, None);
            selection.tokenise(next, 0..plan.windows_per_document)?;
        }
        if selection.chosen.len() < wanted {
            let turns = plan.windows_per_document..selection.turns_for(wanted);
            selection.tokenise(0..order.len(), turns)?;
        }
        selection.chosen.sort_unstable();
        selection.chosen.truncate(wanted);
        Ok(selection)
    }

    /// How far down the order to go for `wanted` windows, judged by the sizes of the documents and what those before
    /// them gave.
    fn enough(&self, wanted: usize) -> usize {
        let (done, most) = (self.slots.len(), self.plan.windows_per_document as f64);
        // A cautious first guess: much English text has fewer bytes a token.
        let expected = |entry: &Entry| (f64::from(entry.bytes) / (5.0 * self.body as f64)).min(most);
        let so_far: f64 = self.order[..done].iter().map(expected).sum();
        let yielded = if so_far > 0.0 { self.chosen.len() as f64 / so_far } else { 1.0 };
        let missing = 1.1 * (wanted - self.chosen.len()) as f64;
        let mut sum = 0.0;
        let count = self.order[done..].iter().take_while(|entry| {
            let before = sum;
            sum += expected(entry) * yielded.max(0.1);
            before < missing
        });
        done + count.count().max(1)
    }

    /// How many turns every document must give so that there are `wanted` windows, in whole rounds.
    fn turns_for(&self, wanted: usize) -> usize {
        let round = self.plan.windows_per_document;
        let most = self.slots.iter().max().copied().unwrap_or(0) as usize;
        let given = |turns: usize| self.slots.iter().map(|&slots| turns.min(slots as usize)).sum::<usize>();
        let (mut low, mut high) = (1, most.div_ceil(round).max(1));
        while low < high {
            let middle = usize::midpoint(low, high);
            if given(middle * round) >= wanted { high = middle } else { low = middle + 1 }
        }
        low * round
    }

    /// Tokenises documents and takes `turns` of each. A document whose slots are known and end before is left out.
    fn tokenise(&mut self, documents: Range<usize>, turns: Range<usize>) -> Result<(), CorpusError> {
        let mut visits: Vec<(u32, u32, u32)> = documents
            .filter(|&document| turns.start == 0 || self.slots[document] as usize > turns.start)
            .map(|document| (self.order[document].file, self.order[document].ordinal, document as u32))
            .collect();
        visits.sort_unstable();
        let mut gathered = Gathered::default();
        for visits in visits.chunk_by(|a, b| a.0 == b.0) {
            let file = &self.files[visits[0].0 as usize];
            let mut next = visits.iter();
            let mut wanted = next.next();
            reader::read(file, self.plan, &mut |Document { ordinal, text, label }| {
                if let Some(&(_, _, document)) = wanted.filter(|visit| visit.1 == ordinal) {
                    gathered.push(document, text);
                    self.labels[document as usize] = label.map(str::to_owned);
                    if gathered.bytes >= GATHERED {
                        self.take(&gathered, &turns)?;
                        gathered = Gathered::default();
                    }
                    wanted = next.next();
                }
                Ok(if wanted.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            if wanted.is_some() {
                return Err(CorpusError::Changed { path: file.path.clone() });
            }
        }
        self.take(&gathered, &turns)
    }

    fn take(&mut self, gathered: &Gathered, turns: &Range<usize>) -> Result<(), CorpusError> {
        let taken: Vec<Taken> = gathered
            .texts
            .par_iter()
            .map(|(document, text)| self.windows_of(*document, text, turns))
            .collect::<Result<_, _>>()?;
        for taken in taken {
            self.slots[taken.document as usize] = taken.slots;
            for (i, &offset) in taken.offsets.iter().enumerate() {
                let turn = turns.start + i;
                self.chosen.push(Chosen {
                    round: (turn / self.plan.windows_per_document) as u32,
                    document: taken.document,
                    turn: turn as u32,
                    offset,
                    start: self.tokens.len() + i * self.body,
                });
            }
            self.tokens.extend(taken.tokens);
        }
        Ok(())
    }

    fn windows_of(&self, document: u32, text: &str, turns: &Range<usize>) -> Result<Taken, CorpusError> {
        let entry = &self.order[document as usize];
        let path = &self.files[entry.file as usize].path;
        if fingerprint::content(text) != entry.content {
            return Err(CorpusError::Changed { path: path.clone() });
        }
        let tokens = self.tokenizer.encode(text).map_err(|reason| CorpusError::Tokenizer {
            path: path.clone(),
            ordinal: u64::from(entry.ordinal),
            reason,
        })?;
        let slots = tokens.len() / self.body;
        let offsets = offsets(entry.content, self.plan.seed, tokens.len(), self.body, turns);
        let tokens =
            offsets.iter().flat_map(|&at| &tokens[at as usize..at as usize + self.body]).copied().collect();
        Ok(Taken { document, slots: slots as u32, offsets, tokens })
    }
}

/// Texts that wait to be tokenised.
#[derive(Default)]
struct Gathered {
    texts: Vec<(u32, String)>,
    bytes: usize,
}

impl Gathered {
    fn push(&mut self, document: u32, text: &str) {
        self.bytes += text.len();
        self.texts.push((document, text.to_owned()));
    }
}

/// What one document gave.
struct Taken {
    document: u32,
    slots: u32,
    offsets: Vec<u32>,
    tokens: Vec<u32>,
}

/// Where the windows of these turns begin in a document of `length` tokens.
fn offsets(content: u128, seed: u64, length: usize, body: usize, turns: &Range<usize>) -> Vec<u32> {
    let slots = length / body;
    let spare = length - slots * body;
    let phase = (fingerprint::place(content, 0, seed) % (spare as u64 + 1)) as u32;
    // Fisher–Yates, as far as the turns go.
    let mut order: Vec<u32> = (0..slots as u32).collect();
    let end = turns.end.min(slots);
    for turn in 0..end {
        let draw = fingerprint::place(content, turn as u64 + 1, seed) % (slots - turn) as u64;
        order.swap(turn, turn + draw as usize);
    }
    order.get(turns.start..end).unwrap_or_default().iter().map(|slot| phase + slot * body as u32).collect()
}
