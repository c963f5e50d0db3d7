//! A subject model: a checkpoint loaded for the forward pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use glossator_kernels as kernels;
use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::batch::{Activation, Batch, Observer, Run};
use crate::checkpoint::Checkpoint;
use crate::directions::DirectionCache;
use crate::error::ModelError;
use crate::forward::{Decoder, Ends, PackedLinear};
use crate::hook::HookPoint;
use crate::intervention::Intervention;
use crate::tensor::Tensor;
use crate::tokenizer::Tokenizer;

/// The number format of the matrix products. Sums, norms, attention and the residual stream are f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Weights and inputs of products in f32: the truth.
    F32,
    /// Weights and inputs of products rounded to bf16.
    Bf16,
    /// bf16 where the processor multiplies it natively, else f32.
    #[default]
    Auto,
    /// Weights and inputs of products in 8-bit integers with a scale for every 128 terms, attention in bf16. For language
    /// models that explain, never for subject models; no configuration file can ask for it.
    #[serde(skip)]
    Int8,
}

impl Precision {
    /// The fastest on this machine for a model that explains: int8 where the processor adds products of bytes, bf16 where it
    /// has a matrix unit, else f32.
    pub fn fastest() -> Self {
        match kernels::Backend::best() {
            kernels::Backend::Amx => Self::Bf16,
            kernels::Backend::Avx512Bf16 => Self::Int8,
            _ => Self::F32,
        }
    }

    pub(crate) fn resolve(self) -> kernels::WeightFormat {
        match self {
            Self::Bf16 => kernels::WeightFormat::Bf16,
            Self::Auto if kernels::Backend::best().multiplies_bf16() => kernels::WeightFormat::Bf16,
            Self::F32 | Self::Auto => kernels::WeightFormat::F32,
            Self::Int8 => kernels::WeightFormat::Int8,
        }
    }
}

/// A model with its weights packed and its tokenizer, ready to run from any number of threads.
pub struct Model {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) decoder: Decoder,
    pub(crate) directions: DirectionCache,
    tokenizer: Option<Tokenizer>,
}

impl Model {
    /// Loads a model from a path (a Hugging Face directory or a `.gguf` file) or `hf:org/name[@revision]`.
    ///
    /// A model directory without a tokenizer loads; [`Model::tokenizer`] then says so.
    pub fn load(location: &str, precision: Precision) -> Result<Self, ModelError> {
        let path = crate::location::resolve(location)?;
        Self::from_checkpoint(Checkpoint::open(&path)?, precision)
    }

    /// Packs the weights of an opened checkpoint, one layer at a time.
    pub fn from_checkpoint(checkpoint: Checkpoint, precision: Precision) -> Result<Self, ModelError> {
        let architecture = checkpoint.architecture().clone();
        let ends = Ends {
            embedding: checkpoint.embedding()?,
            positions: checkpoint.position_embedding()?,
            final_norm: checkpoint.final_norm()?,
        };
        let layers = (0..architecture.n_layers).map(|layer| checkpoint.layer(layer));
        let decoder = Decoder::new(architecture, precision.resolve(), ends, layers)?;
        let tokenizer = checkpoint.tokenizer().ok();
        Ok(Self { checkpoint, decoder, directions: DirectionCache::default(), tokenizer })
    }

    /// The decoder's description.
    pub fn architecture(&self) -> &Architecture {
        self.decoder.architecture()
    }

    /// The tokenizer of the checkpoint.
    ///
    /// # Errors
    /// Says why the checkpoint has none that can be used.
    pub fn tokenizer(&self) -> Result<&Tokenizer, ModelError> {
        match &self.tokenizer {
            Some(tokenizer) => Ok(tokenizer),
            None => Err(self.checkpoint.tokenizer().err().unwrap_or_else(|| {
                ModelError::Tokenizer("the tokenizer could not be read while the model was loaded".into())
            })),
        }
    }

    /// The number format in use; never [`Precision::Auto`].
    pub fn precision(&self) -> Precision {
        match self.decoder.format() {
            kernels::WeightFormat::F32 => Precision::F32,
            kernels::WeightFormat::Bf16 => Precision::Bf16,
            kernels::WeightFormat::Int8 => Precision::Int8,
        }
    }

    /// The model's name, as the checkpoint gives it.
    pub fn name(&self) -> &str {
        self.checkpoint.name()
    }

