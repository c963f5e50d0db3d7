//! How much memory a recording takes, before it takes any.

use serde::Serialize;

use super::gate::GATE_BYTES;
use super::products::PRODUCT_BYTES;
use super::settings::RecordSettings;
use super::strata::{SLOTS, STRATA_BYTES};
use super::token_table::SUM_BYTES;
use super::top_windows::{ENTRY_BYTES, TOP};
use super::{RANDOM, block};

/// Bytes that a recording will hold; none of it grows with the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// Moments, extremes, histograms, and the index of the excerpts.
    pub statistics: u64,
    /// Activations of excerpts: an upper bound, reached when every unit's window maxima spread over all
    /// strata.
    pub excerpts: u64,
    /// Sums per token: an upper bound, reached when no token's sums are small.
    pub token_table: u64,
    /// Sums of the products of features and neurons.
    pub products: u64,
}

impl MemoryEstimate {
    /// What a recording with these settings takes.
    pub fn of(settings: &RecordSettings) -> Self {
        let units = settings.units();
        let window = u64::from(settings.run.context) * 4;
        let kept = settings.kept_tokens.len() as u64;
        let windows = (TOP + RANDOM + SLOTS) as u64;
        Self {
            statistics: units * (block::UNIT_BYTES + TOP as u64 * ENTRY_BYTES + STRATA_BYTES + GATE_BYTES),
            excerpts: units * window * windows,
            token_table: units * kept * SUM_BYTES,
            products: settings
                .hooks
                .iter()
                .map(|hook| u64::from(hook.units) * settings.neurons(hook) as u64 * PRODUCT_BYTES)
                .sum(),
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.statistics + self.excerpts + self.token_table + self.products
    }
}
