//! BatchTopK (Bussmann, Leask & Nanda 2024): the k·B largest positive pre-activations of a batch of B rows.
//!
//! The selection of rows' largest entries finds them. Each row has room for 2 k entries at first. Rows that fill it with
//! values that all belong to the batch's largest are selected anew with four times the room, and so on. As the rows of a
//! level have all filled the room of the level before with some of k·B values, no level has more than 4 k·B places,
//! whichever rows take them: a few tokens whose activations are far longer than the rest may activate most latents.
//!
//! For use, one threshold stands for the batch: a running mean over batches of the smallest value kept,
//! θ ← θ + r (min − θ). Its rate r is 0.01 (as in `SAELens` and `dictionary_learning`), but at step t no less than
//! 9 / (t + 8), so that in the first 900 steps the last ninth of them counts most, and not where training began.

use glossator_kernels::sparse_coding::{Selection, SparseRow, SparseRowMut, SparseRows};
use rayon::prelude::*;

use super::encode::{Code, Coding};
use super::progress::Progress;

/// The room of a row at first, in k.
const USUAL_ROOM: usize = 2;
/// How many times more room a level has than the one before.
const WIDER: usize = 4;
/// What a batch's smallest value weighs in the running threshold.
const THRESHOLD_RATE: f64 = 0.01;
/// The running threshold of a short run is that of the last one in so many steps.
const THRESHOLD_SHARE: f64 = 9.0;

/// Finds the largest entries of batches; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct BatchSelection {
    /// All rows with little room, some rows with more, and so on.
    levels: Vec<Level>,
    /// For each row of the batch the last level that has it, and its place there.
    found: Vec<[usize; 2]>,
}

/// Rows that have the same room.
#[derive(Debug, Default)]
struct Level {
    /// Their places in the batch, ascending.
    rows: Vec<usize>,
    /// `[rows, d_input]`; empty for all rows.
    inputs: Vec<f32>,
    code: Code,
}

/// What belongs to a batch's largest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cut {
    /// Greater values do.
    threshold: f32,
    /// And so many that are equal.
    equals: usize,
}

impl BatchSelection {
    /// Fills `kept` with the k·B largest activations of the batch; of equal ones the first.
    pub(super) fn select(
        &mut self,
        coding: Coding<'_>,
        selection: &mut Selection,
        kept: &mut SparseRows,
        progress: &mut Progress,
    ) {
        let latents = coding.parameters.latents;
        let rows = coding.inputs.len() / coding.parameters.d_input;
        self.found.clear();
        self.found.extend((0..rows).map(|row| [0, row]));
        let (mut level, mut room) = (0, (USUAL_ROOM * coding.k).min(latents));
        let cut = loop {
            self.encode(level, Coding { k: room, ..coding }, selection);
            let cut = cut(self.entries(), coding.k * rows);
            let lost = self.full_above(level, room, cut.threshold);
            if room == latents || lost.is_empty() {
                break cut;
            }
            (level, room) = (level + 1, (WIDER * room).min(latents));
            self.descend(level, lost, coding);
        };
        keep(self.entries(), cut, kept);
        let smallest = (0..rows).flat_map(|row| kept.row(row).values.iter().copied()).reduce(f32::min);
        progress.follow(smallest, coding.parameters.steps);
    }

    /// The entries of each row of the batch.
    fn entries(&self) -> impl Iterator<Item = SparseRow<'_>> + Clone {
        self.found.iter().map(|[level, place]| self.levels[*level].code.rows.row(*place))
    }

    /// Fills the code of a level.
    fn encode(&mut self, level: usize, coding: Coding<'_>, selection: &mut Selection) {
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        let Level { inputs, code, .. } = &mut self.levels[level];
        let inputs = if level == 0 { coding.inputs } else { inputs };
        let coding = Coding { inputs, ..coding };
        coding.select(selection, code);
        coding.activate_all(code);
    }

    /// The places in the batch of a level's rows that are full of values above `threshold`.
    fn full_above(&self, level: usize, room: usize, threshold: f32) -> Vec<usize> {
        let Level { rows, code, .. } = &self.levels[level];
        let full = |place: &usize| {
            let values = code.rows.row(*place).values;
            values.len() == room && values.iter().all(|value| *value > threshold)
        };
        let places = (0..code.rows.rows()).filter(full);
        places.map(|place| if level == 0 { place } else { rows[place] }).collect()
    }

    /// Gives `rows` of the batch a level of their own.
    fn descend(&mut self, level: usize, rows: Vec<usize>, coding: Coding<'_>) {
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        let next = &mut self.levels[level];
        let d_input = coding.parameters.d_input;
        next.inputs.clear();
        for (place, row) in rows.iter().enumerate() {
            self.found[*row] = [level, place];
            next.inputs.extend_from_slice(&coding.inputs[row * d_input..][..d_input]);
        }
        next.rows = rows;
    }
}

