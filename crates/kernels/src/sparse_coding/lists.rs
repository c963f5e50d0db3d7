//! The code of a batch turned round: for every latent the rows in which it is active.
//!
//! The gradients of a latent's encoder and decoder rows are sums over these rows. Going over them latent by latent,
//! weights and moments are touched once and gradients never leave the first-level cache. A counting sort keeps rows
//! in order, so sums do not depend on the number of threads.

use rayon::prelude::*;

use super::sparse_rows::SparseRows;

/// Fewer entries than this are collected by one thread.
const PARALLEL_ENTRIES: usize = 1 << 15;

/// A code that takes part, with the gradients of its pre-activations in the places of its values.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The activations.
    pub rows: &'a SparseRows,
    /// For each place of the code.
    pub gradients: &'a [f32],
    /// Multiplies activations and gradients.
    pub scale: f32,
}

/// For every latent its entries.
#[derive(Clone, Debug, Default)]
pub struct LatentLists {
    /// `[n_latents + 1]`: where each latent's entries begin.
    starts: Vec<u32>,
    rows: Vec<u32>,
    activations: Vec<f32>,
    gradients: Vec<f32>,
}

impl LatentLists {
    /// Collects the entries of all `parts`; a latent's entries come in order of part and row.
    ///
    /// Each thread goes over all entries and takes those of its own latents.
    ///
    /// # Panics
    /// If an index is not below `n_latents`, or there are 2³² entries.
    pub fn collect(&mut self, n_latents: usize, parts: &[Part<'_>]) {
        let total: usize = parts.iter().map(|part| part.rows.entries()).sum();
        assert!(u32::try_from(total).is_ok(), "latent lists: too many entries");
        let tasks = if total < PARALLEL_ENTRIES { 1 } else { rayon::current_num_threads() };
        let range = n_latents.div_ceil(tasks).max(1);
        self.starts.clear();
        self.starts.resize(n_latents + 1, 0);
        self.starts[1..].par_chunks_mut(range).enumerate().for_each(|(task, counts)| {
            for_each_of(parts, task * range, counts.len(), |latent, _| counts[latent] += 1);
        });
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        assert_eq!(end as usize, total, "latent lists: an entry is of no latent");
        self.rows.resize(total, 0);
        self.activations.resize(total, 0.0);
        self.gradients.resize(total, 0.0);
        let mut rest = (&mut self.rows[..], &mut self.activations[..], &mut self.gradients[..]);
        let mut places = Vec::new();
        for starts in self.starts[..n_latents].chunks(range) {
            let first_latent = places.len() * range;
            let count = (self.starts[first_latent + starts.len()] - starts[0]) as usize;
            let (rows, rows_rest) = rest.0.split_at_mut(count);
            let (activations, activations_rest) = rest.1.split_at_mut(count);
            let (gradients, gradients_rest) = rest.2.split_at_mut(count);
            rest = (rows_rest, activations_rest, gradients_rest);
            let next: Vec<u32> = starts.iter().map(|start| start - starts[0]).collect();
            places.push((first_latent, next, rows, activations, gradients));
        }
        places.into_par_iter().for_each(|(first_latent, mut next, rows, activations, gradients)| {
            for_each_of(parts, first_latent, next.len(), |latent, entry| {
                let place = next[latent] as usize;
                next[latent] += 1;
                rows[place] = entry.row;
                activations[place] = entry.activation;
                gradients[place] = entry.gradient;
            });
        });
    }

    /// The rows in which `latent` is active.
    pub fn rows(&self, latent: usize) -> &[u32] {
        &self.rows[self.range(latent)]
    }

    /// Its scaled activations there.
    pub fn activations(&self, latent: usize) -> &[f32] {
        &self.activations[self.range(latent)]
    }

    /// The scaled gradients of its pre-activation there.
    pub fn gradients(&self, latent: usize) -> &[f32] {
        &self.gradients[self.range(latent)]
    }

    fn range(&self, latent: usize) -> std::ops::Range<usize> {
        self.starts[latent] as usize..self.starts[latent + 1] as usize
    }
}

/// An entry on its way to its latent.
struct Entry {
    row: u32,
    activation: f32,
    gradient: f32,
}

/// Shows `visit` the entries of latents `first..first + count`, numbered from `first`.
fn for_each_of(parts: &[Part<'_>], first: usize, count: usize, mut visit: impl FnMut(usize, Entry)) {
    for part in parts {
        for row in 0..part.rows.rows() {
            let code = part.rows.row(row);
            let gradients = &part.gradients[part.rows.places_of(row)];
            for ((&latent, &activation), &gradient) in code.indices.iter().zip(code.values).zip(gradients) {
                let latent = (latent as usize).wrapping_sub(first);
                if latent < count {
                    let (activation, gradient) = (part.scale * activation, part.scale * gradient);
                    visit(latent, Entry { row: row as u32, activation, gradient });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(rows: &[Vec<u32>]) -> (SparseRows, Vec<f32>) {
        let mut code = SparseRows::new(rows.len(), 5);
        code.par_rows_mut().zip(rows).for_each(|(row, indices)| {
            *row.count = indices.len() as u32;
            for (place, &index) in indices.iter().enumerate() {
                (row.indices[place], row.values[place]) = (index, index as f32 + 0.5);
            }
        });
        (code, (0..rows.len() * 5).map(|i| i as f32).collect())
    }

    proptest! {
        #[test]
        fn every_entry_is_found_under_its_latent(
            first in prop::collection::vec(prop::collection::vec(0_u32..7, 0..=5), 0..12),
            second in prop::collection::vec(prop::collection::vec(0_u32..7, 0..=5), 0..12),
        ) {
            let ((a, a_gradients), (b, b_gradients)) = (code(&first), code(&second));
            let parts = [
                Part { rows: &a, gradients: &a_gradients, scale: 1.0 },
                Part { rows: &b, gradients: &b_gradients, scale: 0.5 },
            ];
            let mut lists = LatentLists::default();
            lists.collect(7, &parts);
            lists.collect(7, &parts);
            for latent in 0..7_u32 {
                let mut expected = Vec::new();
                for (scale, rows) in [(1.0, &first), (0.5, &second)] {
                    for (row, indices) in rows.iter().enumerate() {
                        for (place, _) in indices.iter().enumerate().filter(|(_, i)| **i == latent) {
                            expected.push((row as u32, scale * (latent as f32 + 0.5), scale * (row * 5 + place) as f32));
                        }
                    }
                }
                let latent = latent as usize;
                let (rows, values) = (lists.rows(latent), lists.activations(latent).iter().zip(lists.gradients(latent)));
                let found: Vec<_> = rows.iter().zip(values).map(|(row, (a, g))| (*row, *a, *g)).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    /// Enough entries for several threads give what one thread gives.
    #[test]
    fn threads_do_not_change_the_order() {
        let rows: Vec<Vec<u32>> =
            (0..9000_u32).map(|row| (0..5).map(|i| (row * 7 + i * 31) % 101).collect()).collect();
        let (code, gradients) = code(&rows);
        let collect = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut lists = LatentLists::default();
            let part = Part { rows: &code, gradients: &gradients, scale: 1.0 };
            pool.install(|| lists.collect(101, &[part]));
            (lists.starts, lists.rows, lists.activations, lists.gradients)
        };
        assert_eq!(collect(1), collect(3));
    }
}
