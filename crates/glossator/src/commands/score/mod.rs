//! `glossator score`: scores the explanations of an atlas on excerpts that no explainer saw.

mod judged;
mod simulation;
mod summary;

use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::Args;
use glossator_atlas::{Atlas, PREDICTION, Split};
use glossator_explain::baselines::BaselineUnits;
use glossator_explain::explaining::Explainer;
use glossator_explain::scoring::Scorer;
use glossator_explain::simulate::Simulator;
use glossator_explain::words::PREFIX;
use glossator_model::UnitId;

use crate::arguments::asking::AskingArgs;
use crate::arguments::selection::SelectionArgs;
use crate::arguments::subject::SubjectArgs;
use crate::{output, report};
use judged::ScorerArgument;

/// Score explanations by how well they predict activations on excerpts no explainer saw
///
/// The score is the correlation of true and predicted activations over the tokens of five top and five random excerpts
/// (Bills et al. 2023); also over random or top excerpts alone, and as calibrated R², absolute deviation explained, and
/// precision, recall and F1 of firing at half of the unit's maximum, each with a 95 % bootstrap interval. What is
/// undefined is stored as undefined. Prints mean scores by layer.
///
/// lookup, n2g and n2g+lookup predict by themselves. With --simulator, a language model reads explanations and predicts from
/// them: those in words (`llm:…`), or the readable lines of the others if they are named.
///
/// Example: glossator score --atlas run.atlas --explainer llm:max-act --simulator grades --llm local
#[derive(Args)]
pub(crate) struct Score {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Which explanations: lookup, n2g, n2g+lookup, llm:max-act, …; llm:max-act means those by all language models,
    /// llm:max-act@MODEL those by one [default: lookup,n2g,n2g+lookup, with --simulator all in words]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    explainer: Vec<String>,
    /// The split to score on: test for results, valid for choices
    #[arg(long, default_value = "test", value_parser = split, value_name = "SPLIT")]
    split: Split,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    seed: u64,
    /// Units beside whose explanations stand scores of an empty one, and of that of another of the units at the hook point, drawn by
    /// hash with --seed: sample (1,000 at most), all, or none; without a value all
    #[arg(long, num_args = 0..=1, default_value = "sample", default_missing_value = "all", value_name = "UNITS")]
    baseline: BaselineUnits,
    /// Let a language model predict activations from the explanations: grades (all tokens at once), one-at-a-time, json
    #[arg(long, value_delimiter = ',', value_name = "SIMULATORS")]
    simulator: Vec<Simulator>,
    /// Score by these instead, with the subject model at hand: ablation (predictions take the unit's place: those of lookup, n2g
    /// and n2g+lookup, and with --simulator those that a language model reads out of words), or detection, fuzzing, intruder,
    /// logits (a language model judges), surprisal
    #[arg(long, value_delimiter = ',', value_name = "SCORERS")]
    scorer: Vec<ScorerArgument>,
    #[command(flatten)]
    subject: SubjectArgs,
    /// With --simulator, leave the calibration excerpts out: half the cost, and R² and absolute deviation only uncalibrated
    #[arg(long, conflicts_with = "scorer")]
    uncalibrated: bool,
    #[command(flatten)]
    asking: AskingArgs,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

fn split(text: &str) -> Result<Split, String> {
    match text.parse()? {
        split @ (Split::Valid | Split::Test) => Ok(split),
        split => Err(format!("{split} excerpts are used to make explanations, score on test or valid")),
    }
}

/// Explanations by name, and who predicts from them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    explainer: String,
    scorer: String,
}

impl Score {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let judges = |scorer: &&ScorerArgument| **scorer != ScorerArgument::Ablation;
        if let Some(scorer) = self.scorer.iter().find(judges).filter(|_| !self.simulator.is_empty()) {
            bail!("--simulator predicts for --scorer ablation, not for {scorer}: leave one of them out");
        }
        let (atlas, units) = self.selection.open()?;
        let explainers = self.explainers(&atlas)?;
        if self.scorer.contains(&ScorerArgument::Ablation) {
            self.needs_simulator(&explainers)?;
        }
        if !self.scorer.is_empty() {
            let comparisons = self.judge(&atlas, &explainers, &units)?;
            if self.json {
                output::print_json(&comparisons)?;
            } else if !self.asking.estimate {
                output::print(&report::comparison_table(&comparisons).to_text())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let sources = if self.simulator.is_empty() {
            self.predict(&atlas, &explainers, &units)?
        } else {
            self.simulate(&atlas, None, &explainers, &units)?
        };
        if self.asking.estimate {
            return Ok(ExitCode::SUCCESS);
        }
        let lines = self.summary(&atlas, &sources, &units)?;
        if self.json {
            output::print_json(&lines)?;
        } else {
            output::print(&summary::table(&lines))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The names of the explanations that are scored, as they are stored.
    fn explainers(&self, atlas: &Atlas) -> anyhow::Result<Vec<String>> {
        let predictors =
            [Explainer::Lookup, Explainer::Neuron2Graph, Explainer::Backoff].map(Explainer::name);
        let in_words = !self.simulator.is_empty()
            || self.scorer.iter().any(|scorer| *scorer != ScorerArgument::Ablation);
        if self.explainer.is_empty() && !in_words {
            return Ok(predictors.map(str::to_owned).to_vec());
        }
        let stored: Vec<String> =
            atlas.progress()?.explainers.into_iter().map(|explainer| explainer.name).collect();
        let all = [PREFIX.trim_end_matches(':').to_owned()];
        let wanted = if self.explainer.is_empty() { &all[..] } else { &self.explainer };
        let mut names = Vec::new();
        for wanted in wanted {
            if predictors.contains(&wanted.as_str()) {
                names.push(wanted.clone());
                continue;
            }
            let of_model = format!("{wanted}@");
            let matches = |name: &&String| match wanted.as_str() {
                "llm" => name.starts_with(PREFIX),
                wanted => *name == wanted || name.starts_with(&of_model),
            };
            let found: Vec<String> = stored.iter().filter(matches).cloned().collect();
            ensure!(
                !found.is_empty(),
                "the atlas has no explanation by {wanted}; it has {}",
                if stored.is_empty() {
                    "none at all (run `glossator explain`)".to_owned()
                } else {
                    stored.join(", ")
                }
            );
            names.extend(found);
        }
        Ok(names)
    }

    /// Refuses explanations in words where nobody is to read them.
    fn needs_simulator(&self, explainers: &[String]) -> anyhow::Result<()> {
        if let Some(name) =
            explainers.iter().find(|name| name.starts_with(PREFIX) && self.simulator.is_empty())
        {
            bail!("{name} is in words and predicts nothing by itself: add --simulator grades (or json)");
        }
        Ok(())
    }

    /// Scores explanations by what they predict themselves.
    fn predict(&self, atlas: &Atlas, explainers: &[String], units: &[UnitId]) -> anyhow::Result<Vec<Source>> {
        let scorer = Scorer::new(atlas, self.split, self.seed).with_baselines(self.baseline);
        self.needs_simulator(explainers)?;
        let predictors: Vec<Explainer> = explainers
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, glossator_explain::ExplainError>>()?;
        let bar = output::progress(units.len() as u64, "units");
        scorer.run(&predictors, units, self.selection.again, &|units| bar.inc(units as u64))?;
        bar.finish();
        let source = |name: &String| Source { explainer: name.clone(), scorer: PREDICTION.to_owned() };
        Ok(explainers.iter().map(source).collect())
    }
}
