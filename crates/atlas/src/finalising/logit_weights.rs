//! The second stage: the tokens whose logits each unit's output direction raises and lowers most.

use std::path::Path;

use glossator_model::Model;
use rayon::prelude::*;

use super::UnitProgress;
use super::ranked::largest;
use crate::error::AtlasError;
use crate::files;
use crate::manifest::Manifest;
use crate::record::TokenWeight;
use crate::tables::logit_weights::{self, LogitWeightsRow};

/// Tokens kept on each end.
const ENDS: usize = 20;
/// Units whose logits are held at once.
const BATCH: usize = 128;

/// Writes the table of every hook point that has output directions.
pub(super) fn write(
    directory: &Path,
    manifest: &Manifest,
    model: &Model,
    progress: UnitProgress<'_>,
) -> Result<(), AtlasError> {
    for hook in manifest.hooks.iter().filter(|hook| hook.directions) {
        let directions = model.output_directions(hook.hook)?;
        let mut rows = Vec::with_capacity(hook.units as usize);
        for batch in directions.data.chunks(BATCH * directions.cols) {
            let weights = model.logit_weights_of_rows(batch)?;
            rows.par_extend(weights.par_chunks(model.architecture().vocab_size).map(ends));
            progress((batch.len() / directions.cols) as u64);
        }
        logit_weights::write(&files::hook_file(directory, files::LOGIT_WEIGHTS, hook.hook), &rows)?;
    }
    Ok(())
}

fn ends(weights: &[f32]) -> LogitWeightsRow {
    let entries = |sign: f32| {
        let ranked = largest(weights.iter().map(|weight| sign * weight), ENDS);
        ranked.into_iter().map(|(token, weight)| TokenWeight { token, weight: sign * weight }).collect()
    };
    LogitWeightsRow { top: entries(1.0), bottom: entries(-1.0) }
}
