//! One pass over text that measures every candidate: the model runs once for all of them, and once more for each
//! candidate and ablation where losses are wanted.

use std::collections::BTreeMap;

use glossator_model::{Batch, HookPoint, Model, ModelError, Run, Tensor};
use serde::Serialize;

use super::ablation::{AblationMetrics, AblationRun, AblationSparsity};
use super::absorption::AbsorptionMetrics;
use super::calibration::hooks;
use super::candidate::{Candidate, CandidateKind};
use super::explained::ExplainedMetrics;
use super::geometry::GeometryMetrics;
use super::losses::{CleanRun, LossMetrics, LossSums};
use super::place::Place;
use super::positions::CountedPositions;
use super::probing::{LabelledWindow, PooledLatents, ProbeMetrics};
use super::reconstruction::{Reconstruction, ReconstructionMetrics};
use super::rows::{NewRows, gather, replace};
use super::sparsity::{Sparsity, SparsityMetrics};
use crate::sparse_latents::SparseLatents;

/// Measures candidates batch by batch.
pub struct Evaluator<'a> {
    model: &'a Model,
    positions: &'a CountedPositions,
    candidates: &'a [Candidate],
    hooks: Vec<HookPoint>,
    measured: Vec<Measured>,
    clean: LossSums,
    ablations: BTreeMap<Place, Ablations>,
    /// The windows with labels, in the order of the pooled latents.
    labelled: Vec<LabelledWindow>,
}

/// The sums of one candidate.
struct Measured {
    reconstruction: Reconstruction,
    sparsity: Sparsity,
    spliced: LossSums,
    pooled: PooledLatents,
    ablation: AblationSparsity,
}

/// The sums of the ablations of one place.
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
    /// The head of both hook points that it is about, if it is about one.
    pub head: Option<usize>,
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
    /// How many logits a single latent moves; none if no latent was ablated.
    pub ablation: Option<AblationMetrics>,
    /// How much of first letters is absorbed; none unless [`absorption`](super::absorption()) was measured.
    pub absorption: Option<AbsorptionMetrics>,
    /// What single latents know of labels; none if no window had one.
    pub probes: Option<ProbeMetrics>,
    /// What explanations of the latents are worth; nothing unless [`explained`](super::explained()) was measured.
    pub explanations: Vec<ExplainedMetrics>,
}

/// What is measured on a batch besides sparsity and reconstruction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'w> {
    /// What replacing the activations does to the predictions.
    pub losses: bool,
    /// What ablating one latent at one position of each sequence does to the logits.
    pub ablations: bool,
    /// For probes: the label of each sequence, if it has one; or nothing.
    pub labels: &'w [Option<LabelledWindow>],
}

