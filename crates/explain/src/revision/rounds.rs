//! The rounds of a revision, for several subjects at once.

use std::ops::Range;

use glossator_llm::{Client, Outcome, Request};
use serde_json::Value;

use super::{Feedback, Log, Round, Tested, Wanted, rewriting, sentences};
use crate::ExplainError;
use crate::prompts::Prompts;
use crate::simulating::Watch;
use crate::tally::Tally;
use crate::words::{Echo, Evidence, answer};

/// What an explanation is of, and can be tested on: a unit of a subject model, or a made-up one.
pub(crate) trait Subject {
    /// What the explainer saw of it.
    fn evidence(&self) -> Result<Evidence<'_>, ExplainError>;

    /// What it does on sentences.
    fn tried(&self, wanted: &[Wanted]) -> Result<Vec<Tested>, ExplainError>;

    /// What it does on texts that are drawn at random, others in each round.
    fn drawn(&self, round: u32) -> Result<Vec<Tested>, ExplainError>;

    /// The requests that simulate an explanation on its texts of a kind.
    fn simulation(&self, explanation: &str, on: Part) -> Result<Vec<Request>, ExplainError>;

    /// The correlation, where it is defined, from the outcomes of these requests, which are counted in `tally`.
    fn correlation(&self, on: Part, outcomes: &[Outcome], tally: &mut Tally) -> Option<f64>;
}

/// The texts on which explanations are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Those by which a round is chosen.
    Choosing,
    /// Those that nobody has seen, neither the explanations nor the choice.
    Unseen,
}

/// What is asked, how often, and of whom.
pub(crate) struct Rounds<'a> {
    /// The explainer, who simulates too.
    pub(crate) client: &'a Client,
    /// What is asked.
    pub(crate) prompts: &'a Prompts,
    /// How many.
    pub(crate) count: u32,
    /// What goes back in each.
    pub(crate) feedback: Feedback,
    /// Who sees the running totals.
    pub(crate) watch: Watch<'a>,
}

/// What came of a subject's rounds, and what was asked in them.
pub(crate) struct Revised {
    pub(crate) log: Log,
    pub(crate) tally: Tally,
}

