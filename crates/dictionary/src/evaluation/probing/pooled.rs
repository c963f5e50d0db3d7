//! Latents averaged over the positions of a window, for many windows.

use crate::sparse_latents::SparseLatents;

/// Mean latents of windows, without their zeros, stored by latent.
#[derive(Clone, Debug, Default)]
pub(in crate::evaluation) struct PooledLatents {
    windows: usize,
    /// By latent: the windows where it is not zero (rising) with its mean there.
    by_latent: Vec<Vec<(u32, f32)>>,
    /// Scratch `[latents]`, zero between windows.
    sums: Vec<f64>,
}

impl PooledLatents {
    /// No windows yet, of this many latents.
    pub(in crate::evaluation) fn new(latents: usize) -> Self {
        Self { windows: 0, by_latent: vec![Vec::new(); latents], sums: vec![0.0; latents] }
    }

    /// Adds the window whose positions are these rows; a window without positions has zeros.
    pub(in crate::evaluation) fn add(&mut self, latents: &SparseLatents, rows: std::ops::Range<usize>) {
        let count = rows.len() as f64;
        let mut touched = Vec::new();
        for row in rows {
            let (indices, values) = latents.row(row);
            for (&index, &value) in indices.iter().zip(values) {
                let sum = &mut self.sums[index as usize];
                if *sum == 0.0 {
                    touched.push(index);
                }
                *sum += f64::from(value);
            }
        }
        for index in touched {
            // An index is met twice if values cancelled in between.
            let sum = std::mem::take(&mut self.sums[index as usize]);
            if sum != 0.0 {
                self.by_latent[index as usize].push((self.windows as u32, (sum / count) as f32));
            }
        }
        self.windows += 1;
    }

    /// The latents that fire on some of these windows whose mean over the class exceeds that over
    /// the others most, by difference.
    pub(in crate::evaluation) fn by_difference(&self, windows: &[(u32, bool)], count: usize) -> Vec<usize> {
        let mut class = vec![None; self.windows];
        windows.iter().for_each(|(window, own)| class[*window as usize] = Some(*own));
        let sizes = [true, false].map(|own| windows.iter().filter(|window| window.1 == own).count() as f64);
        let difference = |(latent, entries): (usize, &Vec<(u32, f32)>)| {
            let part = |(window, value): &(u32, f32)| match class[*window as usize] {
                Some(true) => f64::from(*value) / sizes[0],
                Some(false) => -f64::from(*value) / sizes[1],
                None => 0.0,
            };
            (latent, entries.iter().map(part).sum::<f64>())
        };
        let mut ranked: Vec<(usize, f64)> = self.by_latent.iter().enumerate().map(difference).collect();
        ranked.retain(|(_, difference)| *difference > 0.0);
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(count);
        ranked.into_iter().map(|(latent, _)| latent).collect()
    }

    /// Number of windows.
    pub(super) fn windows(&self) -> usize {
        self.windows
    }

    /// Number of latents.
    pub(super) fn latents(&self) -> usize {
        self.by_latent.len()
    }

    /// The windows where a latent is not zero, rising, with its mean there.
    pub(super) fn latent(&self, latent: usize) -> &[(u32, f32)] {
        &self.by_latent[latent]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_means_of_their_rows() {
        let latents = SparseLatents::from_dense(&[1.0, 0.0, 2.0, 3.0, 0.0, -2.0, 0.0, 0.0, 4.0], 3);
        let mut pooled = PooledLatents::new(3);
        pooled.add(&latents, 0..2);
        pooled.add(&latents, 0..0);
        pooled.add(&latents, 2..3);
        assert_eq!((pooled.windows(), pooled.latents()), (3, 3));
        assert_eq!(pooled.latent(0), [(0, 2.0)]);
        assert!(pooled.latent(1).is_empty());
        assert_eq!(pooled.latent(2), [(2, 4.0)]);
    }
}
