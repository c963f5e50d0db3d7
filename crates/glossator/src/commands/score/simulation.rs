//! The part of `glossator score` in which a language model predicts.

use glossator_atlas::Atlas;
use glossator_explain::simulating::Simulating;
use glossator_llm::Totals;
use glossator_model::UnitId;

use super::{Score, Source};
use crate::arguments::asking;
use crate::output;

impl Score {
    /// Scores explanations by simulation.
    pub(super) fn simulate(
        &self,
        atlas: &Atlas,
        explainers: &[String],
        units: &[UnitId],
    ) -> anyhow::Result<Vec<Source>> {
        let client = self.llm.client(&asking::ledger(&self.atlas))?;
        let prompts = asking::prompts(self.prompts.as_deref())?;
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
                baselines: self.baseline,
                watch: &watch,
            };
            for explainer in explainers {
                sources.push(Source { explainer: explainer.clone(), scorer: simulating.scorer() });
                let what = format!("{explainer} by {simulator}");
                let pending = simulating.pending(explainer, units, self.again)?;
                let count = pending.iter().filter(|pending| **pending).count();
                if count == 0 {
                    output::note(&format!("{what}: all units with such an explanation are scored"));
                    continue;
                }
                let first: Vec<UnitId> = units
                    .iter()
                    .zip(&pending)
                    .filter(|(_, pending)| **pending)
                    .map(|(unit, _)| *unit)
                    .collect();
                let (requests, of) = simulating.first_requests(explainer, &first)?;
                asking::estimate(&client, &what, &requests, of, count)?;
                if self.estimate {
                    continue;
                }
                bar.reset();
                bar.set_prefix(what.clone());
                let run = simulating.run(explainer, units, &pending, &|units| bar.inc(units as u64));
                bar.abandon();
                let run = run?;
                output::note(&format!(
                    "{what}: {} units scored{}",
                    run.units,
                    asking::failures(&run.failures)
                ));
            }
        }
        output::note(&format!("{}: {}", client.name(), client.totals()));
        Ok(sources)
    }
}
