//! The third stage: the units with the most similar output directions, by cosine, over all recorded hook points.
//!
//! All directions, divided by their norms, are one packed matrix `[unit, d_model]`; batches of them are
//! multiplied with it, and the largest of each row are kept.

use std::path::Path;

use glossator_kernels::{PackedMatrix, Precision, Product};
use glossator_model::{Model, UnitId};
use rayon::prelude::*;

use super::UnitProgress;
use super::ranked::largest;
use crate::error::AtlasError;
use crate::files;
use crate::manifest::Manifest;
use crate::record::Neighbour;
use crate::tables;

/// Neighbours kept per unit.
const NEAREST: usize = 10;
/// Units whose cosines one thread holds at once.
const BATCH: usize = 32;

/// Writes the table of every hook point that has output directions.
pub(super) fn write(
    directory: &Path,
    manifest: &Manifest,
    model: &Model,
    progress: UnitProgress<'_>,
) -> Result<(), AtlasError> {
    let hooks: Vec<_> = manifest.hooks.iter().filter(|hook| hook.directions).collect();
    let units: Vec<UnitId> = hooks
        .iter()
        .flat_map(|hook| (0..hook.units).map(|index| UnitId { hook: hook.hook, index }))
        .collect();
    if units.is_empty() {
        return Ok(());
    }
    let width = model.architecture().d_model;
    let mut directions = Vec::with_capacity(units.len() * width);
    for hook in &hooks {
        directions.extend_from_slice(&model.output_directions(hook.hook)?.data);
    }
    directions.par_chunks_mut(width).for_each(normalise);
    let packed = PackedMatrix::pack(&directions, units.len(), width, Precision::F32);
    let nearest: Vec<Vec<Neighbour>> = directions
        .par_chunks(BATCH * width)
        .enumerate()
        .flat_map_iter(|(batch, rows)| {
            let mut cosines = vec![0.0; rows.len() / width * units.len()];
            Product::new(&packed).run(rows, &mut cosines);
            progress((rows.len() / width) as u64);
            let rows = cosines.chunks_exact(units.len()).enumerate();
            rows.map(|(row, cosines)| neighbours(batch * BATCH + row, cosines, &units)).collect::<Vec<_>>()
        })
        .collect();
    let mut rest = nearest.as_slice();
    for hook in hooks {
        let (own, others) = rest.split_at(hook.units as usize);
        tables::neighbours::write(&files::hook_file(directory, files::NEIGHBOURS, hook.hook), own)?;
        rest = others;
    }
    Ok(())
}

/// Divides a direction by its norm; a zero direction stays zero and is similar to nothing.
fn normalise(direction: &mut [f32]) {
    let norm = direction.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        for value in direction.iter_mut() {
            *value = (f64::from(*value) / norm) as f32;
        }
    }
}

fn neighbours(own: usize, cosines: &[f32], units: &[UnitId]) -> Vec<Neighbour> {
    let others =
        cosines.iter().enumerate().map(|(unit, cosine)| if unit == own { f32::NAN } else { *cosine });
    largest(others, NEAREST)
        .into_iter()
        .map(|(unit, cosine)| Neighbour { unit: units[unit as usize], cosine })
        .collect()
}
