//! What a block of units gave: scores, simulations, and what was asked. All of it is stored together, so that a run that was
//! stopped has whole blocks or none of them.

use std::collections::BTreeMap;
use std::time::Instant;

use glossator_atlas::{Atlas, Calls, Score, Simulation, Split};
use glossator_llm::prices::Price;
use glossator_model::UnitId;

use crate::ExplainError;
use crate::tally::Tally;

/// Scores of a block of units.
pub(crate) struct Block {
    start: Instant,
    calls: Vec<Calls>,
    pub(crate) scores: Vec<Score>,
    pub(crate) simulations: Vec<Simulation>,
}

impl Block {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self { start: Instant::now(), calls: Vec::new(), scores: Vec::new(), simulations: Vec::new() }
    }

    /// What was asked to score the explanation of `unit` by `explainer`, at `price`.
    pub(crate) fn asked(
        &mut self,
        unit: UnitId,
        explainer: &str,
        scorer: (&str, Split),
        tally: &Tally,
        price: Option<Price>,
    ) {
        let scorer = Some((scorer.0.to_owned(), scorer.1));
        self.calls.push(Calls { scorer, ..tally.calls(unit, explainer, price) });
    }

    /// Stores all of it. The time since the beginning is shared out evenly.
    pub(crate) fn store(mut self, atlas: &Atlas) -> Result<(), ExplainError> {
        let seconds = self.start.elapsed().as_secs_f64() / self.calls.len().max(1) as f64;
        self.calls.iter_mut().for_each(|calls| calls.seconds = Some(seconds));
        atlas.put_calls(&self.calls)?;
        atlas.put_scores(&self.scores, &self.simulations)?;
        Ok(())
    }
}

/// Adds failures by kind to others.
pub(crate) fn count_failures(to: &mut BTreeMap<String, u64>, failures: &BTreeMap<String, u64>) {
    for (kind, count) in failures {
        *to.entry(kind.clone()).or_default() += count;
    }
}
