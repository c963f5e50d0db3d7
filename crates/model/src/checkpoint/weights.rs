//! Weights as the forward pass wants them: f32, row-major, one canonical layout for every family.
//!
//! A linear layer is always `y = W x + b` with `W` of shape `[n_out, n_in]`; query, key and value are
//! separate; heads are contiguous blocks of rows (`[head, d_head]`); rotary pairs are half-split.

/// A dense matrix in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` values.
    pub data: Vec<f32>,
}

/// `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// `W`, `[n_out, n_in]`.
    pub weight: Matrix,
    /// `b`, `[n_out]`.
    pub bias: Option<Vec<f32>>,
}

/// Gain and bias of a normalisation. The gain is as the file stores it: see `NormSpec::unit_offset`.
#[derive(Debug, Clone, PartialEq)]
pub struct NormWeights {
    /// `[d]`
    pub weight: Vec<f32>,
    /// `[d]`; none for root-mean-square norms.
    pub bias: Option<Vec<f32>>,
}

/// All the weights of one decoder layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights {
    /// Before attention.
    pub ln1: NormWeights,
    /// Before the feed-forward part.
    pub ln2: Option<NormWeights>,
    /// After attention, before the residual sum (Gemma 2/3).
    pub ln1_post: Option<NormWeights>,
    /// After the feed-forward part, before the residual sum (Gemma 2/3).
    pub ln2_post: Option<NormWeights>,
    /// `[n_heads * d_head, d_model]`
    pub q: Linear,
    /// `[n_kv_heads * d_head, d_model]`
    pub k: Linear,
    /// `[n_kv_heads * d_head, d_model]`
    pub v: Linear,
    /// `[d_model, n_heads * d_head]`
    pub o: Linear,
    /// Per-head norm of the queries, `[d_head]` (Qwen 3, Gemma 3).
    pub q_norm: Option<NormWeights>,
    /// Per-head norm of the keys, `[d_head]`.
    pub k_norm: Option<NormWeights>,
    /// `[d_mlp, d_model]`, gated families only: the input of the activation function.
    pub gate: Option<Linear>,
    /// `[d_mlp, d_model]`: the only input matrix of an ungated family.
    pub up: Linear,
    /// `[d_model, d_mlp]`
    pub down: Linear,
}
