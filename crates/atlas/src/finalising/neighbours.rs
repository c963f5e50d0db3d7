//! The third stage: the units with the most similar output directions, by cosine, over all recorded hook points.
//!
//! All directions, divided by their norms, are packed in panels `[unit, d_model]` that fit into a core's cache; batches of
//! them are multiplied with one panel after the other, and the largest of each row are kept.

use std::path::Path;

use glossator_kernels::{PackedMatrix, Precision, Product};
use glossator_model::{Model, UnitId};
use rayon::prelude::*;

use super::UnitProgress;
use super::ranked::Largest;
use crate::error::AtlasError;
use crate::files;
use crate::manifest::Manifest;
use crate::record::Neighbour;
use crate::tables;

/// Neighbours kept per unit.
const NEAREST: usize = 10;
/// Units that one thread compares with a panel at once.
const BATCH: usize = 128;
/// Units of a panel.
const PANEL: usize = 1024;

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
    let panels: Vec<PackedMatrix> = directions
        .chunks(PANEL * width)
        .map(|panel| PackedMatrix::pack(panel, panel.len() / width, width, Precision::F32))
        .collect();
    let nearest: Vec<Vec<Neighbour>> = directions
        .par_chunks(BATCH * width)
        .enumerate()
        .flat_map_iter(|(batch, rows)| {
            let nearest = largest_cosines(batch * BATCH, rows, width, &panels);
            progress((rows.len() / width) as u64);
            let named = |(unit, cosine): (u32, f32)| Neighbour { unit: units[unit as usize], cosine };
            nearest.into_iter().map(|nearest| nearest.into_iter().map(named).collect()).collect::<Vec<_>>()
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
pub(super) fn normalise(direction: &mut [f32]) {
    let norm = direction.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        for value in direction.iter_mut() {
            *value = (f64::from(*value) / norm) as f32;
        }
    }
}

/// For each of `rows` `[unit, width]`, the units from `first` on: the units of all panels with the largest cosines.
fn largest_cosines(
    first: usize,
    rows: &[f32],
    width: usize,
    panels: &[PackedMatrix],
) -> Vec<Vec<(u32, f32)>> {
    let count = rows.len() / width;
    let mut nearest = vec![Largest::new(NEAREST); count];
    let mut cosines = vec![0.0; count * PANEL];
    for (panel, packed) in panels.iter().enumerate() {
        let (start, units) = (panel * PANEL, packed.n_out());
        let cosines = &mut cosines[..count * units];
        Product::new(packed).run(rows, cosines);
        for (row, (nearest, cosines)) in nearest.iter_mut().zip(cosines.chunks_exact_mut(units)).enumerate() {
            // A unit is not its own neighbour.
            if let Some(own) = (first + row).checked_sub(start).and_then(|own| cosines.get_mut(own)) {
                *own = f32::NAN;
            }
            nearest.extend(start, cosines);
        }
    }
    nearest.into_iter().map(Largest::into_best).collect()
}
