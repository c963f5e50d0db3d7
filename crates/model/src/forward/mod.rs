//! The forward pass of one decoder, driven by what is asked for.
//!
//! A batch is cut into groups of whole sequences; each thread takes a group through all layers while
//! its activations stay in the thread's cache. Values exist only as long as the next step needs them,
//! unless a hook point wants them, and the pass ends at the last hook point that is wanted.

mod attention;
mod branch;
mod cache;
mod features;
mod groups;
mod mlp;
mod norm;
mod pages;
mod pass;
mod plan;
mod prefixes;
mod rotary;
mod rows;
mod scratch;
mod step;
mod weights;

use std::sync::OnceLock;

use glossator_kernels::{self as kernels, NormOutputs, Operand, Precision, Threads, WeightFormat};
use rayon::prelude::*;

pub(crate) use self::cache::KeyValueCache;
use self::features::SplicedDictionaries;
use self::groups::{Group, groups};
pub(crate) use self::pages::PagePool;
use self::pass::Pass;
use self::plan::Plan;
use self::prefixes::shared_groups;
use self::rotary::{RotaryCache, RotaryTables};
use self::scratch::ScratchPool;
pub(crate) use self::step::{ExtraWrite, Segment, Step};
pub(crate) use self::weights::PackedLinear;
use self::weights::{PackedLayer, norm};
use crate::architecture::{ActivationFunction, Architecture};
use crate::batch::{Activation, Batch, Observer, Run};
use crate::checkpoint::{LayerWeights, Matrix, NormWeights};
use crate::error::ModelError;
use crate::hook::HookPoint;
use crate::intervention::Intervention;

/// A decoder with its weights packed, ready to run.
pub(crate) struct Decoder {
    architecture: Architecture,
    format: WeightFormat,
    activation: kernels::Activation,
    embedding: Matrix,
    positions: Option<Matrix>,
    layers: Vec<PackedLayer>,
    final_norm: NormWeights,
    /// Packed when the first logits are asked for.
    unembedding: OnceLock<PackedLinear>,
    rotary: RotaryCache,
    scratch: ScratchPool,
    dictionaries: SplicedDictionaries,
}

/// The weights of a decoder that are not in a block.
pub(crate) struct Ends {
    pub(crate) embedding: Matrix,
    pub(crate) positions: Option<Matrix>,
    pub(crate) final_norm: NormWeights,
}

impl Decoder {
    /// Packs the weights, one block at a time.
    pub(crate) fn new(
        architecture: Architecture,
        format: WeightFormat,
        ends: Ends,
        layers: impl Iterator<Item = Result<LayerWeights, ModelError>>,
    ) -> Result<Self, ModelError> {
        let layers: Vec<PackedLayer> =
            layers.map(|layer| Ok(PackedLayer::new(layer?, format))).collect::<Result<_, ModelError>>()?;
        Ok(Self {
            activation: activation(architecture.mlp.activation),
            architecture,
            format,
            embedding: ends.embedding,
            positions: ends.positions,
            layers,
            final_norm: ends.final_norm,
            unembedding: OnceLock::new(),
            rotary: RotaryCache::default(),
            scratch: ScratchPool::default(),
            dictionaries: SplicedDictionaries::default(),
        })
    }

    pub(crate) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The number format of the weights.
    pub(crate) fn format(&self) -> WeightFormat {
        self.format
    }

    /// The number format in which products are given their rows; int8 products quantise f32 themselves.
    fn row_precision(&self) -> Precision {
        if self.format == WeightFormat::Bf16 { Precision::Bf16 } else { Precision::F32 }
    }

    /// The number format of attention.
    pub(crate) fn attention_precision(&self) -> Precision {
        if self.format == WeightFormat::F32 { Precision::F32 } else { Precision::Bf16 }
    }

    pub(crate) fn embedding(&self) -> &Matrix {
        &self.embedding
    }

    pub(crate) fn final_norm(&self) -> &NormWeights {
        &self.final_norm
    }

    /// The unembedding, packed by the first caller.
    pub(crate) fn unembedding(&self) -> &OnceLock<PackedLinear> {
        &self.unembedding
    }

