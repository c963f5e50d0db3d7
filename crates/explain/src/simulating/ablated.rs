//! Simulations in the unit's place in the subject model ([`crate::ablation`]).
//!
//! A simulation is calibrated as its R² is: linearly (metric `ablation`, as published) and by percentile matching
//! (`ablation_percentile`), both fitted on the calibration split. Excerpts without an answer that can be used are left out.

use glossator_atlas::{Atlas, Score};
use glossator_model::{Model, UnitId};

use super::task::Answered;
use crate::ExplainError;
use crate::ablating::ABLATION;
use crate::ablation::{Simulated, divergences};
use crate::rows::{Scored, ablation_rows};
use crate::sample::Sample;
use crate::score::{Calibration, ExcerptDivergence, Resampling};

/// The divergences on the answered excerpts by each calibration; `None` where it could not be fitted.
pub(super) struct Ablated {
    linear: Option<Vec<ExcerptDivergence>>,
    percentile: Option<Vec<ExcerptDivergence>>,
}

impl Ablated {
    /// Runs the subject model with the calibrated simulations of `answered` in the place of `unit`.
    pub(super) fn of(
        model: &Model,
        atlas: &Atlas,
        unit: UnitId,
        answered: &Answered,
        calibrating: Option<&Answered>,
    ) -> Result<Self, ExplainError> {
        let fitted = calibrating.map(|calibrating| calibrating.sample.pair(&calibrating.activations));
        let linear = fitted.as_deref().and_then(Calibration::linear);
        let percentile = fitted.as_deref().and_then(Calibration::percentile);
        let calibrations: Vec<&Calibration> = linear.iter().chain(&percentile).collect();
        let excerpts = answered.sample.excerpts.iter().zip(&answered.activations);
        let excerpts: Vec<Simulated> = excerpts
            .map(|((stratum, excerpt), predicted)| Simulated {
                stratum: *stratum,
                tokens: excerpt.tokens.clone(),
                activations: calibrations
                    .iter()
                    .map(|calibration| calibration.apply_all(predicted))
                    .collect(),
            })
            .collect();
        let mean = atlas.profile(unit)?.0.mean as f32;
        let mut found = divergences(model, unit, mean, answered.sample.ignored, &excerpts)?.into_iter();
        // Where no excerpt was answered there is nothing to run: that is no fault of the calibration.
        let mut next = |fitted: Option<Calibration>| fitted.map(|_| found.next().unwrap_or_default());
        Ok(Self { linear: next(linear), percentile: next(percentile) })
    }

    /// What is stored of it.
    pub(super) fn rows(&self, scored: Scored<'_>, sample: &Sample, resampling: &Resampling) -> Vec<Score> {
        let mut rows = ablation_rows(scored, sample, self.linear.as_deref(), resampling);
        let mut percentile = ablation_rows(scored, sample, self.percentile.as_deref(), resampling);
        percentile.iter_mut().for_each(|row| row.metric = format!("{ABLATION}_percentile"));
        rows.append(&mut percentile);
        rows
    }
}
