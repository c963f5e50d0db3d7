//! The neurons that a feature is made of: those whose activation is most correlated with it, and those whose output
//! direction is most aligned with its own; in size, with their sign.
//!
//! ```text
//! correlation = (E[f n] − E[f] E[n]) / (σ_f σ_n)      over all counted tokens
//! alignment   = cos(what the feature writes, what the neuron writes)
//! ```
//!
//! A dictionary that reconstructs the neurons themselves writes to them: there a neuron's alignment is its share of
//! the decoder row. ("Towards Monosemanticity" 2023, "neuron alignment"; the correlation is over tokens.)

use std::path::Path;
use std::sync::PoisonError;

use glossator_kernels::{PackedMatrix, Precision, Product};
use glossator_model::{HookPoint, Model};
use rayon::prelude::*;

use super::neighbours::normalise;
use super::ranked::largest;
use crate::error::AtlasError;
use crate::files;
use crate::manifest::{HookSummary, Manifest};
use crate::recording::{Block, Recorder};
use crate::tables;

/// Neurons kept per feature.
const KEPT: usize = 10;
/// Features that one thread compares with all neurons at once.
const BATCH: usize = 128;

/// Writes the correlated neurons of a hook point of features.
pub(super) fn write_correlated(
    directory: &Path,
    hook: &HookSummary,
    recorder: &Recorder,
) -> Result<(), AtlasError> {
    let Some(neurons) = hook.neurons else { return Ok(()) };
    let tokens = recorder.settings().run.tokens as f64;
    let moments: Vec<(f64, f64)> = recorder
        .blocks(neurons)
        .iter()
        .flat_map(|block| {
            let block = block.lock().unwrap_or_else(PoisonError::into_inner);
            (0..block.units).map(|unit| mean_and_deviation(&block, unit, tokens)).collect::<Vec<_>>()
        })
        .collect();
    let rows: Vec<Vec<(u32, f32)>> = recorder
        .blocks(hook.hook)
        .par_iter()
        .flat_map_iter(|block| {
            let block = block.lock().unwrap_or_else(PoisonError::into_inner);
            (0..block.units).map(|unit| correlated(&block, unit, &moments, tokens)).collect::<Vec<_>>()
        })
        .collect();
    tables::neurons::write(&files::hook_file(directory, files::CORRELATED_NEURONS, hook.hook), &rows)
}

/// A unit's mean and standard deviation; a deviation that is rounding is 0.
fn mean_and_deviation(block: &Block, unit: usize, tokens: f64) -> (f64, f64) {
    let [mean, square, ..] = block.sums.totals(unit).map(|sum| sum / tokens);
    let variance = square - mean * mean;
    (mean, if variance > 1e-12 * square { variance.sqrt() } else { 0.0 })
}

/// The neurons most correlated with a feature. What does not vary is correlated with nothing.
fn correlated(block: &Block, unit: usize, moments: &[(f64, f64)], tokens: f64) -> Vec<(u32, f32)> {
    let (mean, deviation) = mean_and_deviation(block, unit, tokens);
    let Some(products) = block.products.as_ref().filter(|_| deviation > 0.0) else { return Vec::new() };
    let correlation = |(product, (other, spread)): (f64, &(f64, f64))| {
        let covariance = product / tokens - mean * other;
        if *spread > 0.0 { (covariance / (deviation * spread)).clamp(-1.0, 1.0) as f32 } else { f32::NAN }
    };
    largest_sizes(&products.of(unit).zip(moments).map(correlation).collect::<Vec<_>>())
}

/// Indices and values of largest size, the largest first.
fn largest_sizes(values: &[f32]) -> Vec<(u32, f32)> {
    let ranked = largest(values.iter().map(|value| value.abs()), KEPT);
    ranked.into_iter().map(|(index, _)| (index, values[index as usize])).collect()
}

/// Writes the aligned neurons of every hook point of features that has neurons and directions.
pub(super) fn write_aligned(directory: &Path, manifest: &Manifest, model: &Model) -> Result<(), AtlasError> {
    for hook in manifest.hooks.iter().filter(|hook| hook.directions) {
        let Some(neurons) = hook.neurons else { continue };
        let rows = aligned(hook.hook, neurons, model)?;
        tables::neurons::write(&files::hook_file(directory, files::ALIGNED_NEURONS, hook.hook), &rows)?;
    }
    Ok(())
}

fn aligned(hook: HookPoint, neurons: HookPoint, model: &Model) -> Result<Vec<Vec<(u32, f32)>>, AtlasError> {
    if let Some(dictionary) = model.dictionary(hook).filter(|dictionary| dictionary.writes_to() == neurons) {
        let mut rows = dictionary.decoder();
        rows.data.chunks_exact_mut(rows.cols).for_each(normalise);
        return Ok(rows.data.par_chunks(rows.cols).map(largest_sizes).collect());
    }
    let unit_rows = |hook: HookPoint| -> Result<_, AtlasError> {
        let mut rows = (*model.output_directions(hook)?).clone();
        rows.data.chunks_exact_mut(rows.cols).for_each(normalise);
        Ok(rows)
    };
    let (features, neurons) = (unit_rows(hook)?, unit_rows(neurons)?);
    let packed = PackedMatrix::pack(&neurons.data, neurons.rows, neurons.cols, Precision::F32);
    let batches = features.data.par_chunks(BATCH * features.cols);
    let aligned = batches.flat_map_iter(|rows| {
        let mut cosines = vec![0.0; rows.len() / neurons.cols * neurons.rows];
        Product::new(&packed).run(rows, &mut cosines);
        cosines.chunks_exact(neurons.rows).map(largest_sizes).collect::<Vec<_>>()
    });
    Ok(aligned.collect())
}
