//! Training of dictionaries: one step ([`Trainer::step`]) is forward, loss, all gradients, Adam and constraints.
//!
//! Steps are exact in f32 for what is active and never hold `[rows, latents]` values: the dense product only selects
//! (see `glossator_kernels::sparse_coding`), everything after it touches active latents only, and weights and moments
//! are read and written once a step, latent by latent, with gradients that never leave the cache.
//!
//! A step's result depends neither on the number of threads nor on the order in which they run.

mod auxiliary;
mod checkpoint;
mod dense;
mod doubtful;
mod encode;
mod finished;
mod gradients;
mod initialise;
mod objective;
mod parameters;
#[cfg(test)]
mod reference;
mod schedule;
mod shuffle;
mod sparse_l1;
mod step;
mod tensorboard;
#[cfg(test)]
mod tests;
mod update;

pub use crate::random::Random;
pub use checkpoint::{ParametersState, load_checkpoint, save_checkpoint};
pub use initialise::{geometric_median, initialise};
pub use objective::{Auxiliary, Objective, Recipe};
pub use parameters::{Parameters, Tensor};
pub use schedule::Schedule;
pub use shuffle::ShuffleBuffer;
pub use step::{Batch, PartTimes, StepReport, Trainer};
pub use tensorboard::EventFile;
