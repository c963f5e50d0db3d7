//! Scores the explanations of an atlas and stores the scores with the simulated activations.
//!
//! Up to five top and five random excerpts of one split (`test`, or `valid`) are scored; the linear calibration comes
//! from the same numbers of excerpts of the calibration split. Explainers see none of them.

use std::collections::BTreeSet;

use glossator_atlas::{Atlas, Explanation, PREDICTION, Score, Simulation, Split};
use glossator_model::UnitId;
use rayon::prelude::*;

use crate::backoff::Backoff;
use crate::baselines::{Baseline, BaselineUnits, Baselines};
use crate::comparison::SHOWN;
use crate::explaining::Explainer;
use crate::neuron2graph::Trie;
use crate::pending::Wanted;
use crate::sample::{EXCERPTS, Sample};
use crate::score::{Calibration, RESAMPLES, Resampling, Scores};
use crate::{Constant, ExplainError, Predictor, neuron2graph, rows};

/// Units that are scored, and stored, together.
const BLOCK: usize = 1024;

/// Units that one thread scores at a time.
const TOGETHER: usize = 16;

/// Reads excerpts and explanations, and scores them.
pub struct Scorer<'a> {
    atlas: &'a Atlas,
    split: Split,
    seed: u64,
    resampling: Resampling,
    baselines: BaselineUnits,
}

/// What is to be scored of a unit.
struct Task {
    unit: UnitId,
    /// Explainers, each with the baselines that are scored beside.
    explainers: Vec<(Explainer, Vec<Baseline>)>,
}

/// What scoring a unit gives.
#[derive(Default)]
struct Scored {
    scores: Vec<Score>,
    simulations: Vec<Simulation>,
}

impl<'a> Scorer<'a> {
    /// Scores on `split`, whose intervals are drawn with `seed`.
    pub fn new(atlas: &'a Atlas, split: Split, seed: u64) -> Self {
        let resampling = Resampling::new(RESAMPLES, EXCERPTS, seed);
        Self { atlas, split, seed, resampling, baselines: BaselineUnits::None }
    }

    /// Also scores, beside the explanations of some units, that of another unit of the same hook point and none at all, which predicts
    /// the unit's mean everywhere. Of their scores those are stored that reports show.
    #[must_use]
    pub fn with_baselines(self, baselines: BaselineUnits) -> Self {
        Self { baselines, ..self }
    }

    /// Scores each of `explainers` on those of `units` that it has explained, and stores scores and simulations block by
    /// block; units that are scored on this split already are left out unless `again`. `progress` is told the number of
    /// units.
    pub fn run(
        &self,
        explainers: &[Explainer],
        units: &[UnitId],
        again: bool,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<(), ExplainError> {
        let tasks = self.tasks(explainers, units, again)?;
        for tasks in tasks.chunks(BLOCK) {
            // Neighbouring units share the row groups of the atlas: they stay on one thread.
            let scored = tasks.par_chunks(TOGETHER).map(|tasks| -> Result<Scored, ExplainError> {
                let mut scored = Scored::default();
                for task in tasks {
                    self.score(task, &mut scored)?;
                }
                Ok(scored)
            });
            let scored: Vec<Scored> = scored.collect::<Result<_, _>>()?;
            let (mut scores, mut simulations) = (Vec::new(), Vec::new());
            for units in scored {
                scores.extend(units.scores);
                simulations.extend(units.simulations);
            }
            self.atlas.put_scores(&scores, &simulations)?;
            progress(tasks.len());
        }
        Ok(())
    }

    /// What of `units` is explained and has no scores on this split yet.
    fn tasks(
        &self,
        explainers: &[Explainer],
        units: &[UnitId],
        again: bool,
    ) -> Result<Vec<Task>, ExplainError> {
        let mut tasks: Vec<Task> = units.iter().map(|&unit| Task { unit, explainers: Vec::new() }).collect();
        let names: Vec<&str> = explainers.iter().map(|explainer| explainer.name()).collect();
        let baselines = Baselines::of_each(self.atlas, &names, units, self.seed, self.baselines)?;
        for (&explainer, baselines) in explainers.iter().zip(&baselines) {
            let wanted = Wanted { explainer: explainer.name(), scorer: PREDICTION, split: self.split };
            let pending = wanted.pending_with(self.atlas, units, again, baselines)?;
            let pending: BTreeSet<UnitId> = pending.into_iter().collect();
            for task in tasks.iter_mut().filter(|task| pending.contains(&task.unit)) {
                let empty = baselines.has(task.unit).then_some(Baseline::Empty);
                let other = baselines.other(task.unit).map(Baseline::OtherUnit);
                task.explainers.push((explainer, empty.into_iter().chain(other).collect()));
            }
        }
        Ok(tasks)
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

    fn score(&self, task: &Task, scored: &mut Scored) -> Result<(), ExplainError> {
        let Task { unit, explainers } = task;
        if explainers.is_empty() {
            return Ok(());
        }
        let excerpts = self.atlas.excerpts_in(*unit, &[self.split, Split::Calibration])?;
        let (calibrating, sample) =
            excerpts.into_iter().partition(|excerpt| excerpt.split == Split::Calibration);
        let (calibrating, sample) =
            (Sample::among(self.atlas, calibrating), Sample::among(self.atlas, sample));
        let maximum = self.atlas.profile(*unit)?.0.max;
        for (explainer, baselines) in explainers {
            let explainer = *explainer;
            let whose = rows::Scored {
                unit: *unit,
                explainer: explainer.name(),
                scorer: PREDICTION,
                split: self.split,
            };
            let Some(predictor) = self.predictor(explainer, *unit)? else { continue };
            let predictions = sample.predict(predictor.as_ref());
            let calibration =
                Calibration::linear(&calibrating.pair(&calibrating.predict(predictor.as_ref())));
            let pairs = sample.pair(&predictions);
            let used = calibration.as_ref().or(Some(&Calibration::None));
            let scores = Scores::of(&pairs, used, maximum, &self.resampling);
            scored.scores.extend(rows::rows(whose, &sample, &scores, calibration.is_some()));
            let windows = sample.excerpts.iter().map(|(_, excerpt)| excerpt.window);
            scored.simulations.extend(windows.zip(predictions).map(|(window, activations)| Simulation {
                unit: *unit,
                explainer: explainer.name().to_owned(),
                scorer: PREDICTION.to_owned(),
                window,
                activations,
                distributions: None,
            }));
            for &baseline in baselines {
                let Some(predictor) = self.baseline(explainer, *unit, baseline)? else { continue };
                let predictions = sample.predict(predictor.as_ref());
                let scores = Scores::of(&sample.pair(&predictions), None, maximum, &self.resampling);
                let scorer = format!("{}{PREDICTION}", baseline.prefix());
                let whose = rows::Scored { scorer: &scorer, ..whose };
                let mut rows = rows::uncalibrated_rows(whose, &sample, &scores);
                rows.retain(|row| SHOWN.contains(&(row.metric.as_str(), row.sample.as_str())));
                baseline.name_on(&mut rows);
                scored.scores.extend(rows);
            }
        }
        Ok(())
    }

    /// What is scored in place of the explanation of `unit`, as a function.
    fn baseline(
        &self,
        explainer: Explainer,
        unit: UnitId,
        baseline: Baseline,
    ) -> Result<Option<Box<dyn Predictor>>, ExplainError> {
        match baseline {
            Baseline::Empty => Ok(Some(Box::new(Constant(self.atlas.profile(unit)?.0.mean as f32)))),
            Baseline::OtherUnit(other) => self.predictor(explainer, other),
        }
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