impl<'a> Evaluator<'a> {
    /// Nothing read yet. `means` are the activations of mean ablation, for every place that a candidate reconstructs.
    ///
    /// # Panics
    /// If a mean is missing.
    pub fn new(
        model: &'a Model,
        positions: &'a CountedPositions,
        candidates: &'a [Candidate],
        means: &BTreeMap<Place, Vec<f32>>,
    ) -> Self {
        let measured = candidates
            .iter()
            .map(|candidate| Measured {
                reconstruction: Reconstruction::new(candidate.coder.dictionary().d_output),
                sparsity: Sparsity::new(candidate.coder.dictionary().latents),
                spliced: LossSums::default(),
                pooled: PooledLatents::new(candidate.coder.dictionary().latents),
                ablation: AblationSparsity::default(),
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
        Self { model, positions, candidates, hooks, measured, clean, ablations, labelled: Vec::new() }
    }

    /// Reads some sequences.
    ///
    /// # Errors
    /// What the model says.
    ///
    /// # Panics
    /// If there are labels, but not one for each sequence.
    pub fn read(&mut self, batch: &Batch, wanted: &Wanted<'_>) -> Result<(), ModelError> {
        let (model, rows) = (self.model, self.positions.rows(batch));
        let run = Run { hooks: &self.hooks, logits: wanted.losses || wanted.ablations, ..Run::default() };
        let (captured, logits) = model.capture_with(batch, &run)?;
        let mut spliced = Vec::new();
        for (candidate, measured) in self.candidates.iter().zip(&mut self.measured) {
            let inputs = gather(&captured[&candidate.reads.hook], candidate.reads, &rows);
            let targets = gather(&captured[&candidate.writes.hook], candidate.writes, &rows);
            let latents = candidate.coder.encode(&inputs);
            measured.sparsity.add(&latents);
            let reconstruction = candidate.coder.reconstruct(&latents, &inputs);
            measured.reconstruction.add(&targets, &reconstruction);
            measured.pool(candidate, batch, &rows, &latents, &inputs, wanted.labels);
            if let Some(logits) = logits.as_ref().filter(|_| wanted.ablations) {
                let run = AblationRun { model, batch, rows: &rows, logits: &logits.data };
                measured.ablation.add(&run, candidate, &latents, [&inputs, &targets])?;
            }
            spliced.push(reconstruction);
        }
        self.labelled.extend(wanted.labels.iter().flatten().cloned());
        match logits.filter(|_| wanted.losses) {
            Some(logits) => self.add_losses(batch, &rows, logits, spliced),
            None => Ok(()),
        }
    }

    /// The losses of the clean run, of every reconstruction, and of the ablations of every place.
    fn add_losses(
        &mut self,
        batch: &Batch,
        rows: &[usize],
        logits: Tensor,
        reconstructions: Vec<Vec<f32>>,
    ) -> Result<(), ModelError> {
        let (model, vocabulary) = (self.model, self.model.architecture().vocab_size);
        let clean = CleanRun::new(logits.data, vocabulary, self.positions.predictions(batch));
        self.clean.add(&clean.losses());
        let changed = |place: Place, new: NewRows| -> Result<LossSums, ModelError> {
            let interventions = [replace(batch, place, rows, new)];
            let run = Run { interventions: &interventions, logits: true, ..Run::default() };
            let logits = model.run(batch, &run, &())?;
            Ok(logits.map_or_else(LossSums::default, |logits| clean.compare(logits.data)))
        };
        let measured = self.candidates.iter().zip(&mut self.measured);
        for ((candidate, measured), reconstruction) in measured.zip(reconstructions) {
            measured.spliced.add(&changed(candidate.writes, NewRows::Each(reconstruction))?);
        }
        for (place, ablations) in &mut self.ablations {
            let mean = ablations.mean_activation.clone();
            ablations.zero.add(&changed(*place, NewRows::Same(vec![0.0; mean.len()]))?);
            ablations.mean.add(&changed(*place, NewRows::Same(mean))?);
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
            reads: candidate.reads.hook,
            writes: candidate.writes.hook,
            head: candidate.writes.head.map(|slice| slice.head),
            latents: candidate.coder.dictionary().latents,
            reconstruction: measured.reconstruction.metrics(),
            sparsity: measured.sparsity.metrics(),
            geometry: GeometryMetrics::new(candidate.coder.dictionary()),
            losses: (self.clean.tokens > 0).then_some(losses),
            ablation: measured.ablation.metrics(),
            absorption: None,
            explanations: Vec::new(),
            probes: (!self.labelled.is_empty()).then(|| ProbeMetrics::new(&measured.pooled, &self.labelled)),
        }
    }
}

impl Evaluation {
    /// What it reconstructs.
    pub fn place(&self) -> String {
        self.head.map_or_else(|| self.writes.to_string(), |head| format!("{}, head {head}", self.writes))
    }
}

impl Measured {
    /// Adds the windows that have a label to the pooled latents.
    fn pool(
        &mut self,
        candidate: &Candidate,
        batch: &Batch,
        rows: &[usize],
        latents: &SparseLatents,
        inputs: &[f32],
        labels: &[Option<LabelledWindow>],
    ) {
        if labels.is_empty() {
            return;
        }
        assert_eq!(labels.len(), batch.len(), "evaluation: a label for each sequence");
        let dense = (candidate.kind == CandidateKind::Coordinates)
            .then(|| SparseLatents::from_dense(inputs, candidate.coder.dictionary().d_input));
        let latents = dense.as_ref().unwrap_or(latents);
        for (sequence, _) in labels.iter().enumerate().filter(|(_, label)| label.is_some()) {
            let [first, end] =
                [0, 1].map(|i| rows.partition_point(|row| *row < batch.starts()[sequence + i]));
            self.pooled.add(latents, first..end);
        }
    }
}
