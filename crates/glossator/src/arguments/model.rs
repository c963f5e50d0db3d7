//! `--precision`, and the way from a MODEL argument to a loaded model.

use anyhow::Context;
use clap::ValueEnum;
use glossator_model::checkpoint::Checkpoint;
use glossator_model::{Model, Precision, location};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The seed of shuffled weights.
const SHUFFLE_SEED: u64 = 0;

/// The number format of matrix products.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PrecisionArgument {
    /// The truth: weights and inputs of products in f32
    F32,
    /// Weights and inputs of products rounded to bf16; sums and the residual stream stay f32
    Bf16,
    /// bf16 where the processor multiplies it natively, else f32
    Auto,
}

impl From<PrecisionArgument> for Precision {
    fn from(argument: PrecisionArgument) -> Self {
        match argument {
            PrecisionArgument::F32 => Self::F32,
            PrecisionArgument::Bf16 => Self::Bf16,
            PrecisionArgument::Auto => Self::Auto,
        }
    }
}

/// Finds a model (downloading it if it is `hf:…` and not in the cache) and opens it without loading the weights.
pub(crate) fn open(location: &str) -> anyhow::Result<Checkpoint> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{msg:>10} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    let path = location::resolve_with(location, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_message(progress.file.to_owned());
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    Ok(Checkpoint::open(&path?)?)
}

/// As [`open`], with the weights.
pub(crate) fn load(location: &str, precision: PrecisionArgument) -> anyhow::Result<Model> {
    let checkpoint = open(location)?;
    Model::from_checkpoint(checkpoint, precision.into()).with_context(|| format!("cannot load {location}"))
}

/// The same model with the entries of every weight matrix in a random order: one that has learned nothing.
pub(crate) fn shuffled(checkpoint: Checkpoint) -> Checkpoint {
    checkpoint.with_shuffled_weights(SHUFFLE_SEED)
}

/// As [`load`], with [`shuffled`] weights.
pub(crate) fn load_shuffled(location: &str, precision: PrecisionArgument) -> anyhow::Result<Model> {
    let checkpoint = shuffled(open(location)?);
    Model::from_checkpoint(checkpoint, precision.into()).with_context(|| format!("cannot load {location}"))
}
