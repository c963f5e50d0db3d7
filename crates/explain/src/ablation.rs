//! Ablation scoring in the subject model: the unit is replaced by its simulation, or by its mean, and the predictions are
//! held against those of the model as it is ([`crate::score::ablation_score`]).
//!
//! Positions that do not count keep their activations and are left out of the averages, as everywhere. A simulation takes
//! the unit's place at all others at once.

use std::sync::Arc;

use glossator_kernels::log_softmax;
use glossator_model::{Batch, Change, Intervention, Model, Positions, Run, UnitId, Units};
use rayon::prelude::*;

use crate::ExplainError;
use crate::score::{ExcerptDivergence, Stratum, jensen_shannon};

/// Log-probabilities that are held at once for each of three runs, in numbers of f32 (128 MiB).
const TOGETHER: usize = 32 << 20;

/// An excerpt, and what explanations say the unit does on it.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// Where it was drawn from.
    pub stratum: Stratum,
    /// `[position]` tokens.
    pub tokens: Vec<u32>,
    /// `[explanation, position]` calibrated activations.
    pub activations: Vec<Vec<f32>>,
}

/// The divergences `[explanation, excerpt]` of `unit`, whose mean activation is `mean`. The first `ignored` positions do
/// not count. All excerpts have the same number of explanations.
///
/// # Errors
/// A unit that cannot be changed, such as a latent of a transcoder.
pub fn divergences(
    model: &Model,
    unit: UnitId,
    mean: f32,
    ignored: usize,
    excerpts: &[Simulated],
) -> Result<Vec<Vec<ExcerptDivergence>>, ExplainError> {
    let explanations = excerpts.first().map_or(0, |excerpt| excerpt.activations.len());
    let mut found = vec![Vec::with_capacity(excerpts.len()); explanations];
    let longest = excerpts.iter().map(|excerpt| excerpt.tokens.len()).max().unwrap_or(1);
    let together = (TOGETHER / (longest * model.architecture().vocab_size)).max(1);
    for excerpts in excerpts.chunks(together) {
        let subject = Subject::new(model, unit, ignored, excerpts);
        let clean = subject.log_probabilities(None)?;
        let constant: Vec<Vec<f32>> =
            excerpts.iter().map(|excerpt| vec![mean; excerpt.tokens.len()]).collect();
        let ablated = subject.divergences(&clean, &subject.log_probabilities(Some(constant))?);
        for (explanation, found) in found.iter_mut().enumerate() {
            let simulated = excerpts.iter().map(|excerpt| excerpt.activations[explanation].clone()).collect();
            let simulated = subject.divergences(&clean, &subject.log_probabilities(Some(simulated))?);
            let pairs = excerpts.iter().zip(simulated).zip(&ablated);
            found.extend(pairs.map(|((excerpt, simulated), ablated)| ExcerptDivergence {
                stratum: excerpt.stratum,
                simulated,
                ablated: *ablated,
            }));
        }
    }
    Ok(found)
}

/// Excerpts that run through the model together.
struct Subject<'a> {
    model: &'a Model,
    unit: UnitId,
    ignored: usize,
    batch: Batch,
}

impl<'a> Subject<'a> {
    fn new(model: &'a Model, unit: UnitId, ignored: usize, excerpts: &[Simulated]) -> Self {
        let sequences: Vec<&[u32]> = excerpts.iter().map(|excerpt| excerpt.tokens.as_slice()).collect();
        Self { model, unit, ignored, batch: Batch::from_sequences(&sequences) }
    }

    /// `[row, vocabulary]` with the unit at `[sequence, position]` set to `activations`, or as it is.
    fn log_probabilities(&self, activations: Option<Vec<Vec<f32>>>) -> Result<Vec<f32>, ExplainError> {
        let changes: Vec<Intervention> = activations
            .map(|activations| Intervention {
                hook: self.unit.hook,
                positions: Positions::Ranges(vec![(self.ignored as i64, None)]),
                units: Units::Coordinates(vec![self.unit.index]),
                change: Change::Replace(Arc::new(move |row, values| {
                    values[0] = activations[row.sequence][row.position];
                })),
            })
            .into_iter()
            .collect();
        let run = Run { interventions: &changes, logits: true, ..Run::default() };
        let mut logits =
            self.model.run(&self.batch, &run, &())?.map(|logits| logits.data).unwrap_or_default();
        logits.par_chunks_exact_mut(self.model.architecture().vocab_size).for_each(log_softmax);
        Ok(logits)
    }

    /// The mean divergence of each sequence over its counted positions.
    fn divergences(&self, clean: &[f32], changed: &[f32]) -> Vec<f64> {
        let vocabulary = self.model.architecture().vocab_size;
        let rows = clean.par_chunks_exact(vocabulary).zip(changed.par_chunks_exact(vocabulary));
        let rows: Vec<f64> = rows.map(|(clean, changed)| jensen_shannon(clean, changed)).collect();
        let sequences = self.batch.starts().windows(2);
        sequences
            .map(|pair| {
                let counted = &rows[(pair[0] + self.ignored).min(pair[1])..pair[1]];
                counted.iter().sum::<f64>() / counted.len().max(1) as f64
            })
            .collect()
    }
}
