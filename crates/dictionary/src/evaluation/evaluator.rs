//! One pass over text that measures every candidate: the model runs once for all of them, and once more for each
//! candidate and ablation where losses are wanted.

use std::collections::BTreeMap;

use glossator_model::{Batch, HookPoint, Intervention, Model, ModelError, Run};
use serde::Serialize;

use super::calibration::hooks;
use super::candidate::{Candidate, CandidateKind};
use super::geometry::GeometryMetrics;
use super::losses::{CleanRun, LossMetrics, LossSums};
use super::positions::CountedPositions;
use super::reconstruction::{Reconstruction, ReconstructionMetrics};
use super::rows::{NewRows, gather, replace};
use super::sparsity::{Sparsity, SparsityMetrics};

/// Measures candidates batch by batch.
pub struct Evaluator<'a> {
    model: &'a Model,
    positions: &'a CountedPositions,
    candidates: &'a [Candidate],
    hooks: Vec<HookPoint>,
    measured: Vec<Measured>,
    clean: LossSums,
    ablations: BTreeMap<HookPoint, Ablations>,
}

/// The sums of one candidate.
struct Measured {
    reconstruction: Reconstruction,
    sparsity: Sparsity,
    spliced: LossSums,
}

/// The sums of the ablations of one hook point.
struct Ablations {
    mean_activation: Vec<f32>,
    zero: LossSums,
    mean: LossSums,
}

/// Everything that was measured of one candidate. What is undefined is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The candidate's name.
    pub name: String,
    /// Where it comes from.
    pub kind: CandidateKind,
    /// The hook point that it encodes.
    pub reads: HookPoint,
    /// The hook point that it reconstructs.
    pub writes: HookPoint,
    /// Number of latents.
    pub latents: usize,
    /// How close reconstructions are.
    pub reconstruction: ReconstructionMetrics,
    /// How few latents are active.
    pub sparsity: SparsityMetrics,
    /// What latents read against what they write.
    pub geometry: GeometryMetrics,
    /// What the reconstruction costs the model; none if no losses were wanted.
    pub losses: Option<LossMetrics>,
}

impl<'a> Evaluator<'a> {
    /// Nothing read yet. `means` are the activations of mean ablation, for every hook point that a candidate
    /// reconstructs.
    ///
    /// # Panics
    /// If a mean is missing.
    pub fn new(
        model: &'a Model,
        positions: &'a CountedPositions,
        candidates: &'a [Candidate],
        means: &BTreeMap<HookPoint, Vec<f32>>,
    ) -> Self {
        let measured = candidates
            .iter()
            .map(|candidate| Measured {
                reconstruction: Reconstruction::new(candidate.coder.dictionary().d_output),
                sparsity: Sparsity::new(candidate.coder.dictionary().latents),
                spliced: LossSums::default(),
            })
            .collect();
        let ablations = candidates
            .iter()
            .map(|candidate| {
                let mean_activation = means[&candidate.writes].clone();
                let (zero, mean) = (LossSums::default(), LossSums::default());
                (candidate.writes, Ablations { mean_activation, zero, mean })
            })
            .collect();
        let (hooks, clean) = (hooks(candidates), LossSums::default());
        Self { model, positions, candidates, hooks, measured, clean, ablations }
    }

    /// Reads some sequences; with `losses` also what replacing the activations does to the predictions.
    ///
    /// # Errors
    /// What the model says.
    pub fn read(&mut self, batch: &Batch, losses: bool) -> Result<(), ModelError> {
        let rows = self.positions.rows(batch);
        let run = Run { hooks: &self.hooks, logits: losses, ..Run::default() };
        let (captured, logits) = self.model.capture_with(batch, &run)?;
        let vocabulary = self.model.architecture().vocab_size;
        let clean =
            logits.map(|logits| CleanRun::new(logits.data, vocabulary, self.positions.predictions(batch)));
        let model = self.model;
        for (candidate, measured) in self.candidates.iter().zip(&mut self.measured) {
            let inputs = gather(&captured[&candidate.reads], &rows);
            let latents = candidate.coder.encode(&inputs);
            measured.sparsity.add(&latents);
            let reconstruction = candidate.coder.reconstruct(&latents, &inputs);
            measured.reconstruction.add(&gather(&captured[&candidate.writes], &rows), &reconstruction);
            if let Some(clean) = &clean {
                let splice = replace(batch, candidate.writes, &rows, NewRows::Each(reconstruction));
                measured.spliced.add(&changed(model, batch, clean, splice)?);
            }
        }
        let Some(clean) = clean else { return Ok(()) };
        self.clean.add(&clean.losses());
        for (hook, ablations) in &mut self.ablations {
            let mean = ablations.mean_activation.clone();
            let zero = replace(batch, *hook, &rows, NewRows::Same(vec![0.0; mean.len()]));
            ablations.zero.add(&changed(model, batch, &clean, zero)?);
            let mean = replace(batch, *hook, &rows, NewRows::Same(mean));
            ablations.mean.add(&changed(model, batch, &clean, mean)?);
        }
        Ok(())
    }

    /// What was measured, in the order of the candidates.
    pub fn finish(&self) -> Vec<Evaluation> {
        let pairs = self.candidates.iter().zip(&self.measured);
        pairs.map(|(candidate, measured)| self.evaluation(candidate, measured)).collect()
    }

    fn evaluation(&self, candidate: &Candidate, measured: &Measured) -> Evaluation {
        let ablations = &self.ablations[&candidate.writes];
        let losses = LossMetrics::new(&self.clean, &measured.spliced, &ablations.zero, &ablations.mean);
        Evaluation {
            name: candidate.name.clone(),
            kind: candidate.kind,
            reads: candidate.reads,
            writes: candidate.writes,
            latents: candidate.coder.dictionary().latents,
            reconstruction: measured.reconstruction.metrics(),
            sparsity: measured.sparsity.metrics(),
            geometry: GeometryMetrics::new(candidate.coder.dictionary()),
            losses: (self.clean.tokens > 0).then_some(losses),
        }
    }
}

/// The losses of a run with one change.
fn changed(
    model: &Model,
    batch: &Batch,
    clean: &CleanRun,
    intervention: Intervention,
) -> Result<LossSums, ModelError> {
    let run = Run { interventions: &[intervention], logits: true, ..Run::default() };
    let logits = model.run(batch, &run, &())?;
    Ok(logits.map_or_else(LossSums::default, |logits| clean.compare(logits.data)))
}
