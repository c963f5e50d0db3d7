//! A unit of a subject model as the subject of a revision.

use glossator_atlas::{Atlas, Split};
use glossator_llm::{Outcome, Request};
use glossator_model::{Model, Tokenizer, UnitId};

use super::{FIRES, Part, Subject, Tested, Wanted, random_texts};
use crate::ExplainError;
use crate::activations::{ModelActivations, SequenceActivations};
use crate::sample::Sample;
use crate::simulating::Simulations;
use crate::tally::Tally;
use crate::words::Evidence;

/// Tokens in a forward pass of the subject model.
const BATCH_TOKENS: usize = 8_192;

/// What units are tested with.
pub(super) struct Tests<'a> {
    pub(super) atlas: &'a Atlas,
    pub(super) model: &'a Model,
    pub(super) simulations: Simulations<'a>,
}

/// A unit with its held-out excerpts.
pub(super) struct Unit<'a> {
    tests: &'a Tests<'a>,
    pub(super) id: UnitId,
    valid: Sample,
    test: Sample,
}

impl<'a> Unit<'a> {
    pub(super) fn new(tests: &'a Tests<'a>, unit: UnitId) -> Result<Self, ExplainError> {
        let (valid, test) =
            (Sample::of(tests.atlas, unit, Split::Valid)?, Sample::of(tests.atlas, unit, Split::Test)?);
        Ok(Self { tests, id: unit, valid, test })
    }

    fn sample(&self, on: Part) -> &Sample {
        match on {
            Part::Choosing => &self.valid,
            Part::Unseen => &self.test,
        }
    }
}

impl Subject for Unit<'_> {
    fn evidence(&self) -> Result<Evidence<'_>, ExplainError> {
        Evidence::of(self.tests.atlas, self.id)
    }

    /// Sentences are framed as the recorded windows are.
    fn tried(&self, wanted: &[Wanted]) -> Result<Vec<Tested>, ExplainError> {
        let Tests { atlas, model, .. } = *self.tests;
        let run = &atlas.manifest().run;
        let (ignored, context) = (run.ignored_positions as usize, run.context as usize);
        // Positions are only ignored where every window begins with the begin-of-sequence token.
        let tokenizer: &Tokenizer = model.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| ignored > 0);
        let mut sequences = Vec::with_capacity(wanted.len());
        for sentence in wanted {
            let mut tokens: Vec<u32> = bos.into_iter().collect();
            tokens.extend(tokenizer.encode(&sentence.text)?);
            tokens.truncate(context);
            sequences.push(tokens);
        }
        let maximum = atlas.profile(self.id)?.0.max;
        let found = ModelActivations::new(model, BATCH_TOKENS).everywhere(self.id, &sequences)?;
        let tested = wanted.iter().zip(sequences).zip(found).map(|((sentence, tokens), activations)| {
            let counted = activations.iter().copied().enumerate().skip(ignored);
            let (place, highest) =
                counted.reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap_or((0, 0.0));
            let share = if maximum > 0.0 { highest / maximum } else { 0.0 };
            Tested {
                text: sentence.text.clone(),
                expected: Some(sentence.fires),
                share,
                token: tokens.get(place).map_or_else(String::new, |token| tokenizer.token_text(*token)),
                fires: share >= FIRES,
            }
        });
        Ok(tested.collect())
    }

    fn drawn(&self, round: u32) -> Result<Vec<Tested>, ExplainError> {
        let mut activations = ModelActivations::new(self.tests.model, BATCH_TOKENS);
        random_texts::tested(self.tests.atlas, self.id, round, &mut activations)
    }

    fn simulation(&self, explanation: &str, on: Part) -> Result<Vec<Request>, ExplainError> {
        self.tests.simulations.requests(self.tests.atlas, explanation, self.sample(on))
    }

    fn correlation(&self, on: Part, outcomes: &[Outcome], tally: &mut Tally) -> Option<f64> {
        let sample = self.sample(on);
        let simulated = self.tests.simulations.read(sample, outcomes);
        tally.add(&simulated.tally);
        simulated.correlation(sample)
    }
}
