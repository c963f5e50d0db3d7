//! Scores explanations by classification ([`crate::classification`]) and stores what comes of it, resumably.
//!
//! A scorer's scores are stored under its name and its judge's, such as `detection@MODEL`; beside them stand the baselines
//! on the same texts: `empty:…` for no explanation, `other-unit:…` for the explanation of another unit of the hook point,
//! `always-yes:…` and `always-no:…` for judges that do not read. Samples are `all` texts, or those on which the unit fires
//! with those from one source.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use glossator_atlas::{Atlas, Calls, Score, Split};
use glossator_llm::{Client, Outcome, Request};
use glossator_model::{Model, UnitId};

use crate::ExplainError;
use crate::activations::ModelActivations;
use crate::classification::examples::{Chooser, Pool};
use crate::classification::fuzzing::Marked;
use crate::classification::intruder::Trial;
use crate::classification::logits::Choice;
use crate::classification::{
    Example, NO_EXPLANATION, Source, Way, detection, fuzzing, intruder, logits, surprisal,
};
use crate::others::{self, OTHER_UNIT, Others};
use crate::score::{ClassificationMeasures, Estimate, Judgement, RESAMPLES, Resampling, accuracy};
use crate::tally::Tally;

/// Units whose texts are asked about, and stored, together.
const BLOCK: usize = 8;

/// Most judgements of a kind that intervals are drawn for.
const MOST: usize = 60;

/// Tokens of either kind that logit scoring asks about.
const TOKENS: usize = 20;

/// Tokens in a forward pass of the subject model.
const BATCH_TOKENS: usize = 8_192;

/// A classification score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// [`detection`]
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
    /// Where near misses are looked for.
    pub pool: &'a Pool,
    /// What is asked.
    pub task: Task,
    /// The split that is scored on.
    pub split: Split,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Whether another unit's explanation and none are scored beside each.
    pub baselines: bool,
}

/// What is judged of a unit.
enum Material {
    Texts(Vec<Example>),
    Marked(Vec<Marked>),
    Trials(Vec<Trial>),
    Tokens(Vec<Choice>),
}

