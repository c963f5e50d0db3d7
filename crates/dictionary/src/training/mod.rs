//! Training of dictionaries: one step ([`Trainer::step`]) is forward, loss, all gradients, Adam and constraints.
//!
//! Steps of latents that compete for places (TopK, BatchTopK, Matryoshka) are exact in f32 for what is active and never
//! hold `[rows, latents]` values: the dense product only selects (see `glossator_kernels::sparse_coding`), everything after
//! it touches active latents only, and weights and moments are read and written once a step, latent by latent, with
//! gradients that never leave the cache. Latents that do not compete (ReLU, JumpReLU, gated) are worked on in chunks.
//!
//! | variant | file |
//! |---|---|
//! | TopK, with the loss of dead latents | `encode`, `auxiliary` |
//! | Multi-TopK | `multi_top_k` |
//! | BatchTopK | `batch_top_k` |
//! | Matryoshka BatchTopK | `matryoshka` |
//! | ReLU + L1, either recipe | `dense`; with a skip connection `p_annealing` |
//! | p-annealing | `p_annealing` |
//! | JumpReLU | `jump_relu` |
//! | gated | `gated` |
//! | transcoders' skip connection | `skip` |
//!
//! A step's result depends neither on the number of threads nor on the order in which they run.

mod auxiliary;
mod average;
mod batch_top_k;
mod checkpoint;
mod chunked;
mod dense;
mod doubtful;
mod encode;
mod finished;
mod gated;
mod gradients;
mod initialise;
mod jump_relu;
mod matryoshka;
mod multi_top_k;
mod objective;
mod p_annealing;
mod parameters;
mod progress;
#[cfg(test)]
mod reference;
mod resample;
mod schedule;
mod shuffle;
mod skip;
mod sparse_l1;
mod step;
mod tensorboard;
#[cfg(test)]
mod tests;
mod transposed;
mod update;

pub use crate::random::Random;
pub use average::WeightAverage;
pub use checkpoint::{ParametersState, load_checkpoint, save_checkpoint};
pub use initialise::{geometric_median, initialise, kaiming};
pub use jump_relu::{JumpRelu, Penalty};
pub use matryoshka::Prefixes;
pub use objective::{Auxiliary, Objective, Recipe};
pub use p_annealing::Annealing;
pub use parameters::{Parameters, Tensor};
pub use progress::Progress;
pub use resample::resample;
pub use schedule::{Schedule, WarmUp};
pub use shuffle::ShuffleBuffer;
pub use step::{Batch, PartTimes, StepReport, Trainer};
pub use tensorboard::EventFile;
