//! What has to be known before an evaluation, measured on other text: mean activations for mean ablation, their
//! covariance for principal components, and the sparsity that baselines must match.

use std::collections::BTreeMap;

use glossator_model::{Batch, HookPoint, Model, ModelError};

use super::candidate::Candidate;
use super::moments::Moments;
use super::place::Place;
use super::positions::CountedPositions;
use super::rows::gather;
use super::sparsity::Sparsity;

/// Moments of every place that a candidate reconstructs, and the sparsity of every candidate.
pub struct Calibration<'a> {
    model: &'a Model,
    positions: &'a CountedPositions,
    candidates: &'a [Candidate],
    hooks: Vec<HookPoint>,
    moments: BTreeMap<Place, Moments>,
    sparsity: Vec<Sparsity>,
}

/// The result of a calibration.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// Of every place that a candidate reconstructs.
    pub moments: BTreeMap<Place, Moments>,
    /// L0 of every candidate, in their order; none if no position counted.
    pub l0: Vec<Option<f64>>,
}

impl<'a> Calibration<'a> {
    /// Nothing read yet. With `covariance` the moments hold it, `width²` numbers for each place.
    pub fn new(
        model: &'a Model,
        positions: &'a CountedPositions,
        candidates: &'a [Candidate],
        covariance: bool,
    ) -> Self {
        let moments = candidates
            .iter()
            .map(|candidate| {
                let width = candidate.coder.dictionary().d_output;
                (candidate.writes, Moments::new(width, covariance))
            })
            .collect();
        let sparsity =
            candidates.iter().map(|candidate| Sparsity::new(candidate.coder.dictionary().latents)).collect();
        Self { model, positions, candidates, hooks: hooks(candidates), moments, sparsity }
    }

    /// Reads some sequences. The forward pass ends at the last hook point.
    ///
    /// # Errors
    /// What the model says.
    pub fn read(&mut self, batch: &Batch) -> Result<(), ModelError> {
        let rows = self.positions.rows(batch);
        let captured = self.model.capture(batch, &self.hooks)?;
        for (place, moments) in &mut self.moments {
            moments.add(&gather(&captured[&place.hook], *place, &rows));
        }
        for (candidate, sparsity) in self.candidates.iter().zip(&mut self.sparsity) {
            let inputs = gather(&captured[&candidate.reads.hook], candidate.reads, &rows);
            sparsity.add(&candidate.coder.encode(&inputs));
        }
        Ok(())
    }

    /// What was measured.
    pub fn finish(self) -> Calibrated {
        Calibrated { moments: self.moments, l0: self.sparsity.iter().map(Sparsity::l0).collect() }
    }
}

/// Every hook point that some candidate reads or reconstructs, in order of execution.
pub(super) fn hooks(candidates: &[Candidate]) -> Vec<HookPoint> {
    let mut hooks: Vec<HookPoint> =
        candidates.iter().flat_map(|candidate| [candidate.reads.hook, candidate.writes.hook]).collect();
    hooks.sort_unstable();
    hooks.dedup();
    hooks
}
