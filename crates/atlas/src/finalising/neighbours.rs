//! The third stage: the units with the most similar output directions, by cosine, over all recorded hook points.
//!
//! All directions are divided by their norms. Which cosines of a unit may be the largest is found by products in int8 or
//! bf16 that are not kept ([`Selection`]); of those the exact ones decide. A unit for which the noise of rounding could
//! have mattered, or that has few positive cosines, is compared with all others in f32, panel by panel.

use std::cell::LazyCell;
use std::path::Path;

use glossator_kernels::sparse_coding::{
    EncoderRows, Keep, Selection, SelectionPrecision, SparseRow, SparseRows, dots, prefetch_rows,
};
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
/// Candidates beyond those and the unit itself.
const MARGIN: usize = 16;
/// Standard deviations of the noise of rounding by which what is kept must exceed what is left out.
const SURE: f32 = 4.0;
/// Units whose candidates are found at once.
const BATCH: usize = 16_384;
/// Units that one thread compares with a panel at once.
const PANEL_ROWS: usize = 128;
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
    let named = |(unit, cosine): (u32, f32)| Neighbour { unit: units[unit as usize], cosine };
    let nearest: Vec<Vec<Neighbour>> = nearest(&directions, width, progress)
        .into_iter()
        .map(|nearest| nearest.into_iter().map(named).collect())
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

/// For each of `directions` `[unit, width]` the others with the largest cosines, largest first, ties by unit.
fn nearest(directions: &[f32], width: usize, progress: UnitProgress<'_>) -> Vec<Vec<(u32, f32)>> {
    let units = directions.len() / width;
    let zeros = vec![0.0; units];
    let encoder = EncoderRows::all(directions, &zeros, width);
    let panels = LazyCell::new(|| packed(directions, width));
    let (mut selection, mut candidates) = (Selection::default(), SparseRows::default());
    let mut nearest = Vec::with_capacity(units);
    for batch in directions.chunks(BATCH * width) {
        let first = nearest.len();
        let keep = Keep::Largest((NEAREST + 1 + MARGIN).min(units));
        let format = SelectionPrecision::fastest(Precision::Bf16);
        selection.run(batch, encoder, keep, format, &mut candidates);
        let noise = selection.noise();
        let sure: Vec<Option<Vec<(u32, f32)>>> = (0..candidates.rows())
            .into_par_iter()
            .map(|row| {
                let full = candidates.row(row).indices.len() == candidates.room(row);
                decided(directions, width, first + row, candidates.row(row), full, noise[row])
            })
            .collect();
        let doubtful: Vec<usize> =
            (0..sure.len()).filter(|row| sure[*row].is_none()).map(|row| first + row).collect();
        nearest.extend(sure.into_iter().map(Option::unwrap_or_default));
        if !doubtful.is_empty() {
            let panels: &[PackedMatrix] = &panels;
            let found =
                doubtful.par_chunks(PANEL_ROWS).flat_map_iter(|own| compared(own, directions, width, panels));
            for (unit, found) in doubtful.iter().zip(found.collect::<Vec<_>>()) {
                nearest[*unit] = found;
            }
        }
        progress((batch.len() / width) as u64);
    }
    nearest
}

/// The nearest of a unit's candidates, unless others could be among them. `full` says that there may be others above 0.
fn decided(
    directions: &[f32],
    width: usize,
    unit: usize,
    candidates: SparseRow<'_>,
    full: bool,
    noise: f32,
) -> Option<Vec<(u32, f32)>> {
    prefetch_rows(directions, width, candidates.indices);
    let left_out = if full { candidates.values.iter().copied().fold(f32::INFINITY, f32::min) } else { 0.0 };
    let mut cosines = vec![0.0; candidates.indices.len()];
    dots(directions, candidates.indices, &directions[unit * width..][..width], &mut cosines);
    let mut best: Vec<(u32, f32)> = candidates.indices.iter().copied().zip(cosines).collect();
    best.retain(|(other, _)| *other as usize != unit);
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    best.truncate(NEAREST);
    let all = directions.len() / width == candidates.indices.len();
    let last = best.get(NEAREST - 1).is_some_and(|(_, cosine)| *cosine > left_out + SURE * noise);
    (all || last).then_some(best)
}

