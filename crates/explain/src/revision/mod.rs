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

mod feedback;
mod log;
mod random_texts;
mod sentences;

use glossator_atlas::{Atlas, Explanation, Split};
use glossator_llm::{Client, Failure, FailureKind, Generation, Message, Outcome, Request, Usage, Want};
use glossator_model::{Model, Tokenizer, UnitId};
use serde_json::json;

pub use feedback::Feedback;
pub use log::{Log, Round, Tested};
pub use sentences::Wanted;

use crate::ExplainError;
use crate::activations::{ModelActivations, SequenceActivations};
use crate::prompts::{Prompts, visible};
use crate::sample::Sample;
use crate::simulate::Simulator;
use crate::simulating::Simulations;
use crate::tally::Tally;
use crate::words::{Evidence, Method, answer};

/// A unit fires at this share of its recorded maximum.
const FIRES: f32 = 0.5;

/// Tokens in a forward pass of the subject model.
const BATCH_TOKENS: usize = 8_192;

/// Most tokens of a revised explanation.
const ANSWER_TOKENS: u32 = 60;

/// Revises explanations in words.
pub struct Revising<'a> {
    /// Where the explanations are.
    pub atlas: &'a Atlas,
    /// The subject model.
    pub model: &'a Model,
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
}

impl Revising<'_> {
    /// Revises the explanation of `unit` by `explainer` and stores the result with its log. `None` if there is none.
    pub fn unit(&self, unit: UnitId, explainer: &str) -> Result<Option<Log>, ExplainError> {
        let start = std::time::Instant::now();
        let Some(initial) = self.atlas.explanation(unit, explainer)? else { return Ok(None) };
        let mut tally = Tally::default();
        let log = self.revise(unit, &initial, &mut tally)?;
        let kept =
            log.kept.and_then(|round| log.rounds[round].revised.clone()).unwrap_or(log.initial.clone());
        let name = self.feedback.revised(explainer);
        let explanation = Explanation {
            unit,
            explainer: name.clone(),
            text: kept,
            body: json!({"revision": log, "of": explainer, "feedback": self.feedback}),
            seconds: Some(start.elapsed().as_secs_f64()),
        };
        self.atlas.put_explanations(&[explanation])?;
        self.atlas.put_calls(&[tally.calls(unit, &name, self.client.price())])?;
        Ok(Some(log))
    }

    fn revise(&self, unit: UnitId, initial: &Explanation, tally: &mut Tally) -> Result<Log, ExplainError> {
        let valid = Sample::of(self.atlas, unit, Split::Valid)?;
        let mut log = Log {
            initial: initial.text.clone(),
            initial_valid: self.correlation(&initial.text, &valid, tally)?,
            rounds: Vec::new(),
            kept: None,
            initial_test: None,
            kept_test: None,
        };
        let mut current = initial.text.clone();
        let mut best = log.initial_valid;
        for number in 0..self.rounds {
            let mut round = self.round(unit, &current, number, tally)?;
            if let Some(revised) = &round.revised {
                round.valid = self.correlation(revised, &valid, tally)?;
                current.clone_from(revised);
                if round.valid.is_some_and(|value| best.is_none_or(|best| value > best)) {
                    (best, log.kept) = (round.valid, Some(log.rounds.len()));
                }
            }
            log.rounds.push(round);
        }
        let test = Sample::of(self.atlas, unit, Split::Test)?;
        log.initial_test = self.correlation(&log.initial, &test, tally)?;
        let kept = log.kept.and_then(|round| log.rounds[round].revised.clone());
        log.kept_test = match kept {
            Some(kept) => self.correlation(&kept, &test, tally)?,
            None => log.initial_test,
        };
        Ok(log)
    }

    /// The correlation of an explanation's simulation on a sample.
    fn correlation(
        &self,
        explanation: &str,
        sample: &Sample,
        tally: &mut Tally,
    ) -> Result<Option<f64>, ExplainError> {
        let simulations = Simulations::new(self.client, self.prompts, self.simulator, &|_| {});
        let simulated = simulations.run(self.atlas, &[(explanation, sample)])?;
        let Some(simulated) = simulated.into_iter().next() else { return Ok(None) };
        tally.add(&simulated.tally);
        Ok(simulated.correlation(sample))
    }

    fn round(
        &self,
        unit: UnitId,
        tested: &str,
        number: u32,
        tally: &mut Tally,
    ) -> Result<Round, ExplainError> {
        let mut round = Round { tested: tested.to_owned(), ..Round::default() };
        round.sentences = match self.feedback {
            Feedback::Nothing => Vec::new(),
            Feedback::Random => {
                let mut activations = ModelActivations::new(self.model, BATCH_TOKENS);
                random_texts::tested(self.atlas, unit, number, &mut activations)?
            }
            Feedback::Tests => {
                let outcome =
                    self.ask(sentences::request(self.prompts, tested, number, self.client.capabilities())?)?;
                let wanted = sentences::read(&outcome);
                tally.count(&outcome, wanted.as_ref().err());
                match wanted {
                    Ok(wanted) => self.run(unit, &wanted)?,
                    Err(failure) => {
                        round.failure = Some(format!("no test sentences: {}", failure.message));
                        return Ok(round);
                    }
                }
            }
        };
        let outcome = self.ask(self.request(unit, tested, &round.sentences)?)?;
        let revised = answer::sentence(&outcome, self.prompts.template("revise")?.begin());
        tally.count(&outcome, revised.as_ref().err());
        match revised {
            Ok(revised) => round.revised = Some(revised),
            Err(failure) => round.failure = Some(format!("no revised explanation: {}", failure.message)),
        }
        Ok(round)
    }

    fn ask(&self, request: Request) -> Result<Outcome, ExplainError> {
        let unanswered = || Failure {
            kind: FailureKind::Unreachable,
            message: "there is no answer".to_owned(),
            usage: Usage::default(),
        };
        // A client answers every request or fails.
        Ok(self.client.ask(&[request])?.into_iter().next().unwrap_or_else(|| Err(unanswered())))
    }

    /// What the unit does on sentences, framed as the recorded windows are.
    fn run(&self, unit: UnitId, wanted: &[Wanted]) -> Result<Vec<Tested>, ExplainError> {
        let run = &self.atlas.manifest().run;
        let (ignored, context) = (run.ignored_positions as usize, run.context as usize);
        // Positions are only ignored where every window begins with the begin-of-sequence token.
        let tokenizer: &Tokenizer = self.model.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| ignored > 0);
        let mut sequences = Vec::with_capacity(wanted.len());
        for sentence in wanted {
            let mut tokens: Vec<u32> = bos.into_iter().collect();
            tokens.extend(tokenizer.encode(&sentence.text)?);
            tokens.truncate(context);
            sequences.push(tokens);
        }
        let maximum = self.atlas.profile(unit)?.0.max;
        let found = ModelActivations::new(self.model, BATCH_TOKENS).everywhere(unit, &sequences)?;
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

    /// The request for a revised explanation.
    fn request(&self, unit: UnitId, tested: &str, sentences: &[Tested]) -> Result<Request, ExplainError> {
        let evidence = Evidence::of(self.atlas, unit)?;
        let excerpts = Method::MaxActivating.drafts(&evidence);
        let excerpts = excerpts.first().map_or_else(|| json!([]), |draft| draft.question["excerpts"].clone());
        let shown = sentences.iter().map(|sentence| {
            json!({
                "text": visible(&sentence.text),
                "expected": sentence.expected,
                "fires": sentence.fires,
                "activation": (10.0 * sentence.share.clamp(0.0, 1.0)).floor() as u8,
                "token": visible(&sentence.token),
            })
        });
        let shown: Vec<serde_json::Value> = shown.collect();
        let question = json!({"explanation": visible(tested), "excerpts": excerpts, "sentences": shown});
        let conversation =
            self.prompts.template("revise")?.fill(&json!({"feedback": self.feedback}), &[], &question)?;
        let mut messages = conversation.messages;
        if let Some(begin) = conversation.begin.filter(|_| self.client.capabilities().continues_turn) {
            messages.push(Message::assistant(begin));
        }
        let want = Want::Text(Generation {
            max_tokens: ANSWER_TOKENS,
            stop: vec!["\n".to_owned()],
            ..Generation::default()
        });
        Ok(Request { messages, want, sample: 0 })
    }
}