    /// The files the model was read from.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Memory held by the weights, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.decoder.bytes()
    }

    /// Runs a ragged batch and shows the wanted hook points to `observer`. Ends at the last hook point
    /// that is wanted; goes on to the logits `[tokens, vocab_size]` only if they are wanted.
    ///
    /// # Errors
    /// An unknown hook point, an unfit intervention, an empty sequence, a token outside the vocabulary,
    /// or a sequence longer than learned positions. Nothing has been computed then.
    pub fn run(
        &self,
        batch: &Batch,
        run: &Run<'_>,
        observer: &dyn Observer,
    ) -> Result<Option<Tensor>, ModelError> {
        if run.logits {
            self.pack_unembedding()?;
        }
        let shape = vec![batch.tokens().len(), self.architecture().vocab_size];
        Ok(self.decoder.run(batch, run, observer)?.map(|data| Tensor { shape, data }))
    }

    /// Shows the values of a hook point at the last position of each sequence to `see`, together with the number of the
    /// sequence, from several threads. Sequences in lexicographic order run fastest: what neighbours begin with in
    /// common is computed once, with the same bits as in [`Model::run`]. Returns the number of positions computed.
    ///
    /// # Errors
    /// As for [`Model::run`], and a hook point without a row for each position.
    pub fn run_last<S: AsRef<[u32]>>(
        &self,
        sequences: &[S],
        hook: HookPoint,
        see: &(dyn Fn(usize, &[f32]) + Sync),
    ) -> Result<usize, ModelError> {
        self.decoder.run_last(sequences, hook, see)
    }

    /// Runs a batch and keeps the values of some hook points: `[tokens, width]`, or for scores and
    /// patterns `[head, query, key]` of every sequence, flattened if there are several.
    pub fn capture(
        &self,
        batch: &Batch,
        hooks: &[HookPoint],
    ) -> Result<BTreeMap<HookPoint, Tensor>, ModelError> {
        Ok(self.capture_with(batch, &Run { hooks, ..Run::default() })?.0)
    }

    /// As [`Model::capture`], with interventions and logits.
    #[allow(clippy::type_complexity, reason = "a map and an option need no name of their own")]
    pub fn capture_with(
        &self,
        batch: &Batch,
        run: &Run<'_>,
    ) -> Result<(BTreeMap<HookPoint, Tensor>, Option<Tensor>), ModelError> {
        let architecture = self.architecture();
        let tensors = run
            .hooks
            .iter()
            .map(|&hook| (hook, Mutex::new(empty_tensor(architecture, batch, hook))))
            .collect();
        let tensors: BTreeMap<HookPoint, Mutex<Tensor>> = tensors;
        let keep = |hook: HookPoint, activation: &Activation<'_>| {
            if let Some(tensor) = tensors.get(&hook) {
                let first = first_value(architecture, batch, hook, activation.sequences.start);
                let mut tensor = tensor.lock().unwrap_or_else(PoisonError::into_inner);
                tensor.data[first..first + activation.values.len()].copy_from_slice(activation.values);
            }
        };
        let logits = self.run(batch, run, &keep)?;
        let tensors = tensors
            .into_iter()
            .map(|(hook, tensor)| (hook, tensor.into_inner().unwrap_or_else(PoisonError::into_inner)))
            .collect();
        Ok((tensors, logits))
    }

    /// Packs the unembedding if no one has yet.
    pub(crate) fn pack_unembedding(&self) -> Result<&PackedLinear, ModelError> {
        let cell = self.decoder.unembedding();
        if let Some(packed) = cell.get() {
            return Ok(packed);
        }
        let format = self.decoder.format();
        let packed = if let Some(linear) = self.checkpoint.unembedding()? {
            PackedLinear::new(&linear, format)
        } else {
            let embedding = self.decoder.embedding();
            PackedLinear::from_rows(&embedding.data, embedding.cols, format)
        };
        Ok(cell.get_or_init(|| packed))
    }

    /// Logits `[vocab_size]` of the token after `tokens`, which continue the sequence in `cache`.
    pub(crate) fn extend(
        &self,
        tokens: &[u32],
        cache: &mut crate::forward::KeyValueCache,
        interventions: &[Intervention],
    ) -> Result<Vec<f32>, ModelError> {
        self.pack_unembedding()?;
        self.decoder.extend(tokens, cache, interventions)
    }
}

/// Where a sequence's values begin in a captured tensor.
fn first_value(architecture: &Architecture, batch: &Batch, hook: HookPoint, sequence: usize) -> usize {
    let starts = &batch.starts()[..=sequence];
    let rows = if hook.is_pairwise() {
        starts.windows(2).map(|pair| (pair[1] - pair[0]).pow(2)).sum()
    } else {
        starts[sequence]
    };
    rows * hook.width(architecture)
}

fn empty_tensor(architecture: &Architecture, batch: &Batch, hook: HookPoint) -> Tensor {
    let length = first_value(architecture, batch, hook, batch.len());
    let shape = match (hook.is_pairwise(), batch.len()) {
        (true, 1) => vec![hook.width(architecture), batch.tokens().len(), batch.tokens().len()],
        (true, _) => vec![length],
        (false, _) => vec![batch.tokens().len(), hook.width(architecture)],
    };
    Tensor { shape, data: vec![0.0; length] }
}
