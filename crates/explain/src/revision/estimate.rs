//! What a revision will ask, before it begins. Explanations and sentences that are not written yet are stood in for by some of
//! a usual length.

use glossator_atlas::Split;
use glossator_llm::Request;
use glossator_model::UnitId;

use super::sentences::{self, EACH};
use super::{Feedback, Revising, Round, Tested, rewriting};
use crate::ExplainError;
use crate::sample::Sample;
use crate::words::Evidence;

/// Units from which the cost of a run is estimated.
const ESTIMATED: usize = 4;

impl Revising<'_> {
    /// The requests that revise the explanations by `explainer` of the first few of `units`, if no round fails and every unit keeps a
    /// revision, and the number of units that they are for.
    pub fn first_requests(
        &self,
        explainer: &str,
        units: &[UnitId],
    ) -> Result<(Vec<Request>, usize), ExplainError> {
        let units = &units[..units.len().min(ESTIMATED)];
        let mut requests = Vec::new();
        for &unit in units {
            requests.extend(self.requests(unit, explainer)?);
        }
        Ok((requests, units.len()))
    }

    fn requests(&self, unit: UnitId, explainer: &str) -> Result<Vec<Request>, ExplainError> {
        let (simulations, rounds) = (self.simulations(), self.as_rounds());
        let evidence = Evidence::of(self.atlas, unit)?;
        let valid = Sample::of(self.atlas, unit, Split::Valid)?;
        let test = Sample::of(self.atlas, unit, Split::Test)?;
        let written = |number: u32| format!("words for one kind of thing in other texts ({unit}, {number})");
        let initial =
            self.atlas.explanation(unit, explainer)?.map_or_else(|| written(0), |initial| initial.text);
        let mut requests = simulations.requests(self.atlas, &initial, &valid)?;
        requests.extend(simulations.requests(self.atlas, &initial, &test)?);
        let mut tested = initial;
        for number in 0..self.rounds {
            if self.feedback == Feedback::Tests {
                let capabilities = self.client.capabilities();
                requests.push(sentences::request(self.prompts, &tested, number, capabilities)?);
            }
            let mut round = Round::of(&tested);
            round.sentences = self.stand_ins();
            requests.push(rounds.rewriting(&rewriting::question(&evidence, &round))?);
            tested = written(number + 1);
            requests.extend(simulations.requests(self.atlas, &tested, &valid)?);
        }
        if self.rounds > 0 {
            requests.extend(simulations.requests(self.atlas, &tested, &test)?);
        }
        Ok(requests)
    }

    /// Sentences of a usual length, as many as a round has.
    fn stand_ins(&self) -> Vec<Tested> {
        let expected: fn(usize) -> Option<bool> = match self.feedback {
            Feedback::Nothing => return Vec::new(),
            Feedback::Random => |_| None,
            Feedback::Tests => |number| Some(number < EACH),
        };
        let sentence = |number| Tested {
            text: "She said that nobody had been there before them.".to_owned(),
            expected: expected(number),
            share: 0.0,
            token: String::new(),
            fires: false,
        };
        (0..2 * EACH).map(sentence).collect()
    }
}
