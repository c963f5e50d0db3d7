//! `--revise`: explanations in words are tested with sentences of the explainer's own, and corrected.

use glossator_atlas::Atlas;
use glossator_explain::revision::{Log, Revising};
use glossator_explain::simulate::Simulator;
use glossator_explain::words::Method;
use glossator_model::UnitId;

use super::Explain;
use crate::output;

impl Explain {
    /// Revises the explanations of `units` by each of `methods`, those that have been revised already left out.
    pub(super) fn revise(&self, atlas: &Atlas, methods: &[Method], units: &[UnitId]) -> anyhow::Result<()> {
        if self.revise == 0 || methods.is_empty() || self.asking.estimate {
            return Ok(());
        }
        let client = self.asking.client(&self.selection.atlas)?;
        let prompts = self.asking.prompts()?;
        let simulator = self.choose_by.unwrap_or_else(|| Simulator::best(client.capabilities()));
        simulator.check(&client)?;
        let model = self.subject.load(atlas)?;
        let feedbacks = self.revise_by.iter().flat_map(|by| methods.iter().map(move |method| (*by, *method)));
        for (feedback, method) in feedbacks {
            let revising = Revising {
                atlas,
                model: &model,
                client: &client,
                prompts: &prompts,
                simulator,
                rounds: self.revise,
                feedback,
            };
            let explainer = method.explainer(client.name());
            let revised = feedback.revised(&explainer);
            let bar = output::progress(units.len() as u64, "units");
            bar.set_message("revision");
            let mut logs = Vec::new();
            for &unit in units {
                let is_done = atlas.explained(unit.hook, &revised)?.contains(&unit.index);
                if self.selection.again || !is_done {
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