/// The directions in panels that fit into a core's cache.
fn packed(directions: &[f32], width: usize) -> Vec<PackedMatrix> {
    let panels = directions.par_chunks(PANEL * width);
    panels.map(|panel| PackedMatrix::pack(panel, panel.len() / width, width, Precision::F32)).collect()
}

/// For each of the units `own`, those of all panels with the largest cosines.
fn compared(
    own: &[usize],
    directions: &[f32],
    width: usize,
    panels: &[PackedMatrix],
) -> Vec<Vec<(u32, f32)>> {
    let rows: Vec<f32> =
        own.iter().flat_map(|unit| directions[unit * width..][..width].iter().copied()).collect();
    let mut nearest = vec![Largest::new(NEAREST); own.len()];
    let mut cosines = vec![0.0; own.len() * PANEL];
    for (panel, packed) in panels.iter().enumerate() {
        let (start, units) = (panel * PANEL, packed.n_out());
        let cosines = &mut cosines[..own.len() * units];
        Product::new(packed).run(rows.as_slice(), cosines);
        for ((own, nearest), cosines) in own.iter().zip(&mut nearest).zip(cosines.chunks_exact_mut(units)) {
            // A unit is not its own neighbour.
            if let Some(own) = own.checked_sub(start).and_then(|own| cosines.get_mut(own)) {
                *own = f32::NAN;
            }
            nearest.extend(start, cosines);
        }
    }
    nearest.into_iter().map(Largest::into_best).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Unit vectors of which some are equal, some opposite, one is zero, and some lie in a heap of their own.
    fn directions(units: usize, width: usize) -> Vec<f32> {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let mut rows: Vec<f32> = (0..units * width).map(|_| next()).collect();
        for unit in 0..units {
            let (row, flat) = (unit * width, unit % 7 == 0);
            rows[row..row + width].iter_mut().enumerate().filter(|_| flat).for_each(|(i, x)| {
                *x = if i == 0 { 30.0 } else { *x };
            });
        }
        rows.copy_within(0..width, 3 * width);
        rows[5 * width..6 * width].fill(0.0);
        let opposite: Vec<f32> = rows[8 * width..9 * width].iter().map(|x| -x).collect();
        rows[9 * width..10 * width].copy_from_slice(&opposite);
        rows.chunks_exact_mut(width).for_each(normalise);
        rows
    }

    #[test]
    fn agrees_with_all_pairs() {
        for (units, width) in [(4, 6), (30, 5), (700, 40)] {
            let rows = directions(units.max(10), width);
            let units = rows.len() / width;
            let seen = AtomicU64::new(0);
            let found = nearest(&rows, width, &|count| {
                seen.fetch_add(count, Ordering::Relaxed);
            });
            assert_eq!(seen.into_inner(), units as u64);
            let row = |unit: usize| &rows[unit * width..][..width];
            for (unit, found) in found.iter().enumerate() {
                let cosine = |other: usize| -> f64 {
                    row(unit).iter().zip(row(other)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let mut all: Vec<f64> = (0..units).filter(|other| *other != unit).map(cosine).collect();
                all.sort_by(|a, b| b.total_cmp(a));
                all.truncate(NEAREST);
                assert_eq!(found.len(), all.len());
                for ((other, value), expected) in found.iter().zip(all) {
                    assert!(
                        (f64::from(*value) - expected).abs() < 1e-6,
                        "unit {unit}: {value} or {expected}"
                    );
                    assert!((cosine(*other as usize) - expected).abs() < 1e-6 && *other as usize != unit);
                }
            }
        }
    }
}
