//! Arithmetic of sparse codes: a row x is written as Σ aⱼ dⱼ over a few of very many dictionary rows dⱼ.
//!
//! Only finding the large products of x with n encoder rows is dense work. [`Selection`] does it without ever
//! holding `[rows, n]` products: each tile of results is compared with its rows' thresholds while it is in the
//! first-level cache. Everything after touches the selected rows only: [`weighted_sum`] (decoding, and every weight
//! gradient), [`dots`] (exact products, gradients of activations), [`LatentLists`] (the code of a batch, latent by
//! latent) and [`AdamStep`].

mod adam;
mod candidates;
mod factors;
mod int8;
mod lists;
mod row_sums;
mod selection;
mod sparse_rows;
mod thinning;

pub use adam::{Adam, AdamStep, Moments, normalise, remove_parallel};
pub use factors::SelectionPrecision;
pub use lists::{LatentLists, Part};
pub use row_sums::{dots, prefetch_rows, weighted_sum, weighted_sum_bf16};
pub use selection::{EncoderRows, Keep, Selection};
pub use sparse_rows::{SparseRow, SparseRowMut, SparseRows};
