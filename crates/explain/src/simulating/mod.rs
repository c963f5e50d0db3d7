//! Scores explanations in words by simulation, and stores scores, simulations and what was asked, resumably.
//!
//! A language model reads the explanation and predicts the activations of the same excerpts that predictions are scored on:
//! up to five top and five random ones of one split. Where a calibration is wanted, it predicts those of the calibration
//! split too. Predictions are shares of the unit's maximum; an excerpt for which there is no prediction that can be used
//! counts in no score. Where that is more than half of the top or of the random excerpts, the scores are undefined. Each of
//! several senses is scored by itself as well, on the top excerpts that show it and all random ones (`sense_1`, …).
//!
//! With the subject model at hand the same simulations are scored by ablation in it instead ([`crate::ablation`]).

mod ablated;
mod simulations;
mod task;

use std::collections::BTreeMap;

use glossator_atlas::{Atlas, HEADLINE, SIMULATION, Score, Simulation, Split};
use glossator_llm::Client;
use glossator_model::{Model, UnitId};

pub use simulations::{Simulated, Simulations, Watch};
use task::{Part, Task, Text, of_sense, remark};

use crate::ExplainError;
use crate::ablating::ABLATION;
use crate::baselines::{BaselineUnits, Baselines};
use crate::block::{Block, count_failures};
use crate::pending::{First, Wanted};
use crate::prompts::Prompts;
use crate::rows::Scored;
use crate::sample::{EXCERPTS, Sample};
use crate::score::{RESAMPLES, Resampling};
use crate::simulate::Simulator;
use crate::tally::Tally;
use crate::words::assigning;

/// Units whose excerpts are asked about, and stored, together.
const BLOCK: usize = 16;

/// Units from which the cost of a run is estimated.
const ESTIMATED: usize = 8;

/// What stands where an explanation is, for the baseline of no explanation.
pub const EMPTY: &str = "(no description)";

/// Scores by simulation.
pub struct Simulating<'a> {
    /// Where the explanations are.
    pub atlas: &'a Atlas,
    /// Who simulates.
    pub client: &'a Client,
    /// What is asked.
    pub prompts: &'a Prompts,
    /// How.
    pub simulator: Simulator,
    /// The split that is scored on.
    pub split: Split,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Whether the calibration excerpts are simulated too; for ablation they always are.
    pub calibrated: bool,
    /// The subject model, where scores are to be by ablation in it.
    pub ablating: Option<&'a Model>,
    /// Which units have another unit's explanation and none scored beside theirs.
    pub baselines: BaselineUnits,
    /// Who sees the running totals.
    pub watch: Watch<'a>,
}

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimulationRun {
    /// Units scored.
    pub units: usize,
    /// Requests without an answer that can be used, by what is wrong.
    pub failures: BTreeMap<String, u64>,
}

