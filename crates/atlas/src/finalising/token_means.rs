//! A unit's mean activation per token, as explainers may know it: the calibration, valid and test excerpts are
//! subtracted from the sums, exactly, because sums and terms lie on one grid.

use glossator_kernels::statistics::on_grid;

use super::ranked::largest;
use super::records::Tokens;
use crate::record::TokenMean;
use crate::recording::Recorder;
use crate::tables::token_means::TokenMeansRow;

/// Tokens stored with the unit, on each end.
const ENDS: usize = 50;
/// Fewest occurrences, outside the scoring excerpts, of a token that is ranked.
const MIN_RANKED: u32 = 3;

/// Sums and counts per column, from which excerpts are taken out.
pub(super) struct UnitTokens {
    sums: Vec<f64>,
    counts: Vec<u32>,
    /// Sum and count over all tokens.
    total: (f64, u64),
}

impl UnitTokens {
    /// All tokens: the sums of the table, and the counts of the selection.
    pub(super) fn new(sums: Vec<f64>, recorder: &Recorder, total: (f64, u64)) -> Self {
        let settings = recorder.settings();
        let counts = settings.kept_tokens.iter().map(|token| settings.token_counts[*token as usize] as u32);
        Self { sums, counts: counts.collect(), total }
    }

    /// Takes out one window.
    pub(super) fn subtract(&mut self, recorder: &Recorder, tokens: &Tokens<'_>, activations: &[f32]) {
        let ignored = recorder.settings().run.ignored_positions as usize;
        for (token, activation) in tokens.iter().zip(activations).skip(ignored) {
            self.total = (self.total.0 - f64::from(*activation), self.total.1.saturating_sub(1));
            if let Some(column) = recorder.column(*token) {
                self.sums[column] -= on_grid(*activation);
                self.counts[column] = self.counts[column].saturating_sub(1);
            }
        }
    }

    /// The row of the table.
    pub(super) fn row(&self, unit: u32) -> TokenMeansRow {
        let mean = |(sum, count): (&f64, &u32)| (*count > 0).then(|| (sum / f64::from(*count)) as f32);
        let means = self.sums.iter().zip(&self.counts).map(mean).collect();
        TokenMeansRow { unit, mean: (self.total.0 / self.total.1.max(1) as f64) as f32, means }
    }

    /// The tokens with the largest (`sign` 1) or smallest (−1) means.
    pub(super) fn ends(&self, row: &TokenMeansRow, recorder: &Recorder, sign: f32) -> Vec<TokenMean> {
        let ranked =
            row.means.iter().zip(&self.counts).map(|(mean, count)| {
                mean.filter(|_| *count >= MIN_RANKED).map_or(f32::NAN, |mean| sign * mean)
            });
        let kept = &recorder.settings().kept_tokens;
        let entry = |(column, mean): (u32, f32)| TokenMean {
            token: kept[column as usize],
            mean: sign * mean,
            count: self.counts[column as usize],
        };
        largest(ranked, ENDS).into_iter().map(entry).collect()
    }
}
