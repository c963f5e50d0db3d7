//! Explanations, their scores, the simulations that the scores were computed from, and what language models were asked.

use std::collections::BTreeMap;

use glossator_model::UnitId;
use serde::{Deserialize, Serialize};

use crate::distributions::Distributions;
use crate::excerpt::Split;

/// Metric and sample of the score that lists show and sort by.
pub const HEADLINE: (&str, &str) = ("correlation", "top_and_random");

/// The scorer of explanations that can be run: the activations that the explanation itself predicts.
pub const PREDICTION: &str = "prediction";

/// What the names of scorers begin with in which a language model reads the explanation and predicts activations.
/// Headline scores come from these and from [`PREDICTION`] alone.
pub const SIMULATION: &str = "simulation:";

/// Something that predicts a unit's activations. There is one per unit and explainer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The unit.
    pub unit: UnitId,
    /// The explainer's name with its variant, such as `lookup` or `n2g`.
    pub explainer: String,
    /// The explanation in one readable line.
    pub text: String,
    /// Everything that prediction needs, in the explainer's own format.
    pub body: serde_json::Value,
    /// Time the explainer took, in seconds; not part of its identity.
    pub seconds: Option<f64>,
}

/// How well an explanation predicts, by one metric on one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The unit.
    pub unit: UnitId,
    /// The explainer.
    pub explainer: String,
    /// Who scored: [`PREDICTION`], or a method and the language model behind it, such as `simulation:grades@MODEL` or
    /// `detection@MODEL`.
    pub scorer: String,
    /// `correlation`, `r_squared`, `absolute_deviation_explained`, `precision`, `recall`, `f1`, …
    pub metric: String,
    /// `top_and_random`, `random_only` or `top_only`.
    pub sample: String,
    /// The split that was scored on.
    pub split: Split,
    /// The value; `None` where it is undefined.
    pub value: Option<f64>,
    /// Lower end of the confidence interval.
    pub low: Option<f64>,
    /// Upper end of the confidence interval.
    pub high: Option<f64>,
    /// Tokens that went into it.
    pub tokens: u64,
    /// Why the value is undefined, or another remark.
    pub remark: Option<String>,
}

/// The activations that an explanation predicts for one excerpt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulation {
    /// The unit.
    pub unit: UnitId,
    /// The explainer.
    pub explainer: String,
    /// Who simulated, as in [`Score::scorer`].
    pub scorer: String,
    /// The excerpt's window.
    pub window: u32,
    /// `[position]` predicted activations.
    pub activations: Vec<f32>,
    /// What was expected at each position, where the simulator gave more than one number: the activations are the means.
    pub distributions: Option<Distributions>,
}

/// What a language model was asked to explain a unit, or to score an explanation, what came of it and what it took. Scores by
/// the subject model alone ask nothing, but take time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// The unit.
    pub unit: UnitId,
    /// The explainer.
    pub explainer: String,
    /// Who scored, as in [`Score::scorer`], and on which split; `None` where the calls were made to explain.
    pub scorer: Option<(String, Split)>,
    /// Requests, each counted once however often it was sent.
    pub requests: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Requests without an answer that could be used, by what went wrong: `refused`, `truncated`, `malformed`, …
    pub failures: BTreeMap<String, u64>,
    /// What the answers cost at the prices of the run, in nanodollars; `None` where the price is not known. An answer that
    /// serves twice counts twice.
    pub cost: Option<u64>,
    /// The time it took, where it was measured; that of explaining stands with the explanation.
    pub seconds: Option<f64>,
}
