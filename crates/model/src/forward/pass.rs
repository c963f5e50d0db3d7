//! One group of sequences on its way through the layers.
//!
//! `ControlFlow::Break` means that the last wanted hook point has been seen; it ends the pass at once.

use std::ops::ControlFlow;

use glossator_kernels::{Buffer, Precision, Threads, gather_rows};

use super::cache::KeyValueCache;
use super::groups::Group;
use super::plan::{Plan, Touch};
use super::scratch::Scratch;
use super::step::Paged;
use super::weights::norm;
use super::{Decoder, RotaryTables};
use crate::batch::{Activation, Observer};
use crate::hook::{BlockSite, HookPoint};
use crate::intervention::Rows as InterventionRows;

/// Everything that stays the same while a group goes through the layers.
pub(super) struct Pass<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) plan: &'a Plan<'a>,
    pub(super) observer: &'a dyn Observer,
    pub(super) group: &'a Group,
    pub(super) rotary: &'a RotaryTables,
    pub(super) threads: Threads,
    /// Positions of the sequence that a cache holds.
    pub(super) cached: usize,
    /// Present when keys and values are kept in pages.
    pub(super) paged: Option<&'a Paged<'a>>,
}

impl Pass<'_> {
    /// Runs embedding and blocks; then, if `logits` is given, final norm and unembedding of the last
    /// `logits.len() / vocab_size` rows.
    pub(super) fn run(
        &self,
        tokens: &[u32],
        scratch: &mut Scratch,
        cache: Option<&mut KeyValueCache>,
        logits: Option<&mut [f32]>,
    ) -> ControlFlow<()> {
        self.blocks(tokens, scratch, cache)?;
        self.finish(scratch, logits)
    }

    /// Runs embedding and blocks.
    pub(super) fn blocks(
        &self,
        tokens: &[u32],
        scratch: &mut Scratch,
        mut cache: Option<&mut KeyValueCache>,
    ) -> ControlFlow<()> {
        self.embed(tokens, scratch)?;
        for layer in 0..self.decoder.architecture.n_layers {
            self.block(layer, scratch, cache.as_deref_mut())?;
        }
        if let Some(cache) = cache {
            cache.advance(tokens.len());
        }
        ControlFlow::Continue(())
    }

    /// Token and position embeddings into the residual stream.
    fn embed(&self, tokens: &[u32], scratch: &mut Scratch) -> ControlFlow<()> {
        let d_model = self.decoder.architecture.d_model;
        let resid = scratch.resid.sized(tokens.len() * d_model);
        gather_rows(&self.decoder.embedding.data, d_model, tokens, resid);
        let scale = self.decoder.architecture.embedding_scale;
        if scale.to_bits() != 1f32.to_bits() {
            for value in &mut *resid {
                *value *= scale;
            }
        }
        self.visit(HookPoint::Embed, resid)?;
        let Some(table) = &self.decoder.positions else { return ControlFlow::Continue(()) };
        let positions: Vec<u32> = (0..self.group.sequences.len())
            .flat_map(|sequence| {
                let first = self.first_position(sequence);
                first..first + self.group.sequence_rows(sequence).len()
            })
            .map(|position| position as u32)
            .collect();
        let added = scratch.branch.sized(resid.len());
        gather_rows(&table.data, d_model, &positions, added);
        self.visit(HookPoint::PosEmbed, added)?;
        add(resid, added);
        ControlFlow::Continue(())
    }

    /// `x ← x + attention(ln1 x)`, `x ← x + mlp(ln2 x)`, or both from the same `x`.
    fn block(
        &self,
        layer: usize,
        scratch: &mut Scratch,
        cache: Option<&mut KeyValueCache>,
    ) -> ControlFlow<()> {
        let length = self.group.rows() * self.decoder.architecture.d_model;
        self.visit_block(layer, BlockSite::ResidPre, scratch.resid.sized(length))?;
        self.attention(layer, scratch, cache)?;
        if !self.decoder.architecture.parallel_residual {
            self.visit_block(layer, BlockSite::ResidMid, scratch.resid.sized(length))?;
        }
        self.mlp(layer, scratch)?;
        self.visit_block(layer, BlockSite::ResidPost, scratch.resid.sized(length))
    }

    fn finish(&self, scratch: &mut Scratch, logits: Option<&mut [f32]>) -> ControlFlow<()> {
        let architecture = &self.decoder.architecture;
        let length = self.group.rows() * architecture.d_model;
        self.norm(
            &norm(architecture.norm, &self.decoder.final_norm),
            [HookPoint::LnFinalScale, HookPoint::LnFinalNormalized],
            None,
            &scratch.resid.as_slice()[..length],
            &mut scratch.normed,
            &mut scratch.norm,
        )?;
        if let Some(logits) = logits {
            self.decoder.unembed_rows(scratch.normed.operand(), self.group.rows(), self.threads, logits);
        }
        ControlFlow::Continue(())
    }

    /// Position of the first row of a sequence of the group: what came before is in a cache, or in rows that the
    /// sequence shares with others.
    pub(super) fn first_position(&self, sequence: usize) -> usize {
        if let Some(paged) = self.paged {
            return paged.first_position(sequence);
        }
        let Some(shared) = &self.group.shared else { return self.cached };
        shared.paths[sequence].len() - self.group.sequence_rows(sequence).len()
    }

    /// The number format in which rows are handed to products.
    pub(super) fn precision(&self) -> Precision {
        self.decoder.row_precision()
    }

    /// What happens at a hook point.
    pub(super) fn touch(&self, hook: HookPoint) -> Touch {
        self.plan.touch(hook, self.decoder.architecture.n_layers)
    }

    /// What happens at a site of a block.
    pub(super) fn touch_block(&self, layer: usize, site: BlockSite) -> Touch {
        self.touch(HookPoint::block(layer, site))
    }

    /// As [`Pass::visit`], at a site of a block.
    pub(super) fn visit_block(&self, layer: usize, site: BlockSite, values: &mut [f32]) -> ControlFlow<()> {
        self.visit(HookPoint::block(layer, site), values)
    }

    /// Changes the values as the interventions say, then shows them to the observer.
    pub(super) fn visit(&self, hook: HookPoint, values: &mut [f32]) -> ControlFlow<()> {
        if self.touch(hook) == Touch::None {
            return ControlFlow::Continue(());
        }
        let architecture = &self.decoder.architecture;
        let width = hook.width(architecture);
        for change in self.plan.changes(hook) {
            change.apply(
                architecture,
                &InterventionRows {
                    first_sequence: self.group.sequences.start,
                    starts: &self.group.starts,
                    first_position: self.cached,
                },
                values,
            );
        }
        if self.plan.is_wanted(hook, architecture.n_layers) {
            let activation = Activation {
                sequences: self.group.sequences.clone(),
                starts: &self.group.starts,
                width,
                values,
                pairwise: hook.is_pairwise(),
            };
            self.observer.observe(hook, &activation);
        }
        if self.plan.ends_at(hook) {
            return ControlFlow::Break(());
        }
        self.visit_features(hook, values)
    }

    /// As [`Pass::visit`] for columns `[first, first + width)` of rows of `stride` values.
    pub(super) fn visit_columns(
        &self,
        hook: HookPoint,
        buffer: &mut [f32],
        stride: usize,
        first: usize,
        copy: &mut Buffer<f32>,
    ) -> ControlFlow<()> {
        let touch = self.touch(hook);
        if touch == Touch::None {
            return ControlFlow::Continue(());
        }
        let width = hook.width(&self.decoder.architecture);
        let copy = copy.sized(buffer.len() / stride * width);
        for (row, copied) in buffer.chunks_exact(stride).zip(copy.chunks_exact_mut(width)) {
            copied.copy_from_slice(&row[first..first + width]);
        }
        self.visit(hook, copy)?;
        if touch == Touch::Changed {
            for (row, copied) in buffer.chunks_exact_mut(stride).zip(copy.chunks_exact(width)) {
                row[first..first + width].copy_from_slice(copied);
            }
        }
        ControlFlow::Continue(())
    }
}

/// `a ← a + b`
pub(super) fn add(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}
