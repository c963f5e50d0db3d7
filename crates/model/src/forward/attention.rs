//! The attention half of a block: queries, keys and values of `ln1(stream)`, q/k norm, rotary embedding,
//! attention within each sequence, and the output product.

use std::ops::{ControlFlow, Range};

use glossator_kernels::{Attention, Buffer, HeadView, NormOutputs, Outputs};

use super::branch::{Branch, BranchScratch};
use super::cache::{KeyValueCache, LayerCache};
use super::pass::Pass;
use super::plan::Touch;
use super::scratch::Scratch;
use super::weights::norm;
use crate::checkpoint::NormWeights;
use crate::hook::{BlockSite as Site, HookPoint};

impl Pass<'_> {
    /// Reads the stream and adds what attention writes; in a parallel block the output waits in
    /// `scratch.branch` until the MLP has read the stream too.
    pub(super) fn attention(
        &self,
        layer: usize,
        scratch: &mut Scratch,
        cache: Option<&mut KeyValueCache>,
    ) -> ControlFlow<()> {
        let architecture = &self.decoder.architecture;
        let weights = &self.decoder.layers[layer];
        let length = self.group.rows() * architecture.d_model;
        self.norm(
            &norm(architecture.norm, &weights.ln1),
            [Site::Ln1Scale, Site::Ln1Normalized].map(|site| HookPoint::block(layer, site)),
            None,
            &scratch.resid.as_slice()[..length],
            &mut scratch.normed,
            &mut scratch.norm,
        )?;
        self.project(layer, scratch)?;
        self.position(layer, scratch)?;
        self.mix(layer, scratch, cache)?;
        let branch = Branch {
            layer,
            output: &weights.o,
            post_norm: weights.ln1_post.as_ref(),
            sites: [Site::Ln1PostScale, Site::Ln1PostNormalized, Site::AttnOut],
        };
        let buffers =
            BranchScratch { branch: &mut scratch.branch, copy: &mut scratch.copy, norm: &mut scratch.norm };
        if architecture.parallel_residual {
            branch.compute(self, scratch.z.operand(), length, buffers)?;
            return ControlFlow::Continue(());
        }
        branch.add_to(self, scratch.z.operand(), scratch.resid.sized(length), buffers)
    }

    /// One product for queries, keys and values, `[tokens, q | k | v]`.
    fn project(&self, layer: usize, scratch: &mut Scratch) -> ControlFlow<()> {
        let [q, k, v] = self.columns();
        let qkv = scratch.qkv.sized(self.group.rows() * v.end);
        self.decoder.layers[layer].qkv.product(self.threads).run(scratch.normed.operand(), qkv);
        for (site, columns) in [(Site::Q, q), (Site::K, k), (Site::V, v.clone())] {
            let hook = HookPoint::block(layer, site);
            self.visit_columns(hook, qkv, v.end, columns.start, &mut scratch.copy)?;
        }
        ControlFlow::Continue(())
    }

    /// The columns of queries, keys and values in a row of the projection.
    pub(super) fn columns(&self) -> [Range<usize>; 3] {
        let (q, kv) = (self.decoder.architecture.q_width(), self.decoder.architecture.kv_width());
        [0..q, q..q + kv, q + kv..q + 2 * kv]
    }

    /// q/k norm and rotary embedding, in place.
    fn position(&self, layer: usize, scratch: &mut Scratch) -> ControlFlow<()> {
        let architecture = &self.decoder.architecture;
        let weights = &self.decoder.layers[layer];
        let [q, k, v] = self.columns();
        let stride = v.end;
        let qkv = scratch.qkv.sized(self.group.rows() * stride);
        let parts = [
            (Site::RotQ, q, weights.q_norm.as_ref(), architecture.n_heads),
            (Site::RotK, k, weights.k_norm.as_ref(), architecture.n_kv_heads),
        ];
        for (site, columns, head_norm, heads) in parts {
            if let Some(weights) = head_norm {
                self.norm_heads(weights, qkv, stride, columns.clone(), &mut scratch.copy);
            }
            if let Some(table) = architecture.layers[layer].rotary.map(|index| &self.rotary[index]) {
                for sequence in 0..self.group.sequences.len() {
                    let rows = self.group.sequence_rows(sequence);
                    let x = &mut qkv[rows.start * stride + columns.start..];
                    let first = self.first_position(sequence);
                    table.rotate(x, stride, heads, architecture.d_head, rows.len(), first);
                }
            }
            let hook = HookPoint::block(layer, site);
            if hook.exists_in(architecture) {
                self.visit_columns(hook, qkv, stride, columns.start, &mut scratch.copy)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// A norm over each head of the given columns.
    fn norm_heads(
        &self,
        weights: &NormWeights,
        qkv: &mut [f32],
        stride: usize,
        columns: Range<usize>,
        copy: &mut Buffer<f32>,
    ) {
        let norm = norm(self.decoder.architecture.norm, weights);
        let copy = copy.sized(columns.len());
        for row in qkv.chunks_exact_mut(stride) {
            let heads = &mut row[columns.clone()];
            copy.copy_from_slice(heads);
            norm.apply(copy, NormOutputs { f32: Some(heads), ..NormOutputs::default() });
        }
    }

    /// Attention within each sequence, `z` `[tokens, n_heads · d_head]`.
    fn mix(&self, layer: usize, scratch: &mut Scratch, cache: Option<&mut KeyValueCache>) -> ControlFlow<()> {
        let architecture = &self.decoder.architecture;
        let cached = cache.map(|cache| {
            let [_, k, v] = self.columns();
            let layer = cache.layer(layer);
            for row in scratch.qkv.as_slice()[..self.group.rows() * v.end].chunks_exact(v.end) {
                layer.keys.extend_from_slice(&row[k.clone()]);
                layer.values.extend_from_slice(&row[v.clone()]);
            }
            &*layer
        });
        let touch = self.touch_block(layer, Site::Z);
        let length = self.group.rows() * architecture.q_width();
        let mut outputs = scratch.z.outputs(length, self.precision(), touch);
        let scores = self.touch_block(layer, Site::AttnScores);
        let pattern = self.touch_block(layer, Site::Pattern);
        if let Some(paged) = self.paged {
            self.mix_paged(layer, paged, scratch.qkv.as_slice(), outputs);
            return ControlFlow::Continue(());
        }
        if scores == Touch::None && pattern == Touch::None {
            for sequence in 0..self.group.sequences.len() {
                let rows = self.group.sequence_rows(sequence);
                let heads = self.heads(scratch.qkv.as_slice(), cached, sequence);
                let part = narrowed(&mut outputs, rows.clone(), architecture.q_width());
                let first = self.first_position(sequence);
                self.kernel(layer).attend(heads.q, heads.k, heads.v, rows.len(), first, part);
            }
        } else {
            self.mix_explicitly(layer, scratch.qkv.as_slice(), cached, &mut scratch.pairs, &mut outputs)?;
        }
        if touch == Touch::None {
            return ControlFlow::Continue(());
        }
        self.visit_block(layer, Site::Z, scratch.z.wide())
    }

    /// Attention with scores and pattern of all sequences materialised for their hooks.
    fn mix_explicitly(
        &self,
        layer: usize,
        qkv: &[f32],
        cached: Option<&LayerCache>,
        pairs: &mut Buffer<f32>,
        outputs: &mut Outputs<'_>,
    ) -> ControlFlow<()> {
        let n_heads = self.decoder.architecture.n_heads;
        let sequences = || (0..self.group.sequences.len()).map(|index| self.group.sequence_rows(index));
        let area = |rows: &Range<usize>| n_heads * rows.len() * (self.cached + rows.len());
        let pairs = pairs.sized(sequences().map(|rows| area(&rows)).sum());
        let mut first = 0;
        for (sequence, rows) in sequences().enumerate() {
            let part = &mut pairs[first..first + area(&rows)];
            let heads = self.heads(qkv, cached, sequence);
            self.kernel(layer).scores(heads.q, heads.k, rows.len(), self.cached, part);
            first += area(&rows);
        }
        self.visit_block(layer, Site::AttnScores, pairs)?;
        let mut first = 0;
        for rows in sequences() {
            Attention::pattern(&mut pairs[first..first + area(&rows)], self.cached + rows.len());
            first += area(&rows);
        }
        self.visit_block(layer, Site::Pattern, pairs)?;
        let mut first = 0;
        for (sequence, rows) in sequences().enumerate() {
            let heads = self.heads(qkv, cached, sequence);
            let part = narrowed(outputs, rows.clone(), self.decoder.architecture.q_width());
            let pattern = &pairs[first..first + area(&rows)];
            Attention::mix(pattern, heads.v, n_heads, rows.len(), self.cached, part);
            first += area(&rows);
        }
        ControlFlow::Continue(())
    }

    pub(super) fn kernel(&self, layer: usize) -> Attention {
        let architecture = &self.decoder.architecture;
        Attention {
            scale: architecture.attention_scale,
            softcap: architecture.attention_softcap,
            window: architecture.layers[layer].sliding_window,
            precision: self.decoder.attention_precision(),
            threads: self.threads,
        }
    }

    /// Queries of one sequence, and its keys and values from the cache, from rows that it shares, or from its own.
    fn heads<'v>(&'v self, qkv: &'v [f32], cached: Option<&'v LayerCache>, sequence: usize) -> Heads<'v> {
        let architecture = &self.decoder.architecture;
        let (d_head, kv_heads) = (architecture.d_head, architecture.n_kv_heads);
        let [q, k, v] = self.columns();
        let stride = v.end;
        let first = self.group.sequence_rows(sequence).start;
        let from = |row: usize, columns: &Range<usize>, heads| {
            HeadView::new(&qkv[row * stride + columns.start..], stride, heads, d_head)
        };
        let q = from(first, &q, architecture.n_heads);
        if let Some(LayerCache { keys, values }) = cached {
            let [k, v] = [keys, values].map(|stored| HeadView::new(stored, k.len(), kv_heads, d_head));
            return Heads { q, k, v };
        }
        if let Some(shared) = &self.group.shared {
            let [k, v] = [k, v].map(|columns| from(0, &columns, kv_heads).gathered(&shared.paths[sequence]));
            return Heads { q, k, v };
        }
        Heads { q, k: from(first, &k, kv_heads), v: from(first, &v, kv_heads) }
    }
}

struct Heads<'a> {
    q: HeadView<'a>,
    k: HeadView<'a>,
    v: HeadView<'a>,
}

/// The part of the destinations that belongs to some rows.
fn narrowed<'o>(outputs: &'o mut Outputs<'_>, rows: Range<usize>, width: usize) -> Outputs<'o> {
    let range = rows.start * width..rows.end * width;
    Outputs {
        f32: outputs.f32.as_deref_mut().map(|values| &mut values[range.clone()]),
        bf16: outputs.bf16.as_deref_mut().map(|values| &mut values[range]),
    }
}
