//! The buffers of one forward pass, reused from group to group so that a layer allocates nothing.

use std::sync::{Mutex, PoisonError};

use glossator_kernels::Buffer;

use super::norm::NormBuffers;
use super::rows::Rows;

/// Every intermediate value of one group. Buffers only grow.
#[derive(Default)]
pub(super) struct Scratch {
    /// The residual stream `[tokens, d_model]`.
    pub(super) resid: Buffer<f32>,
    /// The normalised stream `[tokens, d_model]`.
    pub(super) normed: Rows,
    /// Queries, keys and values `[tokens, q | k | v]`.
    pub(super) qkv: Buffer<f32>,
    /// Mixed values `[tokens, n_heads · d_head]`.
    pub(super) z: Rows,
    /// Scores or patterns of all sequences, when they are asked for.
    pub(super) pairs: Buffer<f32>,
    /// What attention or MLP adds `[tokens, d_model]`, when it is needed by itself.
    pub(super) branch: Buffer<f32>,
    /// Gate and up before the activation function, when they are asked for.
    pub(super) mlp_in: Buffer<f32>,
    /// The neurons `[tokens, d_mlp]`.
    pub(super) post: Rows,
    /// Contiguous copies for hooks and per-head norms.
    pub(super) copy: Buffer<f32>,
    /// Divisors and divided rows of a norm that is looked at.
    pub(super) norm: NormBuffers,
}

/// Scratch buffers that wait for the next group.
#[derive(Default)]
pub(super) struct ScratchPool(Mutex<Vec<Scratch>>);

impl ScratchPool {
    /// Runs `work` with a scratch of its own.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = idle.unwrap_or_default();
        let result = work(&mut scratch);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        result
    }
}
