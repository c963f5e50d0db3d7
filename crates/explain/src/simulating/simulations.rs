//! Predictions for texts by one simulator: what is asked, and what is read out of the answers.

use glossator_atlas::Atlas;
use glossator_llm::{Client, Outcome, Request, Totals};

use crate::ExplainError;
use crate::prompts::Prompts;
use crate::sample::Sample;
use crate::score::{Resampling, Scores};
use crate::simulate::{Predicted, Simulator};
use crate::tally::{self, Tally};

/// Sees the running totals after every outcome, for progress bars.
pub type Watch<'a> = &'a (dyn Fn(&Totals) + Sync);

/// Predictions for texts by one simulator.
pub struct Simulations<'a> {
    client: &'a Client,
    prompts: &'a Prompts,
    simulator: Simulator,
    watch: Watch<'a>,
}

/// The predictions for a sample.
pub struct Simulated {
    /// For each excerpt what is predicted at each position, or nothing where there is no answer that can be used.
    pub predicted: Vec<Option<Predicted>>,
    /// What it cost.
    pub tally: Tally,
}

impl<'a> Simulations<'a> {
    /// Asks `client`.
    pub fn new(client: &'a Client, prompts: &'a Prompts, simulator: Simulator, watch: Watch<'a>) -> Self {
        Self { client, prompts, simulator, watch }
    }

    /// The requests that simulate an explanation on a sample.
    pub fn requests(
        &self,
        atlas: &Atlas,
        explanation: &str,
        sample: &Sample,
    ) -> Result<Vec<Request>, ExplainError> {
        let capabilities = self.client.capabilities();
        let mut requests = Vec::new();
        for (_, excerpt) in &sample.excerpts {
            let counted = &excerpt.tokens[sample.ignored..];
            let tokens: Vec<&str> = counted.iter().map(|token| atlas.vocabulary().text(*token)).collect();
            requests.extend(self.simulator.requests(self.prompts, capabilities, explanation, &tokens)?);
        }
        Ok(requests)
    }

    /// Simulates each explanation on its sample, all at once.
    pub fn run(&self, atlas: &Atlas, questions: &[(&str, &Sample)]) -> Result<Vec<Simulated>, ExplainError> {
        let mut requests = Vec::new();
        for (explanation, sample) in questions {
            requests.extend(self.requests(atlas, explanation, sample)?);
        }
        let outcomes = self.client.ask_with(&requests, self.watch)?;
        let mut rest = outcomes.as_slice();
        let read = |(_, sample): &(&str, &Sample)| {
            let (these, after) = rest.split_at(self.calls(sample));
            rest = after;
            self.read(sample, these)
        };
        Ok(questions.iter().map(read).collect())
    }

    /// Requests for a sample.
    fn calls(&self, sample: &Sample) -> usize {
        let tokens = sample.excerpts.iter().map(|(_, excerpt)| excerpt.tokens.len() - sample.ignored);
        tokens.map(|tokens| self.simulator.calls(tokens)).sum()
    }

    /// The predictions for a sample, from the outcomes of its requests.
    pub fn read(&self, sample: &Sample, outcomes: &[Outcome]) -> Simulated {
        let mut simulated = Simulated { predicted: Vec::new(), tally: Tally::default() };
        let mut rest = outcomes;
        for (_, excerpt) in &sample.excerpts {
            let tokens = excerpt.tokens.len() - sample.ignored;
            let (these, after) = rest.split_at(self.simulator.calls(tokens));
            rest = after;
            simulated.read(self, sample.ignored, tokens, these);
        }
        simulated
    }
}

impl Simulated {
    fn read(&mut self, by: &Simulations<'_>, ignored: usize, tokens: usize, outcomes: &[Outcome]) {
        let read = by.simulator.read(by.client.capabilities(), tokens, outcomes);
        for outcome in outcomes {
            self.tally.count(outcome, outcome.as_ref().err());
        }
        // An answer that is there and cannot be used is a failure of its own.
        if let Err(failure) = &read
            && outcomes.iter().all(Result::is_ok)
        {
            *self.tally.failures.entry(tally::name(failure.kind)).or_default() += 1;
        }
        self.predicted.push(read.ok().map(|predicted| predicted.after(ignored)));
    }

    /// The correlation over all excerpts that were answered, where it is defined.
    pub fn correlation(&self, sample: &Sample) -> Option<f64> {
        let shares = self.predicted.iter().map(|one| one.as_ref().map(|one| one.shares.clone())).collect();
        let (sample, shares) = sample.clone().answered(shares);
        let scores = Scores::of(&sample.pair(&shares), None, 0.0, &Resampling::new(0, 0, 0));
        scores.top_and_random.correlation.value
    }
}
