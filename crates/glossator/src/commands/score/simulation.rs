//! The part of `glossator score` in which a language model predicts; its predictions are held against the activations, or put in
//! the units' place in the subject model.

use glossator_atlas::Atlas;
use glossator_explain::ablating::ABLATION;
use glossator_explain::simulating::Simulating;
use glossator_llm::Totals;
use glossator_model::{Model, UnitId};

use super::{Score, Source};
use crate::arguments::asking;
use crate::output;

impl Score {
    /// Scores explanations by simulation; by ablation in the subject model where that is given.
    pub(super) fn simulate(
        &self,
        atlas: &Atlas,
        ablating: Option<&Model>,
        explainers: &[String],
        units: &[UnitId],
    ) -> anyhow::Result<Vec<Source>> {
        let client = self.asking.client(&self.selection.atlas)?;
        let prompts = self.asking.prompts()?;
        let bar = output::progress_of_calls(units.len() as u64, "units");
        let watch = |totals: &Totals| bar.set_message(totals.to_string());
        let mut sources = Vec::new();
        for &simulator in &self.simulator {
            simulator.check(&client)?;
            let simulating = Simulating {
                atlas,
                client: &client,
                prompts: &prompts,
                simulator,
                split: self.split,
                seed: self.seed,
                calibrated: !self.uncalibrated,
                ablating,
                baselines: self.baseline,
                watch: &watch,
            };
            for explainer in explainers {
                let scorer = simulating.scorer();
                let what = match ablating {
                    Some(_) => format!("{explainer} by {ABLATION} of what {simulator} predicts"),
                    None => format!("{explainer} by {simulator}"),
                };
                let pending = simulating.pending(explainer, units, self.selection.again)?;
                sources.push(Source { explainer: explainer.clone(), scorer });
                let first = || simulating.first_requests(explainer, units, &pending);
                if !self.asking.announce(Some(&client), &what, pending.len(), first)? {
                    continue;
                }
                bar.reset();
                bar.set_length(pending.len() as u64);
                bar.set_prefix(what.clone());
                let run = simulating.run(explainer, units, &pending, &|units| bar.inc(units as u64));
                bar.abandon();
                let run = run?;
                output::note(&format!(
                    "{what}: {} scored{}",
                    output::count(run.units, "unit"),
                    asking::failures(&run.failures)
                ));
            }
        }
        output::note(&format!("{}: {}", client.name(), client.totals()));
        Ok(sources)
    }
}