impl Progress {
    /// Lets the running threshold follow the smallest value that the batch of step `step` kept.
    fn follow(&mut self, smallest: Option<f32>, step: u64) {
        let Some(smallest) = smallest else { return };
        let threshold = self.threshold.unwrap_or(smallest);
        let rate = THRESHOLD_SHARE / (step as f64 + THRESHOLD_SHARE - 1.0);
        let rate = rate.clamp(THRESHOLD_RATE, 1.0) as f32;
        self.threshold = Some(threshold + rate * (smallest - threshold));
    }
}

/// What the `wanted` largest of all entries are.
fn cut<'a>(rows: impl Iterator<Item = SparseRow<'a>>, wanted: usize) -> Cut {
    let mut values: Vec<f32> = rows.flat_map(|row| row.values.iter().copied()).collect();
    if values.len() <= wanted {
        return Cut { threshold: 0.0, equals: 0 };
    }
    let place = values.len() - wanted;
    let (_, &mut threshold, above) = values.select_nth_unstable_by(place, f32::total_cmp);
    let greater = above.iter().filter(|value| **value > threshold).count();
    Cut { threshold, equals: wanted - greater }
}

/// Fills `kept` with what a cut leaves of the rows' entries.
fn keep<'a>(rows: impl Iterator<Item = SparseRow<'a>> + Clone, cut: Cut, kept: &mut SparseRows) {
    let room = |row: SparseRow<'_>| row.values.iter().filter(|value| **value >= cut.threshold).count();
    kept.reset_to(rows.clone().map(room));
    let mut equals = cut.equals;
    let each: Vec<SparseRowMut<'_>> = kept.par_rows_mut().collect();
    for (row, kept) in rows.zip(each) {
        let mut count = 0;
        for (index, value) in row.indices.iter().zip(row.values) {
            let equal = *value == cut.threshold && equals > 0;
            equals -= usize::from(equal);
            if *value > cut.threshold || equal {
                (kept.indices[count], kept.values[count]) = (*index, *value);
                count += 1;
            }
        }
        *kept.count = count as u32;
    }
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

    /// Rows of very different length need very different room, and no level has more than is said.
    #[test]
    fn finds_the_largest_of_the_batch_whatever_room_they_need() {
        let (d, latents, rows) = (12, 600, 60);
        let parameters = initialise(latents, vec![0.0; d], 4);
        let mut inputs = numbers(3, rows * d);
        inputs[..d].iter_mut().for_each(|x| *x *= 1000.0);
        inputs[7 * d..9 * d].iter_mut().for_each(|x| *x *= 100.0);
        let (mut selection, mut progress) = (Selection::default(), Progress::default());
        let (mut batch, mut kept) = (BatchSelection::default(), SparseRows::default());
        for k in [3, 3, 40, 600] {
            let coding = Coding {
                parameters: &parameters,
                inputs: &inputs,
                chosen: None,
                k,
                precision: Precision::F32,
            };
            batch.select(coding, &mut selection, &mut kept, &mut progress);
            let found: Vec<(usize, u32)> = (0..rows)
                .flat_map(|row| kept.row(row).indices.iter().map(move |latent| (row, *latent)))
                .collect();
            assert_eq!(found, expected(&parameters, &inputs, k * rows), "k = {k}");
            let deepest = batch.found[0][0];
            assert_eq!(deepest, if k == 3 { 3 } else { batch.found.iter().map(|f| f[0]).max().unwrap() });
            for level in 0..=deepest {
                let room = (2 * k * 4_usize.pow(level as u32)).min(latents);
                let places = room * batch.levels[level].code.rows.rows();
                assert!(places <= 4 * k * rows, "k = {k}: {places} places at level {level}");
            }
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
        let entries = || (0..3).map(|row| rows.row(row));
        let cut = cut(entries(), 4);
        assert_eq!(cut, Cut { threshold: 0.25, equals: 1 });
        let mut kept = SparseRows::default();
        keep(entries(), cut, &mut kept);
        assert_eq!((0..3).map(|row| kept.row(row).values.len()).collect::<Vec<_>>(), [2, 1, 1]);
    }

    /// While training begins the smallest value falls; the threshold must not stay where it began.
    #[test]
    fn the_threshold_follows_short_runs_and_is_steady_in_long_ones() {
        let mut progress = Progress::default();
        let smallest = |step: u64| 1.0 + 4.0 * (-(step as f32) / 10.0).exp();
        (1..=38).for_each(|step| progress.follow(Some(smallest(step)), step));
        let short = progress.threshold.unwrap();
        assert!(short < 1.25, "{short} where the batch has {}", smallest(38));
        (39..=4000).for_each(|step| progress.follow(Some(1.0), step));
        progress.follow(Some(2.0), 4001);
        assert!((progress.threshold.unwrap() - 1.01).abs() < 1e-4);
    }
}
