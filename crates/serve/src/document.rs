//! The JSON documents about the whole atlas: its summary and its lists. The page's counterpart of these types is
//! `web/src/api/types.ts`; both are described in `docs/reference/http-api.md`.

use std::collections::BTreeMap;

use glossator_atlas::{Score, Split, UnitSummary};
use glossator_model::{HookPoint, UnitId};
use serde::Serialize;

/// `GET /api/atlas`: what the atlas is, and what has been done in it.
#[derive(Clone, Debug, Serialize)]
pub struct AtlasDocument {
    /// The directory's name.
    pub name: String,
    /// Version of the atlas schema.
    pub schema: u32,
    /// Name of the subject model.
    pub model: String,
    /// Facts of the run, in the order to show them.
    pub facts: Vec<Fact>,
    /// Hook points in order of execution.
    pub hooks: Vec<HookDocument>,
    /// Explainers by name.
    pub explainers: Vec<ExplainerDocument>,
    /// The score that lists show and sort by.
    pub headline: HeadlineDocument,
}

/// A labelled fact for people.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// Its value.
    pub value: String,
}

/// A hook point of the atlas.
#[derive(Clone, Debug, Serialize)]
pub struct HookDocument {
    /// Its name.
    pub hook: HookPoint,
    /// Units recorded there.
    pub units: u64,
    /// How many of them each explainer has explained; those that have explained none are left out.
    pub explained: BTreeMap<String, u64>,
}

/// What an explainer has done.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainerDocument {
    /// Its name.
    pub name: String,
    /// Units it has explained.
    pub units: u64,
    /// Units whose headline score is defined.
    pub scored: u64,
    /// Mean headline score over those.
    pub mean_score: Option<f64>,
}

/// Which score is the headline score.
#[derive(Clone, Debug, Serialize)]
pub struct HeadlineDocument {
    /// The metric.
    pub metric: &'static str,
    /// The sample of excerpts.
    pub sample: &'static str,
}

/// A unit's name in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnitName {
    /// The hook point.
    pub hook: HookPoint,
    /// The coordinate there.
    pub index: u32,
}

impl From<UnitId> for UnitName {
    fn from(unit: UnitId) -> Self {
        Self { hook: unit.hook, index: unit.index }
    }
}

/// `GET /api/units`: a page of a list.
#[derive(Clone, Debug, Serialize)]
pub struct ListDocument {
    /// Units that match in all.
    pub total: u64,
    /// Those left out before this page.
    pub offset: u32,
    /// The page.
    pub units: Vec<UnitEntry>,
}

/// A line of a list.
#[derive(Clone, Debug, Serialize)]
pub struct UnitEntry {
    /// The unit.
    #[serde(flatten)]
    pub unit: UnitName,
    /// Share of tokens above zero.
    pub density: f64,
    /// Largest activation.
    pub max: f64,
    /// Mean activation.
    pub mean: f64,
    /// Texts of the tokens with the largest mean activation.
    pub tokens: Vec<String>,
    /// Explanations with their headline scores, by explainer.
    pub explanations: Vec<EntryExplanation>,
}

/// An explanation in a list.
#[derive(Clone, Debug, Serialize)]
pub struct EntryExplanation {
    /// The explainer.
    pub explainer: String,
    /// The explanation.
    pub text: String,
    /// The headline score; absent until it has been scored.
    pub score: Option<ScoreDocument>,
}

/// A score with its confidence interval.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreDocument {
    /// Who scored, for example `prediction`.
    pub scorer: String,
    /// For example `correlation`.
    pub metric: String,
    /// For example `top_and_random`.
    pub sample: String,
    /// The split it was computed on.
    pub split: Split,
    /// The value; absent where it is undefined.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Tokens that went into it.
    pub tokens: u64,
    /// Why it is undefined, or another remark.
    pub remark: Option<String>,
}

impl From<Score> for ScoreDocument {
    fn from(score: Score) -> Self {
        Self {
            scorer: score.scorer,
            metric: score.metric,
            sample: score.sample,
            split: score.split,
            value: score.value,
            low: score.low,
            high: score.high,
            tokens: score.tokens,
            remark: score.remark,
        }
    }
}

impl From<UnitSummary> for UnitEntry {
    fn from(summary: UnitSummary) -> Self {
        let explanations = summary.explanations.into_iter().map(|headline| EntryExplanation {
            explainer: headline.explainer,
            text: headline.text,
            score: headline.score.map(ScoreDocument::from),
        });
        Self {
            unit: summary.unit.into(),
            density: summary.density,
            max: summary.max,
            mean: summary.mean,
            tokens: summary.tokens,
            explanations: explanations.collect(),
        }
    }
}
