//! Scores explanations by classification ([`crate::classification`]) and stores what comes of it, resumably.
//!
//! A scorer's scores are stored under its name and its judge's, such as `detection@MODEL`; beside them stand the baselines
//! on the same texts: `empty:…` for no explanation, `other-unit:…` for the explanation of another unit of the hook point,
//! `always-yes:…` and `always-no:…` for judges that do not read. Samples are `all` texts, or those on which the unit fires
//! with those from one source.

mod material;
mod rows;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use glossator_atlas::{Atlas, Score, Split};
use glossator_llm::prices::Price;
use glossator_llm::{Client, Outcome, Request};
use glossator_model::{Model, UnitId};

use crate::ExplainError;
use crate::activations::ModelActivations;
use crate::baselines::{Baseline, BaselineUnits, Baselines};
use crate::block::{Block, count_failures};
use crate::classification::examples::{Chooser, Pool};
use crate::classification::logits::Choice;
use crate::classification::{NO_EXPLANATION, Way, fuzzing, intruder, logits, surprisal};
use crate::pending::{First, Wanted};
use crate::prompts::Prompts;
use crate::score::{Judgement, RESAMPLES, Resampling};
use crate::simulating::Watch;
use crate::tally::Tally;
use material::Material;
use rows::Rows;

/// Units whose texts are asked about, and stored, together.
const BLOCK: usize = 8;

/// Units from which the cost of a run is estimated.
const ESTIMATED: usize = 2;

/// Most judgements of a kind that intervals are drawn for.
const MOST: usize = 60;

/// Tokens of either kind that logit scoring asks about.
const TOKENS: usize = 20;

/// What the names of scorers begin with that are judges who say yes to everything.
pub const ALWAYS_YES: &str = "always-yes:";

/// The same for no.
pub const ALWAYS_NO: &str = "always-no:";

/// Tokens in a forward pass of the subject model.
const BATCH_TOKENS: usize = 8_192;

/// A classification score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// [`detection`](crate::classification::detection)
    Detection,
    /// [`fuzzing`]
    Fuzzing,
    /// [`intruder`]
    Intruder,
    /// [`logits`]
    Logits,
    /// [`surprisal`]
    Surprisal,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Detection, Self::Fuzzing, Self::Intruder, Self::Logits, Self::Surprisal];

    /// The name by which it is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Fuzzing => "fuzzing",
            Self::Intruder => "intruder",
            Self::Logits => "logits",
            Self::Surprisal => "surprisal",
        }
    }

    /// Whether a language model is asked; else the subject model's losses are all that is needed.
    pub fn asks(self) -> bool {
        self != Self::Surprisal
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = ExplainError;

    fn from_str(text: &str) -> Result<Self, ExplainError> {
        let found = Self::ALL.into_iter().find(|task| task.name() == text);
        found.ok_or_else(|| ExplainError::UnknownScorer { name: text.to_owned() })
    }
}

/// Scores by classification.
pub struct Judging<'a> {
    /// Where the explanations are.
    pub atlas: &'a Atlas,
    /// The subject model.
    pub model: &'a Model,
    /// Who judges; not needed for surprisal.
    pub client: Option<&'a Client>,
    /// The prompts.
    pub prompts: &'a Prompts,
    /// Where near misses are looked for.
    pub pool: &'a Pool,
    /// What is asked.
    pub task: Task,
    /// The split that is scored on.
    pub split: Split,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Which units have another unit's explanation and none scored beside theirs.
    pub baselines: BaselineUnits,
    /// Who sees the running totals.
    pub watch: Watch<'a>,
}

/// A unit with its explanation and the baselines.
struct Work {
    unit: UnitId,
    material: Material,
    texts: Vec<(Option<Baseline>, String)>,
    /// Tokens of the texts.
    tokens: u64,
}

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgingRun {
    /// Units scored.
    pub units: usize,
    /// Units without texts to judge: they fire on nothing, or nothing can be told from it.
    pub without_texts: usize,
    /// Requests without an answer that can be used, by what is wrong.
    pub failures: BTreeMap<String, u64>,
}

