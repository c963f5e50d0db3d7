//! Scores explanations by ablation in the subject model ([`crate::ablation`]), resumably.
//!
//! Each unit's excerpts are those that its other scores are on. Predictions are calibrated linearly on the calibration
//! split, as published; an explanation without a calibration there has no score. All explanations of a unit share the runs
//! of the model as it is and with the mean. This is for explanations that predict by themselves; what others predict from
//! words is scored by [`crate::simulating`].

use std::collections::BTreeSet;

use glossator_atlas::{Atlas, Split};
use glossator_llm::prices::Price;
use glossator_model::{Model, UnitId};

use crate::ExplainError;
use crate::ablation::{Simulated, divergences};
use crate::block::Block;
use crate::explaining::Explainer;
use crate::pending::Wanted;
use crate::rows::{Scored, ablation_rows};
use crate::sample::{EXCERPTS, Sample};
use crate::score::{Calibration, RESAMPLES, Resampling};
use crate::scoring::Scorer;
use crate::tally::Tally;

/// The name under which the scores of explanations that predict by themselves are stored; for simulations it is followed by who
/// simulates, as in `ablation:grades@MODEL`. The metric has this name too.
pub const ABLATION: &str = "ablation";

/// Scores by ablation.
pub struct Ablating<'a> {
    /// Where the explanations are.
    pub atlas: &'a Atlas,
    /// The subject model.
    pub model: &'a Model,
    /// The split that is scored on.
    pub split: Split,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// A unit's explanation with its calibrated predictions for the unit's excerpts.
struct Prediction {
    explainer: Explainer,
    /// `[excerpt, position]`; `None` where nothing could be calibrated.
    activations: Option<Vec<Vec<f32>>>,
}

impl Ablating<'_> {
    /// Those of `units` that one of `explainers` has explained without an ablation score yet, or all that are explained if
    /// `again`.
    pub fn pending(
        &self,
        explainers: &[Explainer],
        units: &[UnitId],
        again: bool,
    ) -> Result<Vec<UnitId>, ExplainError> {
        let mut pending = BTreeSet::new();
        for explainer in explainers {
            let wanted = Wanted { explainer: explainer.name(), scorer: ABLATION, split: self.split };
            pending.extend(wanted.pending(self.atlas, units, again)?);
        }
        Ok(units.iter().copied().filter(|unit| pending.contains(unit)).collect())
    }

    /// Scores the explanations by `explainers` of `units`, and stores each unit's scores as soon as they are there.
    pub fn run(
        &self,
        explainers: &[Explainer],
        units: &[UnitId],
        progress: &dyn Fn(usize),
    ) -> Result<(), ExplainError> {
        let resampling = Resampling::new(RESAMPLES, EXCERPTS, self.seed);
        for &unit in units {
            let mut block = Block::begin();
            self.unit(explainers, unit, &resampling, &mut block)?;
            block.store(self.atlas)?;
            progress(1);
        }
        Ok(())
    }

    fn unit(
        &self,
        explainers: &[Explainer],
        unit: UnitId,
        resampling: &Resampling,
        block: &mut Block,
    ) -> Result<(), ExplainError> {
        let (sample, predictions) = self.predictions(explainers, unit)?;
        let mean = self.atlas.profile(unit)?.0.mean as f32;
        let calibrated: Vec<&Vec<Vec<f32>>> =
            predictions.iter().filter_map(|prediction| prediction.activations.as_ref()).collect();
        let excerpts: Vec<Simulated> = sample
            .excerpts
            .iter()
            .enumerate()
            .map(|(place, (stratum, excerpt))| Simulated {
                stratum: *stratum,
                tokens: excerpt.tokens.clone(),
                activations: calibrated.iter().map(|activations| activations[place].clone()).collect(),
            })
            .collect();
        let mut found = divergences(self.model, unit, mean, sample.ignored, &excerpts)?.into_iter();
        for Prediction { explainer, activations } in &predictions {
            let of_explanation = activations.as_ref().and_then(|_| found.next());
            let scored = Scored { unit, explainer: explainer.name(), scorer: ABLATION, split: self.split };
            block.scores.extend(ablation_rows(scored, &sample, of_explanation.as_deref(), resampling));
            // Nobody is asked; the time counts.
            let (tally, price) = (Tally::default(), Some(Price::FREE));
            block.asked(unit, explainer.name(), (ABLATION, self.split), &tally, price);
        }
        Ok(())
    }

    fn predictions(
        &self,
        explainers: &[Explainer],
        unit: UnitId,
    ) -> Result<(Sample, Vec<Prediction>), ExplainError> {
        let scorer = Scorer::new(self.atlas, self.split, self.seed);
        let sample = Sample::of(self.atlas, unit, self.split)?;
        let calibrating = Sample::of(self.atlas, unit, Split::Calibration)?;
        let mut predictions = Vec::new();
        for &explainer in explainers {
            let Some(predictor) = scorer.predictor(explainer, unit)? else { continue };
            let calibration =
                Calibration::linear(&calibrating.pair(&calibrating.predict(predictor.as_ref())));
            let apply = |calibration: Calibration| {
                let predicted = sample.predict(predictor.as_ref());
                predicted.iter().map(|predicted| calibration.apply_all(predicted)).collect()
            };
            predictions.push(Prediction { explainer, activations: calibration.map(apply) });
        }
        Ok((sample, predictions))
    }
}
