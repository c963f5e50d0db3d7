//! `--revise`: explanations in words are tested with sentences of the explainer's own, and corrected.

use glossator_explain::pending::First;
use glossator_explain::revision::{Log, Revising};
use glossator_explain::words::Method;
use glossator_llm::Totals;
use glossator_model::UnitId;

use super::{Asker, Explain};
use crate::output;

impl Explain {
    /// Revises the explanations of `units` by each of `methods`, those that have been revised already left out.
    pub(super) fn revise(
        &self,
        asker: &Asker<'_>,
        methods: &[Method],
        units: &[UnitId],
    ) -> anyhow::Result<()> {
        let Asker { atlas, client, prompts, simulator } = *asker;
        simulator.check(client)?;
        let bar = output::progress_of_calls(units.len() as u64, "units");
        let watch = |totals: &Totals| bar.set_message(totals.to_string());
        let mut model = None;
        for &feedback in &self.revise_by {
            let revising =
                Revising { atlas, client, prompts, simulator, rounds: self.revise, feedback, watch: &watch };
            for method in methods {
                let explainer = method.explainer(client.name());
                let revised = feedback.revised(&explainer);
                let done = if self.selection.again {
                    vec![false; units.len()]
                } else {
                    revising.done(&explainer, units)?
                };
                let pending: Vec<UnitId> =
                    units.iter().zip(&done).filter(|(_, done)| !**done).map(|(unit, _)| *unit).collect();
                let first = || Ok(First::only(revising.first_requests(&explainer, &pending)?, pending.len()));
                if !self.asking.announce(Some(client), &revised, pending.len(), first)? {
                    continue;
                }
                let model = match &model {
                    Some(model) => model,
                    None => model.insert(self.subject.load(atlas)?),
                };
                bar.reset();
                bar.set_prefix("revision");
                let logs = revising.run(model, &explainer, units, &done, &|units| bar.inc(units as u64));
                bar.abandon();
                output::note(&summary(&revised, &logs?));
            }
        }
        Ok(())
    }
}

/// How much was gained, on the split that nobody saw.
fn summary(name: &str, logs: &[Log]) -> String {
    let gains: Vec<f64> = logs.iter().filter_map(Log::gain).collect();
    let mean = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
    let rounds = || logs.iter().flat_map(|log| &log.rounds);
    format!(
        "{name}: {}, {} of them with a revision that is kept; mean gain in correlation on the test split {}over {}; {} of {} \
         brought nothing that can be used",
        output::count(logs.len(), "unit"),
        logs.iter().filter(|log| log.kept.is_some()).count(),
        if gains.is_empty() { "undefined, ".to_owned() } else { format!("{mean:+.3} ") },
        output::count(gains.len(), "unit"),
        rounds().filter(|round| round.failure.is_some()).count(),
        output::count(rounds().count(), "round"),
    )
}
