//! The log of a revision as the page shows it: what was tested in every round, and what came of it.

use glossator_atlas::Explanation;
use serde::{Deserialize, Serialize};

/// Rounds of test sentences. Scores are correlations over top and random excerpts.
#[derive(Serialize, Deserialize)]
pub(crate) struct RevisionDocument {
    /// The explanation that was begun with.
    initial: String,
    initial_valid: Option<f64>,
    rounds: Vec<RoundDocument>,
    /// The round whose explanation is kept, from 0; `None` where the first explanation stays.
    kept: Option<usize>,
    initial_test: Option<f64>,
    kept_test: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct RoundDocument {
    tested: String,
    sentences: Vec<SentenceDocument>,
    revised: Option<String>,
    /// On the valid split, on which the round is chosen that is kept.
    valid: Option<f64>,
    failure: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SentenceDocument {
    text: String,
    /// Whether the explanation says that the unit fires on it; `None` for a text that was not written to test it.
    expected: Option<bool>,
    /// The largest activation, as a share of the unit's recorded maximum, and the token on which it is.
    share: f32,
    token: String,
    fires: bool,
}

impl RevisionDocument {
    /// The log that an explanation carries; none where there is none that can be read.
    pub(crate) fn of(explanation: &Explanation) -> Option<Self> {
        serde::Deserialize::deserialize(explanation.body.get("revision")?).ok()
    }
}
