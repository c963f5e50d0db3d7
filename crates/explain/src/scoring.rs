//! Scores the explanations of an atlas and stores the scores with the simulated activations.
//!
//! Up to five top and five random excerpts of one split (`test`, or `valid`) are scored; the linear calibration comes
//! from the same numbers of excerpts of the calibration split. Explainers see none of them.

use std::collections::BTreeSet;

use glossator_atlas::{Atlas, Explanation, PREDICTION, Score, Simulation, Split};
use glossator_model::UnitId;
use rayon::prelude::*;

use crate::backoff::Backoff;
use crate::explaining::Explainer;
use crate::neuron2graph::Trie;
use crate::sample::{EXCERPTS, Sample};
use crate::score::{Calibration, RESAMPLES, Resampling, Scores};
use crate::{ExplainError, Predictor, neuron2graph, rows, simulating};

/// Units that are scored, and stored, together.
const BLOCK: usize = 1024;

/// Units that one thread scores at a time.
const TOGETHER: usize = 16;

/// Reads excerpts and explanations, and scores them.
pub struct Scorer<'a> {
    atlas: &'a Atlas,
    split: Split,
    resampling: Resampling,
}

/// What scoring a unit gives.
struct Scored {
    scores: Vec<Score>,
    simulations: Vec<Simulation>,
}

impl<'a> Scorer<'a> {
    /// Scores on `split`, whose intervals are drawn with `seed`.
    pub fn new(atlas: &'a Atlas, split: Split, seed: u64) -> Self {
        Self { atlas, split, resampling: Resampling::new(RESAMPLES, EXCERPTS, seed) }
    }

    /// Scores `explainer` on those of `units` that it has explained, and stores scores and simulations block by block;
    /// units that are scored on this split already are left out unless `again`. `progress` is told the number of units.
    pub fn run(
        &self,
        explainer: Explainer,
        units: &[UnitId],
        again: bool,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<(), ExplainError> {
        let pending = self.pending(explainer, units, again)?;
        for (units, pending) in units.chunks(BLOCK).zip(pending.chunks(BLOCK)) {
            let units: Vec<(UnitId, bool)> = units.iter().copied().zip(pending.iter().copied()).collect();
            // Neighbouring units share the row groups of the atlas: they stay on one thread.
            let scored: Vec<Scored> = units
                .par_chunks(TOGETHER)
                .map(|units| {
                    let pending = units.iter().filter(|(_, pending)| *pending);
                    pending.filter_map(|(unit, _)| self.score_stored(explainer, *unit).transpose()).collect()
                })
                .collect::<Result<Vec<Vec<Scored>>, ExplainError>>()?
                .into_iter()
                .flatten()
                .collect();
            let (mut scores, mut simulations) = (Vec::new(), Vec::new());
            for unit in scored {
                scores.extend(unit.scores);
                simulations.extend(unit.simulations);
            }
            self.atlas.put_scores(&scores, &simulations)?;
            progress(units.len());
        }
        Ok(())
    }

    /// Which of `units` are explained and have no scores on this split yet.
    fn pending(
        &self,
        explainer: Explainer,
        units: &[UnitId],
        again: bool,
    ) -> Result<Vec<bool>, ExplainError> {
        let mut pending = Vec::with_capacity(units.len());
        for units in units.chunk_by(|a, b| a.hook == b.hook) {
            let explained = self.atlas.explained(units[0].hook, explainer.name())?;
            let scored = if again {
                BTreeSet::new()
            } else {
                self.atlas.scored(units[0].hook, explainer.name(), PREDICTION, self.split)?
            };
            let is_pending = |unit: &UnitId| explained.contains(&unit.index) && !scored.contains(&unit.index);
            pending.extend(units.iter().map(is_pending));
        }
        Ok(pending)
    }

    fn score_stored(&self, explainer: Explainer, unit: UnitId) -> Result<Option<Scored>, ExplainError> {
        match self.predictor(explainer, unit)? {
            Some(predictor) => Ok(Some(self.score(explainer, unit, predictor.as_ref())?)),
            None => Ok(None),
        }
    }

    /// The explanation of a unit that `explainer` has explained, as a function.
    ///
    /// # Errors
    /// What reading the atlas says, and bodies that are no explanation.
    pub fn predictor(
        &self,
        explainer: Explainer,
        unit: UnitId,
    ) -> Result<Option<Box<dyn Predictor>>, ExplainError> {
        if explainer == Explainer::Lookup {
            return Ok(Some(Box::new(self.atlas.token_means(unit)?)));
        }
        let Some(stored) = self.atlas.explanation(unit, explainer.name())? else { return Ok(None) };
        let patterns = patterns(unit, &stored)?;
        if explainer == Explainer::Backoff {
            return Ok(Some(Box::new(Backoff { patterns, means: self.atlas.token_means(unit)? })));
        }
        Ok(Some(Box::new(patterns)))
    }

    fn score(
        &self,
        explainer: Explainer,
        unit: UnitId,
        predictor: &dyn Predictor,
    ) -> Result<Scored, ExplainError> {
        let excerpts = self.atlas.excerpts_in(unit, &[self.split, Split::Calibration])?;
        let (calibrating, sample) =
            excerpts.into_iter().partition(|excerpt| excerpt.split == Split::Calibration);
        let (calibrating, sample) =
            (Sample::among(self.atlas, calibrating), Sample::among(self.atlas, sample));
        let predictions = sample.predict(predictor);
        let calibration = Calibration::linear(&calibrating.pair(&calibrating.predict(predictor)));
        let maximum = self.atlas.profile(unit)?.0.max;
        let scores = Scores::of(&sample.pair(&predictions), calibration.as_ref(), maximum, &self.resampling);
        let simulations =
            sample.excerpts.iter().zip(predictions).map(|((_, excerpt), activations)| Simulation {
                unit,
                explainer: explainer.name().to_owned(),
                scorer: PREDICTION.to_owned(),
                window: excerpt.window,
                activations,
            });
        Ok(Scored {
            simulations: simulations.collect(),
            scores: rows::rows(
                rows::Scored { unit, explainer: explainer.name(), scorer: PREDICTION, split: self.split },
                &sample,
                &scores,
            ),
        })
    }

    /// What a score has to beat: the correlation over top and random excerpts of a prediction by the explanation of
    /// another unit of the same hook point, drawn by hash from `explained`, the indices of those that `explainer` has
    /// explained. `None` where there is no other, or the correlation is undefined.
    pub fn of_another_unit(
        &self,
        explainer: Explainer,
        unit: UnitId,
        explained: &BTreeSet<u32>,
    ) -> Result<Option<f64>, ExplainError> {
        let Some(index) = simulating::another(unit, explained) else { return Ok(None) };
        let Some(predictor) = self.predictor(explainer, UnitId { index, ..unit })? else { return Ok(None) };
        let sample = Sample::of(self.atlas, unit, self.split)?;
        let predictions = sample.predict(predictor.as_ref());
        let resampling = Resampling::new(0, 0, 0);
        let scores = Scores::of(&sample.pair(&predictions), None, 0.0, &resampling);
        Ok(scores.top_and_random.correlation.value)
    }
}

/// The patterns of a stored explanation.
fn patterns(unit: UnitId, stored: &Explanation) -> Result<Trie, ExplainError> {
    neuron2graph::from_json(&stored.body).map_err(|message| ExplainError::Body {
        unit: unit.to_string(),
        explainer: stored.explainer.clone(),
        message,
    })
}
