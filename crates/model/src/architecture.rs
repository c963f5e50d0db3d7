//! One decoder described by data: everything in which the supported families differ.
//!
//! All families are pre-norm decoders,
//! `x ← x + attention(norm(x))`, `x ← x + mlp(norm(x))`, and a final norm before the unembedding.
//! What differs (which norm, which positions, which heads share keys, what is capped, windowed or
//! scaled) is a field here, so that the forward pass is written once and a new family is a new reader.

use serde::{Deserialize, Serialize};

use crate::hook::HookPoint;

/// The model family, as its configuration file names it. The forward pass never asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// GPT-2.
    Gpt2,
    /// GPT-NeoX, Pythia.
    GptNeox,
    /// Llama 1–3, SmolLM2 and others that use the same block.
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3 (text).
    Gemma3,
}

/// Which normalisation the blocks use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// `(x − mean) / √(var + ε) · w + b`
    LayerNorm,
    /// `x / √(mean(x²) + ε) · w`
    Rms,
}

/// The normalisation of the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormSpec {
    /// Layer norm or root-mean-square norm.
    pub kind: NormKind,
    /// Added to the variance (or mean square) under the root.
    pub epsilon: f32,
    /// The gain is `1 + w` and not `w` (Gemma).
    pub unit_offset: bool,
}

/// Normalisation of queries and keys before the rotary embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// Queries and keys are used as projected.
    None,
    /// A root-mean-square norm over each head (Qwen 3, Gemma 3), with the ε and offset of [`NormSpec`].
    PerHead,
}

/// The function between the two matrices of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationFunction {
    /// `x Φ(x)`, with the exact normal distribution.
    GeluErf,
    /// The tanh approximation of GELU (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `x / (1 + e⁻ˣ)`
    Silu,
    /// `max(x, 0)`
    Relu,
}

/// The feed-forward part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpSpec {
    /// `post = f(gate) · up` when true, `post = f(up)` when false.
    pub gated: bool,
    /// The function `f`.
    pub activation: ActivationFunction,
}

/// What differs from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSpec {
    /// Index into [`Architecture::rotaries`]; `None` where no rotary embedding is applied.
    pub rotary: Option<usize>,
    /// A query at position `p` sees keys `p − window + 1 ..= p`; `None` sees all before it.
    pub sliding_window: Option<usize>,
}

/// A rotary position embedding, always in the half-split convention (dimension `i` is paired with
/// `i + dims/2`; loaders permute the weights of files that interleave the pairs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RotarySpec {
    /// How many leading dimensions of a head are rotated.
    pub dims: usize,
    /// `[dims / 2]` radians per position, after any rope scaling.
    pub inverse_frequencies: Vec<f32>,
    /// Multiplies cosine and sine (1 except for YaRN-like scalings).
    pub attention_factor: f32,
}

/// A dictionary that has been spliced into the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DictionarySpec {
    /// The hook point of its features.
    pub hook: HookPoint,
    /// How many it has.
    pub features: usize,
    /// Whether it writes to the place it reads, so that changing a feature changes the place. A transcoder does not.
    pub writes_back: bool,
}

/// The full description of a decoder. Sizes are numbers of scalars.
#[allow(clippy::struct_excessive_bools, reason = "each is an independent property of the family")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// The family it was read as.
    pub family: Family,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of a head (not always `d_model / n_heads`).
    pub d_head: usize,
    /// Number of neurons of an MLP.
    pub d_mlp: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// The longest sequence the model was made for. A hard limit only with learned positions.
    pub context_length: usize,
    /// Normalisation of the residual stream.
    pub norm: NormSpec,
    /// A learned vector per position is added to the embedding (GPT-2).
    pub learned_positions: bool,
    /// Attention and MLP both read the block's input (GPT-NeoX); there is no `hook_resid_mid`.
    pub parallel_residual: bool,
    /// The outputs of attention and MLP are normalised before they are added (Gemma).
    pub post_norms: bool,
    /// Normalisation of queries and keys.
    pub qk_norm: QkNorm,
    /// The feed-forward part.
    pub mlp: MlpSpec,
    /// Multiplies `q·k` (usually `1/√d_head`).
    pub attention_scale: f32,
    /// Scores become `c·tanh(s / c)` before the mask (Gemma 2).
    pub attention_softcap: Option<f32>,
    /// Logits become `c·tanh(l / c)` (Gemma 2).
    pub final_softcap: Option<f32>,
    /// Multiplies the embedding, rounded as transformers rounds it (Gemma: `√d_model`; else 1).
    pub embedding_scale: f32,
    /// The unembedding is the transposed embedding.
    pub tied_embeddings: bool,
    /// One entry per block.
    pub layers: Vec<LayerSpec>,
    /// The rotary embeddings that the layers refer to.
    pub rotaries: Vec<RotarySpec>,
    /// Dictionaries that were spliced in after loading; empty in every checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dictionaries: Vec<DictionarySpec>,
}

impl Architecture {
    /// Width of all query heads together, `n_heads · d_head`.
    pub fn q_width(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Width of all key (or value) heads together, `n_kv_heads · d_head`.
    pub fn kv_width(&self) -> usize {
        self.n_kv_heads * self.d_head
    }

    /// The spliced dictionary with this hook point.
    pub fn dictionary(&self, hook: HookPoint) -> Option<&DictionarySpec> {
        self.dictionaries.iter().find(|dictionary| dictionary.hook == hook)
    }

    /// The rotary embedding of a layer, if it has one.
    pub fn rotary(&self, layer: usize) -> Option<&RotarySpec> {
        self.rotaries.get(self.layers.get(layer)?.rotary?)
    }
}
