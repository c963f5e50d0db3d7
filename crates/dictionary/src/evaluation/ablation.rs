//! How many logits one latent moves (Gao et al. 2024, "sparsity of ablation effects").
//!
//! One latent is set to zero at one position, whatever else the activation holds staying as it is. With Δ the change of
//! the logits there and at the positions that follow, T in all, less its median at each position (a common shift moves
//! no probability):
//!
//! ```text
//! effective share = (Σ|Δ|)² / (Σ Δ²) / (T · V)
//! ```
//!
//! 1 if every logit of the vocabulary V is moved alike, 1 / (T · V) if one alone is. The position and the latent are
//! drawn at random for each window, among the positions that count and have T − 1 after them, and the latents that are
//! active there.

use glossator_model::{Batch, Model, ModelError, Run};
use rayon::prelude::*;
use serde::Serialize;

use super::candidate::Candidate;
use super::defined::{median, ratio};
use super::rows::{NewRows, replace};
use crate::random::Random;
use crate::sparse_latents::SparseLatents;

/// T: the position of the ablation and those that follow.
pub const ABLATION_SPAN: usize = 16;

/// The shares that were measured of one candidate.
#[derive(Clone, Debug, Default)]
pub(super) struct AblationSparsity {
    windows: u64,
    shares: Vec<f64>,
    without_effect: u64,
}

/// How many logits single latents move.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AblationMetrics {
    /// Ablations with a share.
    pub samples: u64,
    /// Ablations that changed no logit, so that the share is undefined.
    pub without_effect: u64,
    /// Mean effective share.
    pub effective_share: Option<f64>,
    /// The median one.
    pub effective_share_median: Option<f64>,
}

/// A batch whose clean run has been made.
pub(super) struct AblationRun<'a> {
    pub(super) model: &'a Model,
    pub(super) batch: &'a Batch,
    /// The rows that count.
    pub(super) rows: &'a [usize],
    /// `[tokens, vocabulary]`.
    pub(super) logits: &'a [f32],
}

/// What is ablated: an entry of the rows that count, and one of its active latents.
struct Chosen {
    entry: usize,
    latent: usize,
    value: f32,
}

impl AblationSparsity {
    /// Ablates one latent in each sequence. `inputs` and `targets` are the activations at the rows that count.
    pub(super) fn add(
        &mut self,
        run: &AblationRun<'_>,
        candidate: &Candidate,
        latents: &SparseLatents,
        [inputs, targets]: [&[f32]; 2],
    ) -> Result<(), ModelError> {
        let dictionary = candidate.coder.dictionary();
        let (mut rows, mut changed) = (Vec::new(), Vec::new());
        for sequence in 0..run.batch.len() {
            self.windows += 1;
            let Some(chosen) = run.choose(sequence, latents, self.windows) else { continue };
            rows.push(run.rows[chosen.entry]);
            let input = &inputs[chosen.entry * dictionary.d_input..][..dictionary.d_input];
            let convention = dictionary.input;
            let back = if convention.restore { convention.normalisation.row_map(input).back } else { 1.0 };
            let factor = -chosen.value * back;
            let target = &targets[chosen.entry * dictionary.d_output..][..dictionary.d_output];
            let direction = dictionary.decoder_row(chosen.latent);
            changed.extend(target.iter().zip(direction).map(|(x, d)| x + factor * d));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let intervention = replace(run.batch, candidate.writes, &rows, NewRows::Each(changed));
        let forward = Run { interventions: &[intervention], logits: true, ..Run::default() };
        let Some(logits) = run.model.run(run.batch, &forward, &())? else { return Ok(()) };
        let vocabulary = run.model.architecture().vocab_size;
        let share = |row: &usize| {
            let values = row * vocabulary..(row + ABLATION_SPAN) * vocabulary;
            effective_share(&run.logits[values.clone()], &logits.data[values], vocabulary)
        };
        let shares: Vec<Option<f64>> = rows.par_iter().map(share).collect();
        self.without_effect += shares.iter().filter(|share| share.is_none()).count() as u64;
        self.shares.extend(shares.into_iter().flatten());
        Ok(())
    }

    /// None if nothing was ablated.
    pub(super) fn metrics(&self) -> Option<AblationMetrics> {
        let samples = self.shares.len() as u64;
        (samples + self.without_effect > 0).then(|| AblationMetrics {
            samples,
            without_effect: self.without_effect,
            effective_share: ratio(self.shares.iter().sum(), samples as f64),
            effective_share_median: median(&self.shares),
        })
    }
}

impl AblationRun<'_> {
    /// A position of a sequence and a latent that is active there, by a seed of their own.
    fn choose(&self, sequence: usize, latents: &SparseLatents, seed: u64) -> Option<Chosen> {
        let starts = &self.batch.starts()[sequence..=sequence + 1];
        let first = self.rows.partition_point(|row| *row < starts[0]);
        let end = self.rows.partition_point(|row| *row + ABLATION_SPAN <= starts[1]);
        let mut random = Random::new(seed);
        let mut draw = |count: usize| random.below(count);
        let entry = (end > first).then(|| first + draw(end - first))?;
        let (indices, values) = latents.row(entry);
        let active = (!indices.is_empty()).then(|| draw(indices.len()))?;
        Some(Chosen { entry, latent: indices[active] as usize, value: values[active] })
    }
}

/// (Σ|Δ|)² / (Σ Δ²) / (T · V) for logits `[T, V]` before and after; none if nothing changed.
fn effective_share(before: &[f32], after: &[f32], vocabulary: usize) -> Option<f64> {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (before, after) in before.chunks_exact(vocabulary).zip(after.chunks_exact(vocabulary)) {
        let change: Vec<f64> = after.iter().zip(before).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
        let middle = median(&change)?;
        for change in change {
            sum += (change - middle).abs();
            squares += (change - middle).powi(2);
        }
    }
    ratio(sum * sum, squares).map(|effective| effective / before.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_hand() {
        // One logit of six moves.
        let before = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0];
        assert_eq!(effective_share(&before, &[1.0, 2.0, 5.0, 0.0, 0.0, 0.0], 3), Some(1.0 / 6.0));
        // Changes 1, 0, −1 and, a common shift taken away, nothing: (1 + 1)² / 2 / 6.
        assert_eq!(effective_share(&before, &[2.0, 2.0, 2.0, 7.0, 7.0, 7.0], 3), Some(1.0 / 3.0));
        assert_eq!(effective_share(&before, &before, 3), None);
    }

    #[test]
    fn nothing_ablated_is_nothing_known() {
        assert_eq!(AblationSparsity::default().metrics(), None);
        let without_effect = AblationSparsity { windows: 2, shares: Vec::new(), without_effect: 2 };
        assert_eq!(without_effect.metrics().unwrap().effective_share, None);
    }
}
