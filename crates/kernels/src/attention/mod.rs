//! Causal grouped-query attention of one sequence (Vaswani et al. 2017; Ainslie et al. 2023).
//!
//! scores[h, i, j] = cap(scale · q[i, h] · k[j, g(h)]), pattern = softmax over the visible j, z[i, h] = Σⱼ
//! pattern[h, i, j] v[j, g(h)], where g(h) = h · `kv_heads` / heads, cap(s) = c · tanh(s / c) when a soft-cap c is
//! given (Gemma 2), and key j is visible to query i when j ≤ i and, under a sliding window w, i − j < w.
//!
//! [`Attention::attend`] never stores scores or pattern; [`Attention::scores`], [`Attention::pattern`] and
//! [`Attention::mix`] are the same computation in three steps, for hooks that read or change them;
//! [`Attention::attend_paged`] is that of many sequences that share the pages of a cache.

mod explicit;
mod fused;
mod online_softmax;
mod operands;
mod paged;
#[cfg(test)]
mod paged_tests;
mod pages;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::Range;

use half::bf16;

use crate::matrix_product::Precision;
use crate::outputs::Outputs;
use crate::threads::Threads;

pub use pages::{PAGE_POSITIONS, PageLayout, PagedQuery};

/// Heads inside a wider row-major buffer, for example q, k or v in the fused product's `[rows, q | k | v]`.
///
/// Head `h` of row `r` is `values[r · stride + h · d_head ..][.. d_head]`, after `r` was looked up in `rows` if the
/// view is gathered.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    values: &'a [f32],
    rows: Option<&'a [u32]>,
    stride: usize,
    heads: usize,
    d_head: usize,
}

impl<'a> HeadView<'a> {
    /// A view that begins at the first head of row 0.
    ///
    /// # Panics
    /// If the heads do not fit the stride.
    pub fn new(values: &'a [f32], stride: usize, heads: usize, d_head: usize) -> Self {
        assert!(
            heads > 0 && d_head > 0 && heads * d_head <= stride,
            "head view: row is wider than the stride"
        );
        Self { values, rows: None, stride, heads, d_head }
    }

    /// The view of these rows, in this order: the keys of a sequence that shares its beginning with another.
    #[must_use]
    pub fn gathered(self, rows: &'a [u32]) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// The number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// The width of a head.
    pub fn d_head(&self) -> usize {
        self.d_head
    }

    #[inline(always)]
    fn head(&self, row: usize, head: usize) -> &'a [f32] {
        let row = self.rows.map_or(row, |rows| rows[row] as usize);
        &self.values[row * self.stride + head * self.d_head..][..self.d_head]
    }
}

/// The form of attention of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Factor on q · k, usually 1 / √`d_head`.
    pub scale: f32,
    /// c of c · tanh(s / c), applied to scaled scores.
    pub softcap: Option<f32>,
    /// A query sees this many keys at most, itself included.
    pub window: Option<usize>,
    /// What q, k, v and the pattern are multiplied in; sums and softmax are f32.
    pub precision: Precision,
    /// The threads to use; heads and blocks of queries are spread over them.
    pub threads: Threads,
}

impl Attention {
    /// z of `queries` rows, the first of which stands at position `first_position` of a cache of
    /// `first_position + queries` keys. Outputs are `[queries, heads · d_head]`.
    ///
    /// # Panics
    /// If the views or outputs are too short for these shapes or heads is no multiple of k's heads.
    pub fn attend(
        &self,
        q: HeadView<'_>,
        k: HeadView<'_>,
        v: HeadView<'_>,
        queries: usize,
        first_position: usize,
        outputs: Outputs<'_>,
    ) {
        assert_eq!(q.heads % k.heads, 0, "attention: heads is no multiple of kv_heads");
        assert!((k.heads, q.d_head) == (v.heads, k.d_head), "attention: q, k and v differ in shape");
        outputs.check(queries * q.heads * v.d_head);
        match self.precision {
            Precision::F32 => fused::attend::<f32>(self, [q, k, v], queries, first_position, outputs),
            Precision::Bf16 => fused::attend::<bf16>(self, [q, k, v], queries, first_position, outputs),
        }
    }

    /// The keys that the query at `position` sees.
    fn visible(&self, position: usize) -> Range<usize> {
        let first = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        first..position + 1
    }
}