/// A unit with its explanation and the baselines, by what their scorers' names begin with.
struct Work {
    unit: UnitId,
    material: Material,
    texts: Vec<(&'static str, String)>,
    /// The other unit, where its explanation is among the texts.
    other: Option<UnitId>,
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

    /// Those of `units` that `explainer` has explained and that have no scores of this kind yet, or all of the former if
    /// `again`.
    pub fn pending(
        &self,
        explainer: &str,
        units: &[UnitId],
        again: bool,
    ) -> Result<Vec<UnitId>, ExplainError> {
        let scorer = self.scorer();
        let mut pending = Vec::new();
        for units in units.chunk_by(|a, b| a.hook == b.hook) {
            let hook = units[0].hook;
            let explained = self.atlas.explained(hook, explainer)?;
            let scored = if again {
                BTreeSet::new()
            } else {
                self.atlas.scored(hook, explainer, &scorer, self.split)?
            };
            let wanted = |unit: &&UnitId| explained.contains(&unit.index) && !scored.contains(&unit.index);
            pending.extend(units.iter().filter(wanted));
        }
        Ok(pending)
    }

    /// The requests for the first few of `units`, for an estimate before a run, and the number of units that they are for.
    pub fn first_requests(
        &self,
        explainer: &str,
        units: &[UnitId],
    ) -> Result<(Vec<Request>, usize), ExplainError> {
        let units = &units[..units.len().min(2)];
        let others = Others::among(self.atlas, explainer, units, self.seed)?;
        let works = self.works(explainer, units, &others)?;
        Ok((works.iter().flat_map(|work| self.requests(work)).collect(), units.len()))
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
        let others = Others::among(self.atlas, explainer, selected, self.seed)?;
        let mut run = JudgingRun::default();
        for units in units.chunks(BLOCK) {
            let works = self.works(explainer, units, &others)?;
            run.without_texts += units.len() - works.len();
            run.units += works.len();
            let requests: Vec<Request> = works.iter().flat_map(|work| self.requests(work)).collect();
            let outcomes = match self.client {
                Some(client) if self.task.asks() => client.ask(&requests)?,
                _ => Vec::new(),
            };
            let mut rest = outcomes.as_slice();
            let (mut scores, mut calls) = (Vec::new(), Vec::new());
            for work in &works {
                let (own, after) = rest.split_at(self.requests(work).len());
                rest = after;
                scores.extend(self.scores(explainer, work, own, &resampling)?);
                let tally = self.tally(work, own);
                tally.failures.iter().for_each(|(kind, count)| {
                    *run.failures.entry(kind.clone()).or_default() += count;
                });
                let scorer = Some((self.scorer(), self.split));
                calls.push(Calls { scorer, ..tally.calls(work.unit, explainer) });
            }
            self.atlas.put_calls(&calls)?;
            self.atlas.put_scores(&scores, &[])?;
            progress(units.len());
        }
        Ok(run)
    }

    /// What is judged of those of `units` of which anything can be.
    fn works(&self, explainer: &str, units: &[UnitId], others: &Others) -> Result<Vec<Work>, ExplainError> {
        let mut works = Vec::with_capacity(units.len());
        let mut activations = ModelActivations::new(self.model, BATCH_TOKENS);
        for &unit in units {
            let text = |unit: UnitId| -> Result<Option<String>, ExplainError> {
                Ok(self.atlas.explanation(unit, explainer)?.map(|explanation| explanation.text))
            };
            let Some(own) = text(unit)? else { continue };
            let mut texts = vec![("", own)];
            let mut other = None;
            if self.baselines {
                texts.push(("empty:", NO_EXPLANATION.to_owned()));
                other = others.of(unit);
                let of_other = other.map(text).transpose()?.flatten();
                texts.extend(of_other.map(|text| (OTHER_UNIT, text)));
            }
            let (material, tokens) = self.material(unit, &mut activations)?;
            if !material.is_empty() {
                works.push(Work { unit, material, texts, other, tokens });
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
            _ => Material::Texts(examples),
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

    /// The requests for the explanation and the baselines, in order.
    fn requests(&self, work: &Work) -> Vec<Request> {
        let of = |explanation: &str| match &work.material {
            Material::Texts(_) if self.task == Task::Surprisal => Vec::new(),
            Material::Texts(examples) => detection::requests(self.way(), explanation, examples),
            Material::Marked(texts) => fuzzing::requests(self.way(), explanation, texts),
            Material::Trials(trials) => intruder::requests(self.way(), explanation, trials),
            Material::Tokens(choices) => logits::requests(self.way(), explanation, choices),
        };
        work.texts.iter().flat_map(|(_, explanation)| of(explanation)).collect()
    }

    fn tally(&self, work: &Work, outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::default();
        outcomes.iter().for_each(|outcome| tally.count(outcome, outcome.as_ref().err()));
        // Answers that are there and cannot be read are failures too.
        let each = outcomes.len() / work.texts.len().max(1);
        let unreadable: usize = (0..work.texts.len())
            .map(|place| {
                let own = &outcomes[place * each..(place + 1) * each];
                let failed = own.iter().filter(|outcome| outcome.is_err()).count();
                self.unusable(work, own).saturating_sub(failed)
            })
            .sum();
        if unreadable > 0 {
            *tally.failures.entry("malformed".to_owned()).or_default() += unreadable as u64;
        }
        tally
    }

    /// Requests among `outcomes` without a judgement for what they were about.
    fn unusable(&self, work: &Work, outcomes: &[Outcome]) -> usize {
        if let Material::Trials(trials) = &work.material {
            let found = intruder::judge(self.way(), trials, outcomes);
            return found.iter().filter(|found| found.is_none()).count();
        }
        let judged = self.judgements(work, outcomes);
        let together = if self.way() == Way::Graded { 1 } else { crate::classification::TOGETHER };
        let unusable = |judged: &&[Judgement]| judged.iter().any(|one| one.verdict.is_none());
        judged.chunks(together).filter(unusable).count()
    }

    fn judgements(&self, work: &Work, outcomes: &[Outcome]) -> Vec<Judgement> {
        match &work.material {
            Material::Texts(examples) => detection::judge(self.way(), examples, outcomes),
            Material::Marked(texts) => fuzzing::judge(self.way(), texts, outcomes),
            Material::Tokens(choices) => logits::judge(self.way(), choices, outcomes),
            Material::Trials(_) => Vec::new(),
        }
    }

    /// The rows of the explanation and the baselines.
    fn scores(
        &self,
        explainer: &str,
        work: &Work,
        outcomes: &[Outcome],
        resampling: &Resampling,
    ) -> Result<Vec<Score>, ExplainError> {
        let each = outcomes.len() / work.texts.len().max(1);
        let mut rows = Vec::new();
        for (place, (baseline, explanation)) in work.texts.iter().enumerate() {
            let own = &outcomes[place * each..(place + 1) * each];
            let scorer = format!("{baseline}{}", self.scorer());
            let first = rows.len();
            let mut row = Rows { explainer, scorer: &scorer, split: self.split, work, to: &mut rows };
            match &work.material {
                Material::Trials(trials) => {
                    row.accuracy(&intruder::judge(self.way(), trials, own), resampling);
                }
                Material::Texts(examples) if self.task == Task::Surprisal => {
                    let judged = surprisal::judge(self.model, explanation, examples)?;
                    row.samples(&judged, &work.material, resampling);
                }
                material => row.samples(&self.judgements(work, own), material, resampling),
            }
            if let Some(other) = work.other.filter(|_| *baseline == OTHER_UNIT) {
                others::name_on(other, &mut rows[first..]);
            }
            if baseline.is_empty() && !matches!(work.material, Material::Trials(_)) {
                self.constant(explainer, work, resampling, &mut rows);
            }
        }
        Ok(rows)
    }

    /// Judges that always give the same answer.
    fn constant(&self, explainer: &str, work: &Work, resampling: &Resampling, rows: &mut Vec<Score>) {
        for (name, answer) in [("always-yes:", true), ("always-no:", false)] {
            let scorer = format!("{name}{}", self.scorer());
            let truths = work.material.truths().into_iter();
            let judged: Vec<Judgement> = truths.map(|truth| Judgement::constant(truth, answer)).collect();
            let mut row = Rows { explainer, scorer: &scorer, split: self.split, work, to: rows };
            row.measures("all", &judged, resampling);
        }
    }
}

impl Material {
    fn is_empty(&self) -> bool {
        match self {
            Self::Texts(examples) => examples.is_empty(),
            Self::Marked(texts) => texts.is_empty(),
            Self::Trials(trials) => trials.is_empty(),
            Self::Tokens(choices) => choices.is_empty(),
        }
    }

    fn truths(&self) -> Vec<bool> {
        match self {
            Self::Texts(examples) => examples.iter().map(|example| example.fires).collect(),
            Self::Marked(texts) => texts.iter().map(|text| text.right).collect(),
            Self::Tokens(choices) => choices.iter().map(|choice| choice.raised).collect(),
            Self::Trials(_) => Vec::new(),
        }
    }

    /// Where each text comes from; nothing for tokens.
    fn sources(&self) -> Vec<Source> {
        match self {
            Self::Texts(examples) => examples.iter().map(|example| example.source).collect(),
            Self::Marked(texts) => texts.iter().map(|text| text.example.source).collect(),
            Self::Trials(_) | Self::Tokens(_) => Vec::new(),
        }
    }
}

/// Collects the rows of one scorer of one explanation.
struct Rows<'a> {
    explainer: &'a str,
    scorer: &'a str,
    split: Split,
    work: &'a Work,
    to: &'a mut Vec<Score>,
}

impl Rows<'_> {
    /// The measures over all texts, and over those that fire with those from each source.
    fn samples(&mut self, judged: &[Judgement], material: &Material, resampling: &Resampling) {
        self.measures("all", judged, resampling);
        let sources = material.sources();
        for (name, source) in [
            ("random", Source::Random),
            ("neighbours", Source::Neighbour),
            ("near_misses", Source::NearMiss),
            ("misplaced", Source::Misplaced),
        ] {
            let of_source = |(one, from): &(&Judgement, &Source)| one.truth || **from == source;
            let chosen: Vec<Judgement> =
                judged.iter().zip(&sources).filter(of_source).map(|(one, _)| *one).collect();
            if chosen.iter().any(|one| !one.truth) {
                self.measures(name, &chosen, resampling);
            }
        }
    }

    fn measures(&mut self, sample: &str, judged: &[Judgement], resampling: &Resampling) {
        let measures = ClassificationMeasures::of(judged, resampling);
        let one_kind = "texts of both kinds are needed";
        let unjudged = judged.iter().any(|one| one.verdict.is_some() && one.probability.is_none());
        let no_auroc = if unjudged { "the model gives no probabilities" } else { one_kind };
        self.push(sample, "balanced_accuracy", measures.balanced_accuracy, one_kind);
        self.push(sample, "f1", measures.f1, one_kind);
        self.push(sample, "auroc", measures.auroc, no_auroc);
        self.push(sample, "precision", measures.precision, "nothing is taken for activating");
        self.push(sample, "recall", measures.recall, "no text that fires was judged");
        self.failures(sample, judged.len(), measures.failures);
    }

    fn accuracy(&mut self, found: &[Option<bool>], resampling: &Resampling) {
        self.push("all", "accuracy", accuracy(found, resampling), "no trial was judged");
        self.failures("all", found.len(), found.iter().filter(|found| found.is_none()).count());
    }

    /// The share of texts without a judgement.
    fn failures(&mut self, sample: &str, of: usize, failures: usize) {
        let share = (of > 0).then(|| failures as f64 / of as f64);
        self.push(sample, "failure_share", Estimate { value: share, interval: None }, "there are no texts");
        if failures > 0
            && let Some(row) = self.to.last_mut()
        {
            row.remark = Some(format!("no answer that can be used for {failures} of {of}"));
        }
    }

    fn push(&mut self, sample: &str, metric: &str, estimate: Estimate, undefined: &str) {
        self.to.push(Score {
            unit: self.work.unit,
            explainer: self.explainer.to_owned(),
            scorer: self.scorer.to_owned(),
            metric: metric.to_owned(),
            sample: sample.to_owned(),
            split: self.split,
            value: estimate.value,
            low: estimate.interval.map(|interval| interval.low),
            high: estimate.interval.map(|interval| interval.high),
            tokens: self.work.tokens,
            remark: estimate.value.is_none().then(|| undefined.to_owned()),
        });
    }
}
