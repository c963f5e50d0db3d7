//! CPU arithmetic on slices: matrix products, norms, rotary embedding, attention, activations, selection.
//!
//! Every function works on borrowed row-major slices and allocates nothing that grows with the model; the
//! caller owns all buffers. A slice whose length contradicts the stated shape is a programming error and
//! panics; the shapes that come from files are checked by the crates above.
//!
//! Each fast kernel sits beside a naive reference and is tested against it. For one [`Backend`] every element
//! of a result is computed in an order that depends neither on the number of rows, nor on the number of
//! threads, nor on what else is in the batch, so a sequence gives the same bits alone and in any batch.

// Inlining a body into its caller is what compiles it for the caller's instruction set.
#![allow(clippy::inline_always)]
// Tests compare bits: sums are exact, or the same in any company.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::float_cmp))]

mod activation;
mod aligned;
mod attention;
mod convert;
mod detect;
mod elementary;
mod embedding;
mod matrix_product;
mod multiversion;
mod norm;
mod outputs;
mod peak;
mod prefetch;
mod reduce;
mod rotary;
mod shared_rows;
mod softmax;
pub mod sparse_coding;
pub mod statistics;
mod threads;
mod top_k;

pub use activation::{Activation, softcap};
pub use aligned::Buffer;
pub use attention::{Attention, HeadView, PAGE_POSITIONS, PageLayout, PagedQuery};
pub use convert::{narrow, round_to_bf16, widen};
pub use detect::{Backend, cpu_description};
pub use embedding::gather_rows;
pub use half::bf16;
pub use matrix_product::{Operand, PackedMatrix, Precision, Product, WeightFormat};
pub use norm::{Norm, NormKind, NormOutputs};
pub use outputs::Outputs;
pub use peak::measured_peak;
pub use prefetch::prefetch;
pub use rotary::RotaryTable;
pub use softmax::{log_softmax, softmax};
pub use threads::Threads;
pub use top_k::{Ranked, bottom_k, top_k};
