//! One step of many sequences whose keys and values are kept in pages: some tokens of each, in one ragged batch, so that
//! a weight is read once for all of them. Logits are made only of the rows where they are wanted, and where some tokens
//! are weighed against each other, only of these.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use glossator_kernels::{HeadView, NormOutputs, Operand, Outputs, PagedQuery, Threads};

use super::Decoder;
use super::groups::Group;
use super::pages::{PagePool, place};
use super::pass::Pass;
use super::plan::Plan;
use super::weights::norm;
use crate::batch::{Batch, Run};
use crate::error::ModelError;

/// Rows for which logits are made at a time: 32 rows of 150,000 tokens are 19 MB.
const LOGIT_ROWS: usize = 32;

/// Consecutive tokens of one sequence, the rows of which follow each other in a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) tokens: Vec<u32>,
    /// The position of the first of them.
    pub(crate) first_position: usize,
    /// The pages of the whole sequence.
    pub(crate) pages: Vec<u32>,
}

/// A row that is also a position of another sequence, which begins alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtraWrite {
    pub(crate) row: usize,
    pub(crate) page: u32,
    pub(crate) place: usize,
}

/// What a step computes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) segments: Vec<Segment>,
    pub(crate) extra_writes: Vec<ExtraWrite>,
    /// The rows whose final stream is wanted.
    pub(crate) wanted: Vec<usize>,
}

impl Step {
    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.tokens.len()).sum()
    }
}

/// A step on its way through the layers.
pub(super) struct Paged<'a> {
    step: &'a Step,
    pool: Mutex<&'a mut PagePool>,
}

impl Paged<'_> {
    /// Position of the first row of a segment.
    pub(super) fn first_position(&self, segment: usize) -> usize {
        self.step.segments[segment].first_position
    }
}

impl Decoder {
    /// Computes a step; returns the normalised final streams `[wanted, d_model]`.
    pub(crate) fn step(&self, step: &Step, pool: &mut PagePool) -> Result<Vec<f32>, ModelError> {
        let plan = Plan::new(&self.architecture, &Run { logits: true, ..Run::default() })?;
        let tokens: Vec<&[u32]> = step.segments.iter().map(|segment| segment.tokens.as_slice()).collect();
        let batch = Batch::from_sequences(&tokens);
        let group = Group::new(&batch, 0..batch.len());
        let ends = step.segments.iter().map(|segment| segment.first_position + segment.tokens.len());
        let rotary = self.rotary.tables(&self.architecture.rotaries, ends.max().unwrap_or(0));
        let paged = Paged { step, pool: Mutex::new(pool) };
        let pass = Pass {
            decoder: self,
            plan: &plan,
            observer: &(),
            group: &group,
            rotary: &rotary,
            threads: Threads::All,
            cached: 0,
            paged: Some(&paged),
        };
        let d_model = self.architecture.d_model;
        let resid: Vec<f32> = self.scratch.with(|scratch| {
            // Inside the thread pool: from outside, each of the hundreds of products of a step would wait for a thread to
            // wake up, which takes longer than a small product.
            rayon::scope(|_| {
                let _ = pass.blocks(batch.tokens(), scratch, None);
            });
            let resid = scratch.resid.as_slice();
            step.wanted.iter().flat_map(|row| &resid[row * d_model..][..d_model]).copied().collect()
        });
        let mut normed = vec![0.0; resid.len()];
        norm(self.architecture.norm, &self.final_norm)
            .apply(&resid, NormOutputs { f32: Some(&mut normed), ..NormOutputs::default() });
        Ok(normed)
    }

    /// Shows logits `[rows, vocab_size]` of normalised streams to `see`, some rows at a time. The unembedding must be
    /// packed.
    pub(crate) fn see_logits(&self, normed: &[f32], see: &mut dyn FnMut(Range<usize>, &mut [f32])) {
        let (d_model, vocab_size) = (self.architecture.d_model, self.architecture.vocab_size);
        let mut logits = vec![0.0; LOGIT_ROWS.min(normed.len() / d_model) * vocab_size];
        for (portion, normed) in normed.chunks(LOGIT_ROWS * d_model).enumerate() {
            let rows = normed.len() / d_model;
            let logits = &mut logits[..rows * vocab_size];
            self.unembed_rows(Operand::F32(normed), rows, Threads::All, logits);
            let first = portion * LOGIT_ROWS;
            see(first..first + rows, logits);
        }
    }

    /// Logits `[rows, tokens]` of some tokens, with the bits that they have among all. The unembedding must be packed.
    pub(crate) fn token_logits(&self, normed: &[f32], tokens: &[u32]) -> Vec<f32> {
        let mut logits = vec![0.0; normed.len() / self.architecture.d_model * tokens.len()];
        let rows: Vec<usize> = tokens.iter().map(|token| *token as usize).collect();
        if let Some(unembedding) = self.unembedding.get() {
            unembedding.of_rows(&rows).product(Threads::All).run(normed, &mut logits);
        }
        self.cap_logits(&mut logits);
        logits
    }
}

impl Pass<'_> {
    /// Keeps keys and values of the step's rows, then attends to what each row's sequence has kept.
    pub(super) fn mix_paged(&self, layer: usize, paged: &Paged<'_>, qkv: &[f32], outputs: Outputs<'_>) {
        let [q, k, v] = self.columns();
        let stride = v.end;
        let mut pool = paged.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queries = Vec::with_capacity(self.group.rows());
        let mut write = |row: usize, (page, place): (u32, usize)| {
            let row = &qkv[row * stride..][..stride];
            pool.write(layer, page, place, &row[k.clone()], &row[v.clone()]);
        };
        for (index, segment) in paged.step.segments.iter().enumerate() {
            for (offset, row) in self.group.sequence_rows(index).enumerate() {
                let position = segment.first_position + offset;
                write(row, place(&segment.pages, position));
                queries.push(PagedQuery { pages: &segment.pages, position });
            }
        }
        for extra in &paged.step.extra_writes {
            write(extra.row, (extra.page, extra.place));
        }
        let architecture = &self.decoder.architecture;
        let q = HeadView::new(&qkv[q.start..], stride, architecture.n_heads, architecture.d_head);
        self.kernel(layer).attend_paged(pool.layout(), &pool.layer(layer), q, &queries, outputs);
    }
}