    /// Memory held by the weights, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let tables = self.embedding.data.len() + self.positions.as_ref().map_or(0, |table| table.data.len());
        let unembedding = self.unembedding.get().map_or(0, PackedLinear::bytes);
        self.layers.iter().map(PackedLayer::bytes).sum::<usize>() + tables * size_of::<f32>() + unembedding
    }

    /// Runs a batch. The logits `[tokens, vocab_size]`, if wanted, need the unembedding to be packed.
    pub(crate) fn run(
        &self,
        batch: &Batch,
        run: &Run<'_>,
        observer: &dyn Observer,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        let plan = Plan::new(&self.architecture, run)?;
        let sequences: Vec<&[u32]> = (0..batch.len()).map(|sequence| batch.sequence(sequence)).collect();
        self.check_tokens(&sequences, 0)?;
        if plan.is_empty() || batch.is_empty() {
            return Ok(plan.logits.then(Vec::new));
        }
        let threads = rayon::current_num_threads();
        let groups = groups(batch, threads);
        let longest = batch.starts().windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let rotary = self.rotary.tables(&self.architecture.rotaries, longest);
        let vocab_size = self.architecture.vocab_size;
        let mut logits = vec![0.0; if plan.logits { batch.tokens().len() * vocab_size } else { 0 }];
        let mut rest = logits.as_mut_slice();
        let mut tasks = Vec::with_capacity(groups.len());
        for group in &groups {
            let (own, others) = rest.split_at_mut(if plan.logits { group.rows() * vocab_size } else { 0 });
            rest = others;
            tasks.push((group, own));
        }
        let alone = groups.len() < threads;
        let work = |(group, logits): (&Group, &mut [f32])| {
            let pass = Pass {
                decoder: self,
                plan: &plan,
                observer,
                group,
                rotary: &rotary,
                threads: if alone { Threads::All } else { Threads::One },
                cached: 0,
                paged: None,
            };
            let tokens = &batch.tokens()[group.tokens.clone()];
            self.scratch.with(|scratch| {
                let _ = pass.run(tokens, scratch, None, plan.logits.then_some(logits));
            });
        };
        if alone {
            tasks.into_iter().for_each(work);
        } else {
            tasks.into_par_iter().with_max_len(1).for_each(work);
        }
        Ok(plan.logits.then_some(logits))
    }

    /// Runs sequences up to `hook` and shows the values at the last position of each to `see`, with the number of the
    /// sequence. What neighbouring sequences begin with in common is computed once. Returns the positions computed.
    pub(crate) fn run_last<S: AsRef<[u32]>>(
        &self,
        sequences: &[S],
        hook: HookPoint,
        see: &(dyn Fn(usize, &[f32]) + Sync),
    ) -> Result<usize, ModelError> {
        if hook.is_pairwise() {
            return Err(ModelError::PairwiseHook { hook });
        }
        let hooks = [hook];
        let plan = Plan::new(&self.architecture, &Run { hooks: &hooks, ..Run::default() })?;
        self.check_tokens(sequences, 0)?;
        let threads = rayon::current_num_threads();
        let groups = shared_groups(sequences, threads);
        let longest = sequences.iter().map(|sequence| sequence.as_ref().len()).max().unwrap_or(0);
        let rotary = self.rotary.tables(&self.architecture.rotaries, longest);
        let observer = |_: HookPoint, activation: &Activation<'_>| {
            for (place, sequence) in activation.sequences.clone().enumerate() {
                see(sequence, activation.row(activation.starts[place + 1] - 1));
            }
        };
        let alone = groups.len() < threads;
        let work = |(group, tokens): &(Group, Vec<u32>)| {
            let threads = if alone { Threads::All } else { Threads::One };
            let pass = Pass {
                decoder: self,
                plan: &plan,
                observer: &observer,
                group,
                rotary: &rotary,
                threads,
                cached: 0,
                paged: None,
            };
            self.scratch.with(|scratch| {
                let _ = pass.run(tokens, scratch, None, None);
            });
        };
        if alone {
            groups.iter().for_each(work);
        } else {
            groups.par_iter().with_max_len(1).for_each(work);
        }
        Ok(groups.iter().map(|(group, _)| group.rows()).sum())
    }

    /// Continues one sequence from its cache and returns the logits of the last token.
    pub(crate) fn extend(
        &self,
        tokens: &[u32],
        cache: &mut KeyValueCache,
        interventions: &[Intervention],
    ) -> Result<Vec<f32>, ModelError> {
        let run = Run { hooks: &[], interventions, logits: true };
        let plan = Plan::new(&self.architecture, &run)?;
        let batch = Batch::from_sequences(&[tokens]);
        self.check_tokens(&[tokens], cache.len())?;
        let group = Group::new(&batch, 0..1);
        let rotary = self.rotary.tables(&self.architecture.rotaries, cache.len() + tokens.len());
        let pass = Pass {
            decoder: self,
            plan: &plan,
            observer: &(),
            group: &group,
            rotary: &rotary,
            threads: Threads::All,
            cached: cache.len(),
            paged: None,
        };
        let mut logits = vec![0.0; self.architecture.vocab_size];
        self.scratch.with(|scratch| {
            let _ = pass.run(tokens, scratch, Some(cache), Some(&mut logits));
        });
        Ok(logits)
    }

    /// Logits `[n, vocab_size]` of residual streams `[n, d_model]`; needs the unembedding to be packed.
    pub(crate) fn unembed(&self, resid: &[f32]) -> Vec<f32> {
        let rows = resid.len() / self.architecture.d_model;
        let mut normed = vec![0.0; resid.len()];
        norm(self.architecture.norm, &self.final_norm)
            .apply(resid, NormOutputs { f32: Some(&mut normed), ..NormOutputs::default() });
        let mut logits = vec![0.0; rows * self.architecture.vocab_size];
        self.unembed_rows(Operand::F32(&normed), rows, Threads::All, &mut logits);
        logits
    }

    /// Logits of the last rows of `normed` `[rows, d_model]`: as many as fit into `logits`.
    fn unembed_rows(&self, normed: Operand<'_>, rows: usize, threads: Threads, logits: &mut [f32]) {
        let skipped = rows - logits.len() / self.architecture.vocab_size;
        let first = skipped * self.architecture.d_model;
        let normed = match normed {
            Operand::F32(values) => Operand::F32(&values[first..]),
            Operand::Bf16(values) => Operand::Bf16(&values[first..]),
        };
        if let Some(unembedding) = self.unembedding.get() {
            unembedding.product(threads).run(normed, logits);
        }
        self.cap_logits(logits);
    }

    fn cap_logits(&self, logits: &mut [f32]) {
        if let Some(cap) = self.architecture.final_softcap {
            for logit in logits {
                *logit = cap * (*logit / cap).tanh();
            }
        }
    }

    /// Every sequence must have tokens, all in the vocabulary, and fit learned positions.
    fn check_tokens<S: AsRef<[u32]>>(&self, sequences: &[S], cached: usize) -> Result<(), ModelError> {
        let Architecture { vocab_size, context_length: limit, learned_positions, .. } = self.architecture;
        for (sequence, tokens) in sequences.iter().map(AsRef::as_ref).enumerate() {
            let length = cached + tokens.len();
            if tokens.is_empty() {
                return Err(ModelError::EmptySequence { sequence });
            }
            if learned_positions && length > limit {
                return Err(ModelError::SequenceTooLong { sequence, length, limit });
            }
            if let Some(position) = tokens.iter().position(|token| *token as usize >= vocab_size) {
                let token = tokens[position];
                return Err(ModelError::TokenOutOfVocabulary { token, sequence, position, vocab_size });
            }
        }
        Ok(())
    }
}

fn activation(function: ActivationFunction) -> kernels::Activation {
    match function {
        ActivationFunction::GeluErf => kernels::Activation::GeluErf,
        ActivationFunction::GeluTanh => kernels::Activation::GeluTanh,
        ActivationFunction::Silu => kernels::Activation::Silu,
        ActivationFunction::Relu => kernels::Activation::Relu,
    }
}
