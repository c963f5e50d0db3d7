//! Revision: an explanation is put to the test with sentences of the explainer's own, and corrected by what the subject model
//! does on them (Bills et al. 2023, "Iterating on explanations").
//!
//! In each round the explainer writes five sentences on which the unit should fire, and five that look alike on which it
//! should not. The subject model runs them. The explanation, the training excerpts, and the sentences with what the unit
//! did go back to the explainer, who writes a new explanation. The round whose explanation correlates best with the valid
//! split is kept, the first explanation if none is better; and only that choice is scored on the test split, which nobody
//! has seen. An answer that cannot be read makes a round without a result, which the log says.
//!
//! The published baselines do the same with other [`Feedback`]: with as many random texts, and with nothing new at all.
//!
//! `Rounds` does this for anything that can be tested, a `Subject`: units of a model here, and made-up ones in
//! [`crate::puzzles`]. What a step asks of several of them is asked at once, so that a language model answers many prompts
//! together.

mod estimate;
mod feedback;
mod gain;
mod log;
mod random_texts;
mod rewriting;
mod rounds;
mod sentences;
mod transcript;
mod unit;

use std::time::Instant;

use glossator_atlas::{Atlas, Explanation};
use glossator_llm::Client;
use glossator_model::{Model, UnitId};
use serde_json::json;

pub use feedback::Feedback;
pub use gain::{Gain, gains};
pub use log::{Log, Round, Tested};
pub(crate) use rounds::{Part, Revised, Rounds, Subject};
pub(crate) use sentences::EACH;
pub use sentences::Wanted;

use crate::ExplainError;
use crate::explaining;
use crate::prompts::Prompts;
use crate::simulate::Simulator;
use crate::simulating::{Simulations, Watch};
use unit::{Tests, Unit};

/// Units that go through their rounds, and are stored, together.
const BLOCK: usize = 16;

/// A unit fires at this share of its recorded maximum.
pub(crate) const FIRES: f32 = 0.5;

/// Revises explanations in words.
pub struct Revising<'a> {
    /// Where the explanations are.
    pub atlas: &'a Atlas,
    /// The explainer.
    pub client: &'a Client,
    /// What is asked.
    pub prompts: &'a Prompts,
    /// Who scores.
    pub simulator: Simulator,
    /// Rounds.
    pub rounds: u32,
    /// What goes back in each.
    pub feedback: Feedback,
    /// Who sees the running totals.
    pub watch: Watch<'a>,
}

impl Revising<'_> {
    /// The units of `units` whose explanation by `explainer` has been revised by this feedback.
    pub fn done(&self, explainer: &str, units: &[UnitId]) -> Result<Vec<bool>, ExplainError> {
        explaining::done(self.atlas, &self.feedback.revised(explainer), units)
    }

    /// Revises the explanations by `explainer` of those of `units` that are not `done`, by what the subject model `model`
    /// does, and stores the results with their logs, which it returns. Units without such an explanation are left
    /// out. `progress` is told the number of units, block by block.
    pub fn run(
        &self,
        model: &Model,
        explainer: &str,
        units: &[UnitId],
        done: &[bool],
        progress: &dyn Fn(usize),
    ) -> Result<Vec<Log>, ExplainError> {
        let tests = Tests { atlas: self.atlas, model, simulations: self.simulations() };
        let mut logs = Vec::new();
        for (units, done) in units.chunks(BLOCK).zip(done.chunks(BLOCK)) {
            let start = Instant::now();
            let mut subjects = Vec::new();
            for (&unit, _) in units.iter().zip(done).filter(|(_, done)| !**done) {
                if let Some(initial) = self.atlas.explanation(unit, explainer)? {
                    subjects.push((Unit::new(&tests, unit)?, initial.text));
                }
            }
            let revised = self.as_rounds().run(&subjects)?;
            let seconds = start.elapsed().as_secs_f64() / revised.len().max(1) as f64;
            let units: Vec<UnitId> = subjects.iter().map(|(subject, _)| subject.id).collect();
            self.store(explainer, &units, &revised, seconds)?;
            logs.extend(revised.into_iter().map(|revised| revised.log));
            progress(done.len());
        }
        Ok(logs)
    }

    fn simulations(&self) -> Simulations<'_> {
        Simulations::new(self.client, self.prompts, self.simulator, self.watch)
    }

    fn as_rounds(&self) -> Rounds<'_> {
        let Self { client, prompts, rounds, feedback, watch, .. } = *self;
        Rounds { client, prompts, count: rounds, feedback, watch }
    }

    fn store(
        &self,
        explainer: &str,
        units: &[UnitId],
        revised: &[Revised],
        seconds: f64,
    ) -> Result<(), ExplainError> {
        let name = self.feedback.revised(explainer);
        let explanations: Vec<Explanation> = units
            .iter()
            .zip(revised)
            .map(|(unit, revised)| Explanation {
                unit: *unit,
                explainer: name.clone(),
                text: revised.log.kept_text().to_owned(),
                body: json!({"revision": revised.log, "of": explainer, "feedback": self.feedback}),
                seconds: Some(seconds),
            })
            .collect();
        let calls = units.iter().zip(revised);
        let calls: Vec<_> =
            calls.map(|(unit, revised)| revised.tally.calls(*unit, &name, self.client.price())).collect();
        self.atlas.put_calls(&calls)?;
        self.atlas.put_explanations(&explanations)?;
        Ok(())
    }
}