impl Simulating<'_> {
    /// The name under which scores are stored.
    pub fn scorer(&self) -> String {
        let scorer = self.simulator.scorer(self.client.name());
        match (self.ablating, scorer.strip_prefix(SIMULATION)) {
            (Some(_), Some(simulated)) => format!("{ABLATION}:{simulated}"),
            _ => scorer,
        }
    }

    /// Those of `units` that `explainer` has explained and that have no such scores, or not all of their baselines, yet; all that
    /// are explained if `again`.
    pub fn pending(
        &self,
        explainer: &str,
        units: &[UnitId],
        again: bool,
    ) -> Result<Vec<UnitId>, ExplainError> {
        let wanted = Wanted { explainer, scorer: &self.scorer(), split: self.split };
        wanted.pending_with(self.atlas, units, again, &self.baselines(explainer, units)?)
    }

    fn baselines(&self, explainer: &str, selected: &[UnitId]) -> Result<Baselines, ExplainError> {
        Baselines::among(self.atlas, explainer, selected, self.seed, self.baselines)
    }

    /// The requests for the first few of `units`, of explanations and of baselines, for an estimate before a run.
    pub fn first_requests(
        &self,
        explainer: &str,
        selected: &[UnitId],
        units: &[UnitId],
    ) -> Result<Vec<First>, ExplainError> {
        let simulations = Simulations::new(self.client, self.prompts, self.simulator, self.watch);
        let baselines = self.baselines(explainer, selected)?;
        let drawn: Vec<UnitId> = units.iter().copied().filter(|unit| baselines.has(*unit)).collect();
        let first = |units: &[UnitId], of_baselines: bool| -> Result<First, ExplainError> {
            let few = &units[..units.len().min(ESTIMATED)];
            let mut requests = Vec::new();
            for task in self.tasks(explainer, few, &baselines)? {
                for (text, sample) in
                    task.questions_about(|part| of_baselines == matches!(part, Part::Baseline(_)))
                {
                    requests.extend(simulations.requests(self.atlas, text, sample)?);
                }
            }
            Ok(First { requests, of: few.len(), units: units.len() })
        };
        Ok(vec![first(units, false)?, first(&drawn, true)?])
    }

    /// Scores the explanations by `explainer` of `units`, which are some of the `selected` ones, among which others are
    /// chosen. `progress` is told the number of units, block by block.
    pub fn run(
        &self,
        explainer: &str,
        selected: &[UnitId],
        units: &[UnitId],
        progress: &dyn Fn(usize),
    ) -> Result<SimulationRun, ExplainError> {
        self.simulator.check(self.client)?;
        let simulations = Simulations::new(self.client, self.prompts, self.simulator, self.watch);
        let resampling = Resampling::new(RESAMPLES, EXCERPTS, self.seed);
        let baselines = self.baselines(explainer, selected)?;
        let scorer = self.scorer();
        let mut run = SimulationRun::default();
        for units in units.chunks(BLOCK) {
            let mut block = Block::begin();
            let tasks = self.tasks(explainer, units, &baselines)?;
            let questions: Vec<(&str, &Sample)> = tasks.iter().flat_map(Task::questions).collect();
            let mut simulated = simulations.run(self.atlas, &questions)?.into_iter();
            for task in &tasks {
                let simulated: Vec<Simulated> = simulated.by_ref().take(task.questions().count()).collect();
                let mut tally = Tally::default();
                simulated.iter().for_each(|simulated| tally.add(&simulated.tally));
                count_failures(&mut run.failures, &tally.failures);
                block.asked(task.unit, explainer, (&scorer, self.split), &tally, self.client.price());
                let (scores, simulations) = self.score(explainer, task, simulated, &resampling)?;
                block.scores.extend(scores);
                block.simulations.extend(simulations);
            }
            run.units += tasks.len();
            block.store(self.atlas)?;
            progress(units.len());
        }
        Ok(run)
    }

    fn tasks(
        &self,
        explainer: &str,
        units: &[UnitId],
        baselines: &Baselines,
    ) -> Result<Vec<Task>, ExplainError> {
        let mut tasks = Vec::with_capacity(units.len());
        for &unit in units {
            let Some(own) = self.atlas.explanation(unit, explainer)? else { continue };
            let sample = Sample::of(self.atlas, unit, self.split)?;
            let mut texts = vec![Text { words: own.text.clone(), part: Part::Explanation, calibrated: true }];
            // A baseline's correlation needs no calibration; put in the unit's place it does.
            let calibrated = self.ablating.is_some();
            let baselines = baselines.of(self.atlas, unit, explainer, EMPTY)?.into_iter();
            texts.extend(baselines.map(|(which, words)| Text {
                words,
                part: Part::Baseline(which),
                calibrated,
            }));
            if self.ablating.is_none() {
                let senses = assigning::senses(self.atlas, &own, &sample)?.into_iter().enumerate();
                texts.extend(senses.map(|(place, (words, sample))| Text {
                    words,
                    part: Part::Sense(place + 1, sample),
                    calibrated: false,
                }));
            }
            let calibrating = if self.calibrated || self.ablating.is_some() {
                Some(Sample::of(self.atlas, unit, Split::Calibration)?)
            } else {
                None
            };
            tasks.push(Task { unit, maximum: self.atlas.profile(unit)?.0.max, sample, calibrating, texts });
        }
        Ok(tasks)
    }

    fn score(
        &self,
        explainer: &str,
        task: &Task,
        simulated: Vec<Simulated>,
        resampling: &Resampling,
    ) -> Result<(Vec<Score>, Vec<Simulation>), ExplainError> {
        let mut simulated = simulated.into_iter();
        let (mut scores, mut simulations) = (Vec::new(), Vec::new());
        let noted = self.simulator.remark(self.client.capabilities());
        for text in &task.texts {
            let Some(of_text) = simulated.next() else { break };
            let asked = text.sample(&task.sample);
            let answered = task.answered(asked, of_text);
            let scorer = match text.part {
                Part::Baseline(which) => format!("{}{}", which.prefix(), self.scorer()),
                Part::Explanation | Part::Sense(..) => self.scorer(),
            };
            let scored = Scored { unit: task.unit, explainer, scorer: &scorer, split: self.split };
            let calibrating = match &task.calibrating {
                Some(calibrating) if text.calibrated => {
                    simulated.next().map(|of_text| task.answered(calibrating, of_text))
                }
                _ => None,
            };
            let mut rows = match self.ablating {
                Some(model) => {
                    let found =
                        ablated::Ablated::of(model, self.atlas, task.unit, &answered, calibrating.as_ref())?;
                    found.rows(scored, &answered.sample, resampling)
                }
                None => task.rows(scored, &answered, calibrating.as_ref(), resampling),
            };
            remark(asked, &answered.sample, noted.as_deref(), &mut rows);
            if let Part::Baseline(which) = text.part {
                which.name_on(&mut rows);
            }
            if let Part::Sense(number, _) = &text.part {
                rows.retain(|row| (row.metric.as_str(), row.sample.as_str()) == HEADLINE);
                rows.iter_mut().for_each(|row| of_sense(row, *number, asked));
            }
            scores.extend(rows);
            if matches!(text.part, Part::Explanation) && self.ablating.is_none() {
                simulations.extend(answered.simulations(scored));
            }
        }
        Ok((scores, simulations))
    }
}
