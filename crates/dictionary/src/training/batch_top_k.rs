//! BatchTopK (Bussmann, Leask & Nanda 2024): the k·B largest positive pre-activations of a batch.
//!
//! The selection of rows' largest entries finds them: each row gets some room, and where a row has used it up with
//! values that all belong to the batch's largest, rows get twice the room and the batch is selected anew. The room that
//! was needed, and half as much again, is where the next batch begins.
//!
//! For use, one threshold stands for the batch: the mean over batches of the smallest positive value kept, the last
//! hundred batches counting most (SAELens: θ ← 0.99 θ + 0.01 min).

use glossator_kernels::sparse_coding::{Selection, SparseRowMut, SparseRows};
use rayon::prelude::*;

use super::encode::{Code, Coding};
use super::progress::Progress;

/// What a batch's smallest value weighs in the running threshold.
const THRESHOLD_RATE: f32 = 0.01;

/// Fills `code.rows` with the k·B largest activations of the batch; of equal ones the first.
pub(super) fn select(
    coding: Coding<'_>,
    selection: &mut Selection,
    code: &mut Code,
    progress: &mut Progress,
) {
    let (k, latents) = (coding.k, coding.parameters.latents);
    let rows = coding.inputs.len() / coding.parameters.d_input;
    let mut room = progress.row_room.max(2 * k).min(latents);
    loop {
        let coding = Coding { k: room, ..coding };
        coding.select(selection, code);
        coding.activate_all(code);
        let (threshold, equals) = threshold(&code.rows, k * rows);
        let lost = |row: usize| {
            let values = code.rows.row(row).values;
            values.len() == room && values.iter().all(|value| *value > threshold)
        };
        if room == latents || !(0..rows).into_par_iter().any(lost) {
            let most = keep_above(&mut code.rows, threshold, equals);
            progress.row_room = most + most / 2;
            break;
        }
        room = (2 * room).min(latents);
    }
    let smallest = (0..rows).flat_map(|row| code.rows.row(row).values.iter().copied()).reduce(f32::min);
    if let Some(smallest) = smallest {
        let threshold = progress.threshold.unwrap_or(smallest);
        progress.threshold = Some(threshold + THRESHOLD_RATE * (smallest - threshold));
    }
}

/// The value above which fewer than `wanted` entries lie, and how many entries equal to it are wanted besides.
fn threshold(rows: &SparseRows, wanted: usize) -> (f32, usize) {
    let mut values: Vec<f32> =
        (0..rows.rows()).flat_map(|row| rows.row(row).values.iter().copied()).collect();
    if values.len() <= wanted {
        return (0.0, 0);
    }
    let place = values.len() - wanted;
    let (_, &mut threshold, above) = values.select_nth_unstable_by(place, f32::total_cmp);
    let greater = above.iter().filter(|value| **value > threshold).count();
    (threshold, wanted - greater)
}

/// Keeps what is above the threshold, and the first `equals` entries equal to it. Returns the most that a row keeps.
fn keep_above(rows: &mut SparseRows, threshold: f32, equals: usize) -> usize {
    let left = std::cell::Cell::new(equals);
    let each: Vec<SparseRowMut<'_>> = rows.par_rows_mut().collect();
    let mut most = 0;
    for mut row in each {
        row.retain(|_, value| {
            let equal = value == threshold && left.get() > 0;
            left.set(left.get() - usize::from(equal));
            value > threshold || equal
        });
        most = most.max(*row.count as usize);
    }
    most
}

#[cfg(test)]
mod tests {
    use glossator_kernels::Precision;

    use super::*;
    use crate::testing::numbers;
    use crate::training::initialise;

    /// All pre-activations of a batch, the positive ones sorted.
    fn expected(
        parameters: &crate::training::Parameters,
        inputs: &[f32],
        wanted: usize,
    ) -> Vec<(usize, u32)> {
        let d = parameters.d_input;
        let mut all = Vec::new();
        for (row, x) in inputs.chunks_exact(d).enumerate() {
            for (latent, e) in parameters.encoder.weights.chunks_exact(d).enumerate() {
                let z = e.iter().zip(x).map(|(e, x)| f64::from(*e) * f64::from(*x)).sum::<f64>();
                all.push((z, row, latent as u32));
            }
        }
        all.retain(|(z, ..)| *z > 0.0);
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.truncate(wanted);
        let mut places: Vec<(usize, u32)> = all.into_iter().map(|(_, row, latent)| (row, latent)).collect();
        places.sort_unstable();
        places
    }

    /// Rows of very different length need very different room.
    #[test]
    fn finds_the_largest_of_the_batch_whatever_room_they_need() {
        let (d, latents, k) = (12, 150, 3);
        let parameters = initialise(latents, vec![0.0; d], 4);
        let mut inputs = numbers(3, 20 * d);
        inputs[..d].iter_mut().for_each(|x| *x *= 1000.0);
        let (mut selection, mut code, mut progress) =
            (Selection::default(), Code::default(), Progress::default());
        for k in [k, k, 40, 150] {
            let coding = Coding {
                parameters: &parameters,
                inputs: &inputs,
                chosen: None,
                k,
                precision: Precision::F32,
            };
            select(coding, &mut selection, &mut code, &mut progress);
            let found: Vec<(usize, u32)> = (0..20)
                .flat_map(|row| code.rows.row(row).indices.iter().map(move |latent| (row, *latent)))
                .collect();
            assert_eq!(found, expected(&parameters, &inputs, k * 20), "k = {k}");
        }
    }

    #[test]
    fn of_equal_values_the_first_are_kept() {
        let mut rows = SparseRows::new(3, 4);
        rows.par_rows_mut().for_each(|row| {
            *row.count = 2;
            (row.indices[0], row.indices[1]) = (1, 2);
            (row.values[0], row.values[1]) = (0.5, 0.25);
        });
        let (threshold, equals) = threshold(&rows, 4);
        assert_eq!((threshold, equals), (0.25, 1));
        assert_eq!(keep_above(&mut rows, threshold, equals), 2);
        assert_eq!((0..3).map(|row| rows.row(row).values.len()).collect::<Vec<_>>(), [2, 1, 1]);
    }
}
