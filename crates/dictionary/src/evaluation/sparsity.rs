//! How few latents are active, and how often each is.
//!
//! | metric | definition |
//! |---|---|
//! | L0 | mean number of latents that are not zero |
//! | L1 | mean of Σ\|fᵢ\|, in the units of the dictionary's own latents |
//! | density of a latent | share of the positions where it is not zero |
//! | dead | density 0 |
//! | ultra-low density | density above 0 and below 10⁻⁶, Bricken et al. 2023's second mode |
//! | rare, dense | density above 0 and below 10⁻⁴; density above 10⁻² |
//!
//! A share below 10⁻⁶ cannot be seen on fewer than 10⁶ positions, so it is undefined there; likewise for 10⁻⁴.

use serde::Serialize;

use super::defined::ratio;
use crate::sparse_latents::SparseLatents;

/// Densities below are ultra-low.
pub const ULTRA_LOW_DENSITY: f64 = 1e-6;
/// Densities below are rare.
pub const RARE_DENSITY: f64 = 1e-4;
/// Densities above are dense.
pub const DENSE: f64 = 1e-2;
/// The least power of ten of [`DensityHistogram`].
const LOWEST_DECADE: i32 = -8;
/// Bins for each power of ten.
const BINS_PER_DECADE: usize = 4;

/// Counts over rows of latents.
#[derive(Clone, Debug)]
pub struct Sparsity {
    rows: u64,
    active: u64,
    magnitude: f64,
    /// Positions where each latent is not zero `[latents]`.
    firings: Vec<u64>,
}

/// How few latents are active.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SparsityMetrics {
    /// Mean number of latents that are not zero.
    pub l0: Option<f64>,
    /// Mean of Σ|fᵢ|.
    pub l1: Option<f64>,
    /// Latents that never fire.
    pub dead: Option<u64>,
    /// Latents that fire, but at less than one position in 10⁶; none on fewer positions.
    pub ultra_low_density: Option<u64>,
    /// Latents that fire, but at less than one position in 10⁴; none on fewer positions.
    pub rare: Option<u64>,
    /// Latents that fire at more than one position in 100.
    pub dense: Option<u64>,
    /// How the densities are distributed.
    pub histogram: DensityHistogram,
}

/// Latents by log₁₀ of their density, dead ones left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DensityHistogram {
    /// log₁₀ of the densities that bound the bins: `counts.len() + 1` numbers.
    pub log10_edges: Vec<f64>,
    /// Latents in each bin. A density on an edge counts above it; the last bin holds density 1 too.
    pub counts: Vec<u64>,
}

impl Sparsity {
    /// No rows yet, of this many latents.
    pub fn new(latents: usize) -> Self {
        Self { rows: 0, active: 0, magnitude: 0.0, firings: vec![0; latents] }
    }

    /// Adds rows of latents.
    pub fn add(&mut self, latents: &SparseLatents) {
        self.rows += latents.rows() as u64;
        self.active += latents.active() as u64;
        for (indices, values) in latents.iter() {
            self.magnitude += values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
            for &index in indices {
                self.firings[index as usize] += 1;
            }
        }
    }

    /// Mean number of latents that are not zero.
    pub fn l0(&self) -> Option<f64> {
        ratio(self.active as f64, self.rows as f64)
    }

    /// The metrics of all rows so far.
    pub fn metrics(&self) -> SparsityMetrics {
        let rows = self.rows as f64;
        let count = |holds: &dyn Fn(f64) -> bool| {
            let densities = self.firings.iter().map(|&firings| firings as f64 / rows);
            (self.rows > 0).then(|| densities.filter(|density| holds(*density)).count() as u64)
        };
        let below =
            |bound: f64| count(&|density| density > 0.0 && density < bound).filter(|_| rows * bound >= 1.0);
        SparsityMetrics {
            l0: self.l0(),
            l1: ratio(self.magnitude, rows),
            dead: count(&|density| density == 0.0),
            ultra_low_density: below(ULTRA_LOW_DENSITY),
            rare: below(RARE_DENSITY),
            dense: count(&|density| density > DENSE),
            histogram: DensityHistogram::new(&self.firings, self.rows),
        }
    }
}

impl DensityHistogram {
    fn new(firings: &[u64], rows: u64) -> Self {
        let bins = LOWEST_DECADE.unsigned_abs() as usize * BINS_PER_DECADE;
        let width = 1.0 / BINS_PER_DECADE as f64;
        let log10_edges: Vec<f64> = (0..=bins).map(|i| f64::from(LOWEST_DECADE) + i as f64 * width).collect();
        let mut counts = vec![0; bins];
        for &firings in firings.iter().filter(|firings| **firings > 0) {
            let density = (firings as f64 / rows as f64).log10();
            let above = log10_edges.partition_point(|edge| *edge <= density);
            counts[above.saturating_sub(1).min(bins - 1)] += 1;
        }
        Self { log10_edges, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_rows_by_hand() {
        let mut sparsity = Sparsity::new(3);
        sparsity.add(&SparseLatents::from_dense(&[1.0, 0.0, 0.0, 0.5, -2.0, 0.0], 3));
        sparsity.add(&SparseLatents::from_dense(&[0.0; 3], 3));
        let metrics = sparsity.metrics();
        assert_eq!((metrics.l0, metrics.l1), (Some(1.0), Some(3.5 / 3.0)));
        assert_eq!((metrics.dead, metrics.dense), (Some(1), Some(2)));
        assert_eq!((metrics.ultra_low_density, metrics.rare), (None, None));
        assert_eq!(metrics.histogram.counts.iter().sum::<u64>(), 2);
    }

    #[test]
    fn thresholds_count_what_they_say() {
        let firings = vec![0, 1, 99, 100, 101, 10_000, 10_001, 1_000_001, 2_000_000];
        let sparsity = Sparsity { rows: 2_000_000, active: 0, magnitude: 0.0, firings };
        let metrics = sparsity.metrics();
        assert_eq!((metrics.dead, metrics.ultra_low_density), (Some(1), Some(1)));
        assert_eq!((metrics.rare, metrics.dense), (Some(4), Some(2)));
        let few = Sparsity { rows: 10_000, ..sparsity };
        assert_eq!((few.metrics().ultra_low_density, few.metrics().rare), (None, Some(0)));
    }

    #[test]
    fn the_histogram_has_quarters_of_decades() {
        let histogram = DensityHistogram::new(&[1, 10, 20, 1_000, 0], 1_000);
        assert_eq!((histogram.counts.len(), histogram.log10_edges.len()), (32, 33));
        let filled: Vec<(f64, u64)> = histogram
            .log10_edges
            .iter()
            .zip(&histogram.counts)
            .filter(|(_, count)| **count > 0)
            .map(|(edge, count)| (*edge, *count))
            .collect();
        assert_eq!(filled, [(-3.0, 1), (-2.0, 1), (-1.75, 1), (-0.25, 1)]);
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        let metrics = Sparsity::new(4).metrics();
        assert_eq!((metrics.l0, metrics.l1, metrics.dead, metrics.dense), (None, None, None, None));
    }
}
