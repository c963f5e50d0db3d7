//! Rows of a batch that count, taken out of the activations and put back in their place.

use std::sync::Arc;

use glossator_model::{Batch, Change, HookPoint, Intervention, Positions, RowContext, Tensor, Units};

/// The given rows of a matrix.
pub(super) fn gather(tensor: &Tensor, rows: &[usize]) -> Vec<f32> {
    let width = tensor.shape.last().copied().unwrap_or(0);
    rows.iter().flat_map(|row| &tensor.data[row * width..(row + 1) * width]).copied().collect()
}

/// What takes the place of activations.
pub(super) enum NewRows {
    /// One row for each row that is replaced `[replaced, width]`.
    Each(Vec<f32>),
    /// The same row everywhere `[width]`.
    Same(Vec<f32>),
}

/// Replaces the activations of a hook point at some rows of a batch (rising).
pub(super) fn replace(batch: &Batch, hook: HookPoint, rows: &[usize], new: NewRows) -> Intervention {
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
        hook,
        positions: Positions::All,
        units: Units::All,
        change: Change::Replace(Arc::new(change)),
    }
}