impl Judging<'_> {
    /// The name under which scores are stored.
    pub fn scorer(&self) -> String {
        let judge = self.client.map_or_else(|| self.model.name(), |client| client.name());
        format!("{}@{judge}", self.task)
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
        let baselines = self.baselines(explainer, selected)?;
        let drawn: Vec<UnitId> = units.iter().copied().filter(|unit| baselines.has(*unit)).collect();
        let first = |units: &[UnitId], of_baselines: bool| -> Result<First, ExplainError> {
            let few = &units[..units.len().min(ESTIMATED)];
            let mut works = self.works(explainer, few, &baselines)?;
            works.iter_mut().for_each(|work| work.texts.retain(|(which, _)| of_baselines == which.is_some()));
            Ok(First { requests: self.requests(&works)?, of: few.len(), units: units.len() })
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
    ) -> Result<JudgingRun, ExplainError> {
        let resampling = Resampling::new(RESAMPLES, MOST, self.seed);
        let baselines = self.baselines(explainer, selected)?;
        let scorer = self.scorer();
        let mut run = JudgingRun::default();
        for units in units.chunks(BLOCK) {
            let mut block = Block::begin();
            let works = self.works(explainer, units, &baselines)?;
            run.without_texts += units.len() - works.len();
            run.units += works.len();
            let requests = self.requests(&works)?;
            let outcomes = match self.client {
                Some(client) if self.task.asks() => client.ask_with(&requests, self.watch)?,
                _ => Vec::new(),
            };
            let mut rest = outcomes.as_slice();
            for work in &works {
                let each = work.material.calls(self.way());
                let (own, after) = rest.split_at(each * work.texts.len());
                rest = after;
                block.scores.extend(self.scores(explainer, work, own, &resampling)?);
                let tally = self.tally(work, own);
                count_failures(&mut run.failures, &tally.failures);
                block.asked(work.unit, explainer, (&scorer, self.split), &tally, self.price());
            }
            block.store(self.atlas)?;
            progress(units.len());
        }
        Ok(run)
    }

    /// What is judged of those of `units` of which anything can be.
    fn works(
        &self,
        explainer: &str,
        units: &[UnitId],
        baselines: &Baselines,
    ) -> Result<Vec<Work>, ExplainError> {
        let mut works = Vec::with_capacity(units.len());
        let mut activations = ModelActivations::new(self.model, BATCH_TOKENS);
        for &unit in units {
            let Some(own) = self.atlas.explanation(unit, explainer)? else { continue };
            let mut texts = vec![(None, own.text)];
            let baselines = baselines.of(self.atlas, unit, explainer, NO_EXPLANATION)?.into_iter();
            texts.extend(baselines.map(|(which, text)| (Some(which), text)));
            let (material, tokens) = self.material(unit, &mut activations)?;
            if !material.is_empty() {
                works.push(Work { unit, material, texts, tokens });
            }
        }
        Ok(works)
    }

    fn material(
        &self,
        unit: UnitId,
        activations: &mut ModelActivations<'_>,
    ) -> Result<(Material, u64), ExplainError> {
        if self.task == Task::Logits {
            let choices = self.choices(unit)?;
            let tokens = choices.len() as u64;
            return Ok((Material::Tokens(choices), tokens));
        }
        let examples = Chooser::new(self.atlas, self.pool, self.split).choose(unit, activations)?;
        let tokens = examples.iter().map(|example| example.tokens.len() as u64).sum();
        let material = match self.task {
            Task::Fuzzing => Material::Marked(fuzzing::marked(&examples, self.seed)),
            Task::Intruder => Material::Trials(intruder::trials(&examples, self.seed)),
            Task::Surprisal => Material::Surprising(examples),
            Task::Detection | Task::Logits => Material::Texts(examples),
        };
        Ok((material, tokens))
    }

    /// The tokens that are asked about: they occur in the recorded text. None for a unit without an output direction.
    fn choices(&self, unit: UnitId) -> Result<Vec<Choice>, ExplainError> {
        let weights = match logits::weights(self.model, unit) {
            Err(glossator_model::ModelError::NoDirection { .. }) => return Ok(Vec::new()),
            weights => weights?,
        };
        let vocabulary = self.atlas.vocabulary();
        let seed = self.seed ^ u64::from(unit.index);
        let usable = |token| vocabulary.count(token) > 0;
        Ok(logits::choices(&weights, TOKENS, seed, usable, |token| vocabulary.text(token).to_owned()))
    }

    fn way(&self) -> Way {
        self.client.map_or(Way::Listed, |client| Way::of(client.capabilities()))
    }

    /// What answers cost; nothing where nobody is asked.
    fn price(&self) -> Option<Price> {
        self.client.map_or(Some(Price::FREE), Client::price)
    }

    /// The requests for the explanations and their baselines, in order.
    fn requests(&self, works: &[Work]) -> Result<Vec<Request>, ExplainError> {
        let mut requests = Vec::new();
        for work in works {
            for (_, explanation) in &work.texts {
                requests.extend(work.material.requests(self.prompts, self.way(), explanation)?);
            }
        }
        Ok(requests)
    }

    /// The outcomes about each explanation.
    fn each<'o>(&self, work: &Work, outcomes: &'o [Outcome]) -> impl Iterator<Item = &'o [Outcome]> {
        let each = work.material.calls(self.way());
        (0..work.texts.len()).map(move |place| &outcomes[place * each..(place + 1) * each])
    }

    fn tally(&self, work: &Work, outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::default();
        outcomes.iter().for_each(|outcome| tally.count(outcome, outcome.as_ref().err()));
        // Answers that are there and cannot be read are failures too.
        let unreadable: usize =
            self.each(work, outcomes).map(|own| work.material.unreadable(self.way(), own)).sum();
        if unreadable > 0 {
            *tally.failures.entry("malformed".to_owned()).or_default() += unreadable as u64;
        }
        tally
    }

    /// The rows of the explanation and the baselines.
    fn scores(
        &self,
        explainer: &str,
        work: &Work,
        outcomes: &[Outcome],
        resampling: &Resampling,
    ) -> Result<Vec<Score>, ExplainError> {
        let mut scores = Vec::new();
        let Work { unit, material, tokens, .. } = work;
        let mut rows = Rows {
            unit: *unit,
            explainer,
            scorer: String::new(),
            split: self.split,
            tokens: *tokens,
            resampling,
            to: &mut scores,
        };
        for ((baseline, explanation), own) in work.texts.iter().zip(self.each(work, outcomes)) {
            rows.scorer = format!("{}{}", baseline.map_or("", Baseline::prefix), self.scorer());
            let first = rows.to.len();
            match material {
                Material::Trials(trials) => rows.accuracy(&intruder::judge(self.way(), trials, own)),
                Material::Surprising(examples) => {
                    let judged = surprisal::judge(self.model, explanation, examples)?;
                    rows.samples(&judged, &material.sources());
                }
                material => rows.samples(&material.judgements(self.way(), own), &material.sources()),
            }
            if let Some(baseline) = baseline {
                baseline.name_on(&mut rows.to[first..]);
            } else if !matches!(material, Material::Trials(_)) {
                // Judges that always give the same answer.
                for (name, answer) in [(ALWAYS_YES, true), (ALWAYS_NO, false)] {
                    rows.scorer = format!("{name}{}", self.scorer());
                    let truths = material.truths().into_iter();
                    let judged: Vec<Judgement> =
                        truths.map(|truth| Judgement::constant(truth, answer)).collect();
                    rows.measures("all", &judged);
                }
            }
        }
        Ok(scores)
    }
}
