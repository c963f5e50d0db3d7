//! The part of `glossator score` that needs the subject model: ablation, and scores by classification.

use std::str::FromStr;

use anyhow::ensure;
use glossator_atlas::{Atlas, ScoreKind};
use glossator_explain::ablating::{ABLATION, Ablating};
use glossator_explain::classification::examples::Pool;
use glossator_explain::comparison::{Comparison, SHOWN};
use glossator_explain::explaining::Explainer;
use glossator_explain::judging::{Judging, Task};
use glossator_model::{Model, UnitId};

use super::Score;
use crate::arguments::asking;
use crate::output;
use crate::report::{Table, number};

/// A scorer that needs the subject model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScorerArgument {
    /// By ablation in the subject model.
    Ablation,
    /// By classification.
    Task(Task),
}

impl FromStr for ScorerArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            ABLATION => Ok(Self::Ablation),
            other => other
                .parse()
                .map(Self::Task)
                .map_err(|error: glossator_explain::ExplainError| error.to_string()),
        }
    }
}

impl Score {
    /// Scores by each of `--scorer`, and returns what was scored.
    pub(super) fn judge(
        &self,
        atlas: &Atlas,
        explainers: &[String],
        units: &[UnitId],
    ) -> anyhow::Result<Vec<Comparison>> {
        let model = self.subject.load(atlas)?;
        let mut kinds: Vec<(String, String)> = Vec::new();
        for &scorer in &self.scorer {
            match scorer {
                ScorerArgument::Ablation => {
                    self.ablate(atlas, &model, explainers, units)?;
                    kinds.extend(explainers.iter().map(|explainer| (explainer.clone(), ABLATION.to_owned())));
                }
                ScorerArgument::Task(task) => {
                    let scorer = self.classify(atlas, &model, task, explainers, units)?;
                    for baseline in ["", "empty:", "other-unit:", "always-yes:", "always-no:"] {
                        let named = |explainer: &String| (explainer.clone(), format!("{baseline}{scorer}"));
                        kinds.extend(explainers.iter().map(named));
                    }
                }
            }
        }
        let mut comparisons = Vec::new();
        for (explainer, scorer) in kinds {
            for (metric, sample) in SHOWN {
                let kind = ScoreKind {
                    explainer: explainer.clone(),
                    scorer: scorer.clone(),
                    metric: metric.to_owned(),
                    sample: sample.to_owned(),
                };
                let mut scored = atlas.scored_units(&kind, self.split)?;
                scored.retain(|scored| units.binary_search(&scored.unit).is_ok());
                if !scored.is_empty() {
                    comparisons.push(Comparison::of(kind, &scored, self.seed));
                }
            }
        }
        Ok(comparisons)
    }

    fn ablate(
        &self,
        atlas: &Atlas,
        model: &Model,
        explainers: &[String],
        units: &[UnitId],
    ) -> anyhow::Result<()> {
        let explainers: Vec<Explainer> = explainers
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, glossator_explain::ExplainError>>()?;
        let ablating = Ablating { atlas, model, split: self.split, seed: self.seed };
        let pending = ablating.pending(&explainers, units, self.again)?;
        let bar = output::progress(pending.len() as u64, "units");
        bar.set_message(ABLATION);
        ablating.run(&explainers, &pending, &|units| bar.inc(units as u64))?;
        bar.finish();
        Ok(())
    }

    fn classify(
        &self,
        atlas: &Atlas,
        model: &Model,
        task: Task,
        explainers: &[String],
        units: &[UnitId],
    ) -> anyhow::Result<String> {
        let client = if task.asks() { Some(self.llm.client(&asking::ledger(&self.atlas))?) } else { None };
        let pool = Pool::read(atlas, self.seed)?;
        let judging = Judging {
            atlas,
            model,
            client: client.as_ref(),
            pool: &pool,
            task,
            split: self.split,
            seed: self.seed,
            baselines: self.baseline,
        };
        for explainer in explainers {
            let what = format!("{explainer} by {task}");
            let pending = judging.pending(explainer, units, self.again)?;
            if pending.is_empty() {
                output::note(&format!("{what}: all units with such an explanation are scored"));
                continue;
            }
            if let Some(client) = &client {
                let (requests, of) = judging.first_requests(explainer, &pending)?;
                asking::estimate(client, &what, &requests, of, pending.len())?;
            }
            if self.estimate {
                continue;
            }
            let bar = output::progress(pending.len() as u64, "units");
            bar.set_message(task.name());
            let run = judging.run(explainer, units, &pending, &|units| bar.inc(units as u64));
            bar.finish();
            let run = run?;
            output::note(&format!(
                "{what}: {} units scored, {} have nothing to judge{}",
                run.units,
                run.without_texts,
                asking::failures(&run.failures)
            ));
        }
        if let Some(client) = &client {
            output::note(&format!("{}: {}", client.name(), client.totals()));
        }
        ensure!(!explainers.is_empty(), "name explanations with --explainer");
        Ok(judging.scorer())
    }
}

/// What was scored, as a table.
pub(super) fn table(comparisons: &[Comparison]) -> String {
    let row = |comparison: &Comparison| {
        let interval = comparison
            .interval
            .map_or_else(|| number(None), |interval| format!("{:.3} to {:.3}", interval.low, interval.high));
        vec![
            comparison.kind.explainer.clone(),
            comparison.kind.scorer.clone(),
            format!("{} ({})", comparison.kind.metric, comparison.kind.sample),
            comparison.units.to_string(),
            comparison.undefined.to_string(),
            number(comparison.mean),
            interval,
        ]
    };
    let head = ["explainer", "scorer", "score", "units", "undefined", "mean", "interval"];
    Table::new(&head, comparisons.iter().map(row).collect()).to_text()
}