impl Rounds<'_> {
    /// Revises the explanation of each subject.
    pub(crate) fn run<S: Subject>(&self, subjects: &[(S, String)]) -> Result<Vec<Revised>, ExplainError> {
        let begin = |(_, initial): &(S, String)| Revised { log: Log::of(initial), tally: Tally::default() };
        let mut revised: Vec<Revised> = subjects.iter().map(begin).collect();
        let initial = |log: &Log| Some(log.initial.clone());
        for (of, valid) in self.correlations(subjects, &mut revised, Part::Choosing, initial)? {
            revised[of].log.initial_valid = valid;
        }
        for number in 0..self.count {
            self.round(subjects, &mut revised, number)?;
            let last = |log: &Log| log.rounds.last()?.revised.clone();
            for (of, valid) in self.correlations(subjects, &mut revised, Part::Choosing, last)? {
                revised[of].log.judge_last(valid);
            }
        }
        for (of, test) in self.correlations(subjects, &mut revised, Part::Unseen, initial)? {
            (revised[of].log.initial_test, revised[of].log.kept_test) = (test, test);
        }
        let kept = |log: &Log| log.kept.map(|_| log.kept_text().to_owned());
        for (of, test) in self.correlations(subjects, &mut revised, Part::Unseen, kept)? {
            revised[of].log.kept_test = test;
        }
        Ok(revised)
    }

    /// The correlations of the explanations that `of` takes from the logs; by the places of those subjects for which there is one.
    fn correlations<S: Subject>(
        &self,
        subjects: &[(S, String)],
        revised: &mut [Revised],
        on: Part,
        of: impl Fn(&Log) -> Option<String>,
    ) -> Result<Vec<(usize, Option<f64>)>, ExplainError> {
        let mut requests: Vec<Request> = Vec::new();
        let mut asked: Vec<(usize, Range<usize>)> = Vec::new();
        for (place, revised) in revised.iter().enumerate() {
            if let Some(explanation) = of(&revised.log) {
                let before = requests.len();
                requests.extend(subjects[place].0.simulation(&explanation, on)?);
                asked.push((place, before..requests.len()));
            }
        }
        let outcomes = self.client.ask_with(&requests, self.watch)?;
        let read = asked.into_iter().map(|(place, range)| {
            let tally = &mut revised[place].tally;
            (place, subjects[place].0.correlation(on, &outcomes[range], tally))
        });
        Ok(read.collect())
    }

    /// One round of every subject, whose result is added to its log.
    fn round<S: Subject>(
        &self,
        subjects: &[(S, String)],
        revised: &mut [Revised],
        number: u32,
    ) -> Result<(), ExplainError> {
        let mut rounds: Vec<Round> =
            revised.iter().map(|revised| Round::of(revised.log.current_text())).collect();
        match self.feedback {
            Feedback::Tests => self.test(subjects, revised, &mut rounds, number)?,
            Feedback::Random => {
                for ((subject, _), round) in subjects.iter().zip(&mut rounds) {
                    round.sentences = subject.drawn(number)?;
                }
            }
            Feedback::Nothing => {}
        }
        self.rewrite(subjects, revised, &mut rounds)?;
        for (revised, round) in revised.iter_mut().zip(rounds) {
            revised.log.rounds.push(round);
        }
        Ok(())
    }

    /// Has the explainer write sentences, and every subject run its own.
    fn test<S: Subject>(
        &self,
        subjects: &[(S, String)],
        revised: &mut [Revised],
        rounds: &mut [Round],
        number: u32,
    ) -> Result<(), ExplainError> {
        let capabilities = self.client.capabilities();
        let request = |round: &Round| sentences::request(self.prompts, &round.tested, number, capabilities);
        let requests: Vec<Request> = rounds.iter().map(request).collect::<Result<_, _>>()?;
        let outcomes = self.client.ask_with(&requests, self.watch)?;
        for (place, outcome) in outcomes.iter().enumerate() {
            let wanted = sentences::read(outcome);
            revised[place].tally.count(outcome, wanted.as_ref().err());
            match wanted {
                Ok(wanted) => rounds[place].sentences = subjects[place].0.tried(&wanted)?,
                Err(failure) => {
                    rounds[place].failure = Some(format!("no test sentences: {}", failure.message));
                }
            }
        }
        Ok(())
    }

    /// Asks for a better explanation, in those rounds that have not failed.
    fn rewrite<S: Subject>(
        &self,
        subjects: &[(S, String)],
        revised: &mut [Revised],
        rounds: &mut [Round],
    ) -> Result<(), ExplainError> {
        let asked: Vec<usize> = (0..rounds.len()).filter(|&of| rounds[of].failure.is_none()).collect();
        let template = self.prompts.template("revise")?;
        let (mut requests, mut echoes) = (Vec::with_capacity(asked.len()), Vec::with_capacity(asked.len()));
        for &of in &asked {
            let question = rewriting::question(&subjects[of].0.evidence()?, &rounds[of]);
            requests.push(self.rewriting(&question)?);
            echoes.push(Echo::of(template, &question));
        }
        let outcomes = self.client.ask_with(&requests, self.watch)?;
        for ((of, echo), outcome) in asked.into_iter().zip(echoes).zip(outcomes) {
            let sentence = answer::sentence(&outcome, template.begin(), &echo);
            revised[of].tally.count(&outcome, sentence.as_ref().err());
            match sentence {
                Ok(sentence) => rounds[of].revised = Some(sentence),
                Err(failure) => {
                    rounds[of].failure = Some(format!("no revised explanation: {}", failure.message));
                }
            }
        }
        Ok(())
    }

    /// The request for a better explanation, with what is shown for it.
    pub(super) fn rewriting(&self, question: &Value) -> Result<Request, ExplainError> {
        Ok(rewriting::request(self.prompts, self.client.capabilities(), self.feedback, question)?)
    }
}
