//! Explanations, their scores, and the simulations that the scores were computed from.

use glossator_model::UnitId;
use serde::{Deserialize, Serialize};

use crate::excerpt::Split;

/// Metric and sample of the score that lists show and sort by.
pub const HEADLINE: (&str, &str) = ("correlation", "top_and_random");

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
    /// The excerpt's window.
    pub window: u32,
    /// `[position]` predicted activations.
    pub activations: Vec<f32>,
}
