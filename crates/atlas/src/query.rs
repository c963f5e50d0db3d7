//! What a list of units is asked for, and what it answers.

use std::collections::BTreeMap;
use std::str::FromStr;

use glossator_model::{HookPoint, UnitId};
use serde::{Deserialize, Serialize};

use crate::explanation::Score;

/// Selects, orders and pages the units of an atlas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    /// Only units of this hook point.
    pub hook: Option<HookPoint>,
    /// Free text: a unit's name, tokens it responds to, or words of its explanations.
    pub search: Option<String>,
    /// Only units of at least this density.
    pub min_density: Option<f64>,
    /// Only units of at most this density.
    pub max_density: Option<f64>,
    /// Only units that this explainer has explained.
    pub explainer: Option<String>,
    /// Only units with an explanation.
    pub explained: bool,
    /// The explainer whose headline score [`Sort::Score`] means; without it the best score of each unit counts.
    pub score_of: Option<String>,
    /// The order.
    pub sort: Sort,
    /// Largest first instead of smallest first. Undefined values come last either way.
    pub descending: bool,
    /// Units to leave out at the start.
    pub offset: u32,
    /// Most units to return; 0 means [`ListQuery::DEFAULT_LIMIT`], more than
    /// [`ListQuery::MAX_LIMIT`] is cut to it.
    pub limit: u32,
}

impl ListQuery {
    /// Units on a page where no limit is given.
    pub const DEFAULT_LIMIT: u32 = 50;
    /// Most units on a page.
    pub const MAX_LIMIT: u32 = 1000;
}

/// What a list is ordered by; ties by hook point and index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Hook point in order of execution, then index.
    #[default]
    Unit,
    /// The headline score of its explanation by [`ListQuery::score_of`], or the best of its explanations.
    Score,
    /// Share of tokens above 0.
    Density,
    /// Largest activation.
    Max,
    /// Mean activation.
    Mean,
    /// Variance.
    Variance,
    /// Skewness.
    Skewness,
    /// Kurtosis.
    Kurtosis,
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
            format!("`{text}` is no order (unit, score, density, max, mean, variance, skewness or kurtosis)")
        })
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitPage {
    /// Units that match in all.
    pub total: u64,
    /// Those on this page.
    pub units: Vec<UnitSummary>,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitSummary {
    /// The unit.
    pub unit: UnitId,
    /// Mean activation.
    pub mean: f64,
    /// Share of tokens above 0.
    pub density: f64,
    /// Largest activation.
    pub max: f64,
    /// The unit's strongest tokens, as texts.
    pub tokens: Vec<String>,
    /// Its explanations with their headline scores, by explainer.
    pub explanations: Vec<Headline>,
}

/// An explanation as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// The explainer.
    pub explainer: String,
    /// The explanation in one readable line.
    pub text: String,
    /// Its score by [`crate::HEADLINE`]: on the test split where that is defined, else on the valid split, else
    /// an undefined one; absent until it has been scored.
    pub score: Option<Score>,
}

/// What has been done in an atlas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// How many units each explainer has explained at each hook point, where it has any.
    pub explained: BTreeMap<HookPoint, BTreeMap<String, u64>>,
    /// Every explainer that has explained something, by name.
    pub explainers: Vec<ExplainerProgress>,
}

/// What one explainer has done.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainerProgress {
    /// Its name.
    pub name: String,
    /// Units it has explained.
    pub units: u64,
    /// Units whose headline score is defined.
    pub scored: u64,
    /// Mean headline score over those.
    pub mean_score: Option<f64>,
}

/// A kind of score: whose explanations, by whom, and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScoreKind {
    /// The explainer.
    pub explainer: String,
    /// The scorer, as in [`Score::scorer`].
    pub scorer: String,
    /// The metric.
    pub metric: String,
    /// The sample.
    pub sample: String,
}

/// A unit with one of its scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredUnit {
    /// The unit.
    pub unit: UnitId,
    /// Share of tokens above 0; `None` where records were made elsewhere.
    pub density: Option<f64>,
    /// The score; `None` where it is undefined.
    pub value: Option<f64>,
}

/// What language models were asked by one explainer, or by one scorer of its explanations, in all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallTotals {
    /// The explainer.
    pub explainer: String,
    /// The scorer; `None` for explaining.
    pub scorer: Option<String>,
    /// Units that it was about.
    pub units: u64,
    /// Requests.
    pub requests: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Requests without an answer that could be used, by what went wrong.
    pub failures: BTreeMap<String, u64>,
    /// What all answers cost, in nanodollars; `None` where that is not known of every unit.
    pub cost: Option<u64>,
    /// Mean time of explaining, or of scoring, where it was measured.
    pub seconds_per_unit: Option<f64>,
}
