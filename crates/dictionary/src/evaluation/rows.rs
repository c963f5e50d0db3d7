//! Rows of a batch that count, taken out of the activations and put back in their place.

use std::sync::Arc;

use glossator_model::{Batch, Change, Intervention, Positions, RowContext, Tensor};

use super::place::Place;

/// The given rows of a hook point's activations, as far as they belong to `place`.
pub(super) fn gather(tensor: &Tensor, place: Place, rows: &[usize]) -> Vec<f32> {
    let width = tensor.shape.last().copied().unwrap_or(0);
    let columns = place.columns(width);
    let own = |row: &usize| &tensor.data[row * width..][columns.clone()];
    rows.iter().flat_map(own).copied().collect()
}

/// What takes the place of activations.
pub(super) enum NewRows {
    /// One row for each row that is replaced `[replaced, width]`.
    Each(Vec<f32>),
    /// The same row everywhere `[width]`.
    Same(Vec<f32>),
}

/// Replaces the activations of a place at some rows of a batch (rising).
pub(super) fn replace(batch: &Batch, at: Place, rows: &[usize], new: NewRows) -> Intervention {
    let starts = batch.starts().to_vec();
    let mut place = vec![None; batch.tokens().len()];
    rows.iter().enumerate().for_each(|(index, row)| place[*row] = Some(index));
    let change = move |context: &RowContext, values: &mut [f32]| {
        if let Some(index) = place[starts[context.sequence] + context.position] {
            match &new {
                NewRows::Each(matrix) => {
                    values.copy_from_slice(&matrix[index * values.len()..(index + 1) * values.len()]);
                }
                NewRows::Same(row) => values.copy_from_slice(row),
            }
        }
    };
    Intervention {
        hook: at.hook,
        positions: Positions::All,
        units: at.units(),
        change: Change::Replace(Arc::new(change)),
    }
}
