//! `--revise`: explanations in words are tested with sentences of the explainer's own, and corrected.

use glossator_atlas::Atlas;
use glossator_explain::revision::{Log, Revising};
use glossator_explain::simulate::Simulator;
use glossator_explain::words::Method;
use glossator_model::UnitId;

use super::Explain;
use crate::arguments::asking;
use crate::output;

impl Explain {
    /// Revises the explanations of `units` by each of `methods`, those that have been revised already left out.
    pub(super) fn revise(&self, atlas: &Atlas, methods: &[Method], units: &[UnitId]) -> anyhow::Result<()> {
        if self.revise == 0 || methods.is_empty() || self.estimate {
            return Ok(());
        }
        let client = self.llm.client(&asking::ledger(&self.atlas))?;
        let prompts = asking::prompts(self.prompts.as_deref())?;
        let simulator = self.choose_by.unwrap_or_else(|| Simulator::best(client.capabilities()));
        simulator.check(&client)?;
        let model = self.model(atlas)?;
        let revising = Revising {
            atlas,
            model: &model,
            client: &client,
            prompts: &prompts,
            simulator,
            rounds: self.revise,
        };
        for method in methods {
            let explainer = method.explainer(client.name());
            let revised = Revising::name(&explainer);
            let bar = output::progress(units.len() as u64, "units");
            bar.set_message("revision");
            let mut logs = Vec::new();
            for &unit in units {
                let is_done = atlas.explained(unit.hook, &revised)?.contains(&unit.index);
                if self.again || !is_done {
                    logs.extend(revising.unit(unit, &explainer)?);
                }
                bar.inc(1);
            }
            bar.finish();
            output::note(&summary(&revised, &logs));
        }
        output::note(&format!("{}: {}", client.name(), client.totals()));
        Ok(())
    }
}

/// How much was gained, on the split that nobody saw.
fn summary(name: &str, logs: &[Log]) -> String {
    let gains: Vec<f64> = logs.iter().filter_map(Log::gain).collect();
    let mean = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
    let rounds = || logs.iter().flat_map(|log| &log.rounds);
    format!(
        "{name}: {} units, {} keep a revision; mean gain in correlation on the test split {}over {} units; {} of {} rounds \
         brought nothing that can be used",
        logs.len(),
        logs.iter().filter(|log| log.kept.is_some()).count(),
        if gains.is_empty() { "undefined, ".to_owned() } else { format!("{mean:+.3} ") },
        gains.len(),
        rounds().filter(|round| round.failure.is_some()).count(),
        rounds().count(),
    )
}
