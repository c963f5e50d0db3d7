//! The code of a batch turned round: for every latent the rows in which it is active.
//!
//! The gradients of a latent's encoder and decoder rows are sums over these rows. Going over them latent by latent,
//! weights and moments are touched once and gradients never leave the first-level cache. A counting sort keeps rows
//! in order, so sums do not depend on the number of threads.

use super::sparse_rows::SparseRows;

/// A code that takes part, with the gradients of its pre-activations in the places of its values.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The activations.
    pub rows: &'a SparseRows,
    /// `[rows, width]`, laid out as the code.
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
    /// # Panics
    /// If an index is not below `n_latents`, or there are 2³² entries.
    pub fn collect(&mut self, n_latents: usize, parts: &[Part<'_>]) {
        self.starts.clear();
        self.starts.resize(n_latents + 2, 0);
        let all = || parts.iter().flat_map(|part| (0..part.rows.rows()).map(move |row| (part, row)));
        for (part, row) in all() {
            for &latent in part.rows.row(row).indices {
                self.starts[latent as usize + 2] += 1;
            }
        }
        let mut total = 0_u32;
        for start in &mut self.starts {
            total = total.checked_add(*start).unwrap_or_else(|| panic!("latent lists: too many entries"));
            *start = total;
        }
        let total = total as usize;
        self.rows.resize(total, 0);
        self.activations.resize(total, 0.0);
        self.gradients.resize(total, 0.0);
        for (part, row) in all() {
            let code = part.rows.row(row);
            let gradients = &part.gradients[row * part.rows.width()..];
            for ((&latent, &activation), &gradient) in code.indices.iter().zip(code.values).zip(gradients) {
                // After this loop, place `latent + 1` holds where the latent's entries end.
                let next = &mut self.starts[latent as usize + 1];
                let place = *next as usize;
                *next += 1;
                self.rows[place] = row as u32;
                self.activations[place] = part.scale * activation;
                self.gradients[place] = part.scale * gradient;
            }
        }
        self.starts.pop();
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rayon::prelude::*;

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
}
