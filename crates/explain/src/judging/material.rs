//! What is judged of a unit: texts, texts with marks, trials with an intruder, or tokens; the requests about them, and what is
//! read out of the answers.

use glossator_llm::{Outcome, Request};

use crate::classification::fuzzing::Marked;
use crate::classification::intruder::Trial;
use crate::classification::logits::Choice;
use crate::classification::{Example, Source, TOGETHER, Way, detection, fuzzing, intruder, logits};
use crate::prompts::{PromptError, Prompts};
use crate::score::Judgement;

/// What is judged of a unit.
pub(super) enum Material {
    /// Whether a text fits.
    Texts(Vec<Example>),
    /// The same by surprise: nobody is asked.
    Surprising(Vec<Example>),
    /// Whether the marks fit.
    Marked(Vec<Marked>),
    /// Which text does not belong.
    Trials(Vec<Trial>),
    /// Whether a token is made likelier.
    Tokens(Vec<Choice>),
}

impl Material {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Texts(examples) | Self::Surprising(examples) => examples.is_empty(),
            Self::Marked(texts) => texts.is_empty(),
            Self::Trials(trials) => trials.is_empty(),
            Self::Tokens(choices) => choices.is_empty(),
        }
    }

    /// The right answers; none for trials, which are not answered by yes or no.
    pub(super) fn truths(&self) -> Vec<bool> {
        match self {
            Self::Texts(examples) | Self::Surprising(examples) => {
                examples.iter().map(|example| example.fires).collect()
            }
            Self::Marked(texts) => texts.iter().map(|text| text.right).collect(),
            Self::Tokens(choices) => choices.iter().map(|choice| choice.raised).collect(),
            Self::Trials(_) => Vec::new(),
        }
    }

    /// Where each text comes from; nothing for trials and tokens.
    pub(super) fn sources(&self) -> Vec<Source> {
        match self {
            Self::Texts(examples) | Self::Surprising(examples) => {
                examples.iter().map(|example| example.source).collect()
            }
            Self::Marked(texts) => texts.iter().map(|text| text.example.source).collect(),
            Self::Trials(_) | Self::Tokens(_) => Vec::new(),
        }
    }

    /// The requests about one explanation, in order.
    pub(super) fn requests(
        &self,
        prompts: &Prompts,
        way: Way,
        explanation: &str,
    ) -> Result<Vec<Request>, PromptError> {
        match self {
            Self::Texts(examples) => detection::requests(prompts, way, explanation, examples),
            Self::Surprising(_) => Ok(Vec::new()),
            Self::Marked(texts) => fuzzing::requests(prompts, way, explanation, texts),
            Self::Trials(trials) => intruder::requests(prompts, way, explanation, trials),
            Self::Tokens(choices) => logits::requests(prompts, way, explanation, choices),
        }
    }

    /// How many these are.
    pub(super) fn calls(&self, way: Way) -> usize {
        match self {
            Self::Surprising(_) => 0,
            Self::Trials(trials) => trials.len(),
            other => other.truths().len().div_ceil(together(way)),
        }
    }

    /// What the answers say; nothing for trials and surprise.
    pub(super) fn judgements(&self, way: Way, outcomes: &[Outcome]) -> Vec<Judgement> {
        match self {
            Self::Texts(examples) => detection::judge(way, examples, outcomes),
            Self::Marked(texts) => fuzzing::judge(way, texts, outcomes),
            Self::Tokens(choices) => logits::judge(way, choices, outcomes),
            Self::Trials(_) | Self::Surprising(_) => Vec::new(),
        }
    }

    /// Answers among the outcomes that are there and cannot be read.
    pub(super) fn unreadable(&self, way: Way, outcomes: &[Outcome]) -> usize {
        let unused = match self {
            Self::Trials(trials) => {
                intruder::judge(way, trials, outcomes).iter().filter(|found| found.is_none()).count()
            }
            other => {
                let judged = other.judgements(way, outcomes);
                let unusable = |judged: &&[Judgement]| judged.iter().any(|one| one.verdict.is_none());
                judged.chunks(together(way)).filter(unusable).count()
            }
        };
        unused.saturating_sub(outcomes.iter().filter(|outcome| outcome.is_err()).count())
    }
}

/// Things in one request.
fn together(way: Way) -> usize {
    if way == Way::Graded { 1 } else { TOGETHER }
}
