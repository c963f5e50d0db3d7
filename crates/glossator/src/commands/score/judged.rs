//! The part of `glossator score` that needs the subject model: ablation, and scores by classification.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::ensure;
use glossator_atlas::{Atlas, ScoreKind};
use glossator_explain::ablating::{ABLATION, Ablating};
use glossator_explain::baselines::EMPTY;
use glossator_explain::classification::examples::Pool;
use glossator_explain::comparison::{self, Comparison};
use glossator_explain::explaining::Explainer;
use glossator_explain::judging::{ALWAYS_NO, ALWAYS_YES, Judging, Task};
use glossator_explain::others::OTHER_UNIT;
use glossator_explain::words::PREFIX;
use glossator_llm::Totals;
use glossator_model::{Model, UnitId};

use super::Score;
use crate::arguments::asking;
use crate::output;

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

impl fmt::Display for ScorerArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ablation => f.write_str(ABLATION),
            Self::Task(task) => task.fmt(f),
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
        let mut scored: BTreeSet<(String, String)> = BTreeSet::new();
        for &scorer in &self.scorer {
            let scorers = match scorer {
                ScorerArgument::Ablation => self.ablate(atlas, &model, explainers, units)?,
                ScorerArgument::Task(task) => vec![self.classify(atlas, &model, task, explainers, units)?],
            };
            for which in ["", EMPTY, OTHER_UNIT, ALWAYS_YES, ALWAYS_NO] {
                let named = scorers.iter().map(|scorer| format!("{which}{scorer}"));
                let pairs =
                    named.flat_map(|scorer| explainers.iter().map(move |one| (one.clone(), scorer.clone())));
                scored.extend(pairs);
            }
        }
        let wanted = |kind: &ScoreKind| scored.contains(&(kind.explainer.clone(), kind.scorer.clone()));
        let mut comparisons = Vec::new();
        for kind in comparison::shown(atlas, self.split, wanted)? {
            let mut scored = atlas.scored_units(&kind, self.split)?;
            scored.retain(|scored| units.binary_search(&scored.unit).is_ok());
            if !scored.is_empty() {
                comparisons.push(Comparison::of(kind, &scored, self.seed));
            }
        }
        Ok(comparisons)
    }

    /// Puts predictions in the units' place, those of explanations in words by each of `--simulator`, and returns the names of
    /// the scorers.
    fn ablate(
        &self,
        atlas: &Atlas,
        model: &Model,
        explainers: &[String],
        units: &[UnitId],
    ) -> anyhow::Result<Vec<String>> {
        let (words, predictors): (Vec<String>, Vec<String>) =
            explainers.iter().cloned().partition(|name| name.starts_with(PREFIX));
        let mut scorers = vec![ABLATION.to_owned()];
        if !words.is_empty() {
            let sources = self.simulate(atlas, Some(model), &words, units)?;
            scorers.extend(sources.into_iter().map(|source| source.scorer));
        }
        if predictors.is_empty() || self.asking.estimate {
            return Ok(scorers);
        }
        let predictors: Vec<Explainer> = predictors
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, glossator_explain::ExplainError>>()?;
        let ablating = Ablating { atlas, model, split: self.split, seed: self.seed };
        let pending = ablating.pending(&predictors, units, self.selection.again)?;
        let bar = output::progress(pending.len() as u64, "units");
        bar.set_message(ABLATION);
        ablating.run(&predictors, &pending, &|units| bar.inc(units as u64))?;
        bar.finish();
        Ok(scorers)
    }

    fn classify(
        &self,
        atlas: &Atlas,
        model: &Model,
        task: Task,
        explainers: &[String],
        units: &[UnitId],
    ) -> anyhow::Result<String> {
        let client = if task.asks() { Some(self.asking.client(&self.selection.atlas)?) } else { None };
        let (prompts, pool) = (self.asking.prompts()?, Pool::read(atlas, self.seed)?);
        let bar = output::progress_of_calls(units.len() as u64, "units");
        let watch = |totals: &Totals| bar.set_message(totals.to_string());
        let judging = Judging {
            atlas,
            model,
            client: client.as_ref(),
            prompts: &prompts,
            pool: &pool,
            task,
            split: self.split,
            seed: self.seed,
            baselines: self.baseline,
            watch: &watch,
        };
        for explainer in explainers {
            let what = format!("{explainer} by {task}");
            let pending = judging.pending(explainer, units, self.selection.again)?;
            let first = || judging.first_requests(explainer, units, &pending);
            if !self.asking.announce(client.as_ref(), &what, pending.len(), first)? {
                continue;
            }
            bar.reset();
            bar.set_length(pending.len() as u64);
            bar.set_prefix(what.clone());
            let run = judging.run(explainer, units, &pending, &|units| bar.inc(units as u64));
            bar.abandon();
            let run = run?;
            output::note(&format!(
                "{what}: {} scored, {} with nothing to judge{}",
                output::count(run.units, "unit"),
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
