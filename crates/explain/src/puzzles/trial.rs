//! One puzzle put to one judge: the score of the true explanation and of each false one, on the same texts.

use std::fmt;
use std::str::FromStr;

use glossator_llm::{Capabilities, Outcome, Request};

use super::{FIRING, Puzzle};
use crate::ExplainError;
use crate::classification::{Example, Way, detection, fuzzing};
use crate::prompts::{PromptError, Prompts};
use crate::score::{ClassificationMeasures, Judgement, Resampling, ScoredExcerpt, Scores, Stratum};
use crate::simulate::Simulator;

/// A way to score an explanation in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judge {
    /// [`detection`], by AUROC, or by balanced accuracy where the model gives no probabilities.
    Detection,
    /// [`fuzzing`], by the same.
    Fuzzing,
    /// [`crate::simulate`], by correlation over the tokens of all texts.
    Simulation(Simulator),
}

impl Judge {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Fuzzing => "fuzzing",
            Self::Simulation(simulator) => simulator.name(),
        }
    }
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Judge {
    type Err = ExplainError;

    fn from_str(text: &str) -> Result<Self, ExplainError> {
        match text {
            "detection" => Ok(Self::Detection),
            "fuzzing" => Ok(Self::Fuzzing),
            other => match other.parse() {
                Ok(simulator) => Ok(Self::Simulation(simulator)),
                Err(_) => Err(ExplainError::UnknownJudge { name: other.to_owned() }),
            },
        }
    }
}

/// An explanation that is scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The explanation.
    pub text: String,
    /// Whether it is the true one.
    pub is_true: bool,
}

/// A puzzle with explanations for it, before a judge.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    texts: &'a [Example],
    judge: Judge,
    candidates: Vec<Candidate>,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialOutcome {
    /// The explanations with their scores; `None` where undefined.
    pub scores: Vec<(Candidate, Option<f64>)>,
    /// Requests that were made.
    pub requests: usize,
    /// Texts without a judgement or a simulation.
    pub failures: usize,
}

impl<'a> Trial<'a> {
    /// The true explanation and the false ones of `puzzle` before `judge`.
    pub fn new(puzzle: &'a Puzzle, judge: Judge) -> Self {
        let wrong = puzzle.wrong.iter().map(|text| Candidate { text: text.clone(), is_true: false });
        let truth = Candidate { text: puzzle.truth.clone(), is_true: true };
        Self { texts: &puzzle.scored, judge, candidates: std::iter::once(truth).chain(wrong).collect() }
    }

    /// An explanation that an explainer found, before `judge`, on `texts` of a puzzle.
    pub fn of_found(texts: &'a [Example], judge: Judge, found: &str) -> Self {
        let candidate = Candidate { text: found.to_owned(), is_true: false };
        Self { texts, judge, candidates: vec![candidate] }
    }

    /// The requests for all explanations, one explanation after the other.
    pub fn requests(
        &self,
        prompts: &Prompts,
        capabilities: Capabilities,
    ) -> Result<Vec<Request>, PromptError> {
        let mut requests = Vec::new();
        for candidate in &self.candidates {
            requests.extend(self.requests_of(prompts, capabilities, &candidate.text)?);
        }
        Ok(requests)
    }

    fn requests_of(
        &self,
        prompts: &Prompts,
        capabilities: Capabilities,
        explanation: &str,
    ) -> Result<Vec<Request>, PromptError> {
        let way = Way::of(capabilities);
        match self.judge {
            Judge::Detection => detection::requests(prompts, way, explanation, self.texts),
            Judge::Fuzzing => fuzzing::requests(prompts, way, explanation, &self.marked()),
            Judge::Simulation(simulator) => {
                let mut requests = Vec::new();
                for text in self.texts {
                    let tokens: Vec<&str> = text.tokens.iter().map(String::as_str).collect();
                    requests.extend(simulator.requests(prompts, capabilities, explanation, &tokens)?);
                }
                Ok(requests)
            }
        }
    }

    fn marked(&self) -> Vec<fuzzing::Marked> {
        fuzzing::marked(self.texts, 0)
    }

    /// The scores, from the outcomes of [`Trial::requests`].
    pub fn read(&self, capabilities: Capabilities, outcomes: &[Outcome]) -> TrialOutcome {
        let each = outcomes.len() / self.candidates.len().max(1);
        let mut failures = 0;
        let scores = self.candidates.iter().enumerate().map(|(place, candidate)| {
            let own = &outcomes[place * each..(place + 1) * each];
            let (score, failed) = match self.judge {
                Judge::Detection => classified(&detection::judge(Way::of(capabilities), self.texts, own)),
                Judge::Fuzzing => classified(&fuzzing::judge(Way::of(capabilities), &self.marked(), own)),
                Judge::Simulation(simulator) => self.simulated(simulator, capabilities, own),
            };
            failures += failed;
            (candidate.clone(), score)
        });
        let scores = scores.collect();
        TrialOutcome { scores, requests: outcomes.len(), failures }
    }

    /// The correlation over all texts, and how many have no simulation; undefined if any has none.
    fn simulated(
        &self,
        simulator: Simulator,
        capabilities: Capabilities,
        outcomes: &[Outcome],
    ) -> (Option<f64>, usize) {
        let mut rest = outcomes;
        let mut predictions = Vec::new();
        for text in self.texts {
            let (own, after) = rest.split_at(simulator.calls(text.tokens.len()).min(rest.len()));
            rest = after;
            predictions
                .push(simulator.read(capabilities, text.tokens.len(), own).ok().map(|read| read.shares));
        }
        let failed = predictions.iter().filter(|prediction| prediction.is_none()).count();
        let Some(predictions) = predictions.into_iter().collect::<Option<Vec<Vec<f32>>>>() else {
            return (None, failed);
        };
        let pairs = self.texts.iter().zip(&predictions);
        let excerpts: Vec<ScoredExcerpt<'_>> = pairs
            .map(|(text, prediction)| ScoredExcerpt {
                truth: &text.activations,
                prediction,
                stratum: Stratum::Top,
            })
            .collect();
        let scores = Scores::of(&excerpts, None, FIRING, &Resampling::new(0, 0, 0));
        (scores.top_and_random.correlation.value, 0)
    }
}

/// AUROC, or balanced accuracy where there are no probabilities, and how many texts have no judgement. Undefined if any
/// has none: explanations are only held against each other on the same texts.
fn classified(judgements: &[Judgement]) -> (Option<f64>, usize) {
    let failed = judgements.iter().filter(|judgement| judgement.verdict.is_none()).count();
    if failed > 0 {
        return (None, failed);
    }
    let measures = ClassificationMeasures::of(judgements, &Resampling::new(0, 0, 0));
    (measures.auroc.value.or(measures.balanced_accuracy.value), 0)
}

#[cfg(test)]
mod tests {
    use glossator_llm::{Answer, Distribution};

    use super::super::{Standing, all};
    use super::*;

    fn capabilities() -> Capabilities {
        Capabilities { grades: true, number_ten: true, ..Capabilities::default() }
    }

    /// A judge that knows the truth about every text gives the true explanation the highest score on every puzzle.
    #[test]
    fn who_knows_the_truth_solves_every_puzzle() {
        let prompts = Prompts::builtin().unwrap();
        for judge in [Judge::Detection, Judge::Fuzzing, Judge::Simulation(Simulator::Grades)] {
            let mut outcomes = Vec::new();
            for puzzle in all().unwrap() {
                let trial = Trial::new(&puzzle, judge);
                let requests = trial.requests(&prompts, capabilities()).unwrap();
                let each = requests.len() / trial.candidates.len();
                let answers: Vec<Outcome> = (0..requests.len())
                    .map(|place| knowing(&puzzle, judge, place % each, place < each))
                    .collect();
                let outcome = trial.read(capabilities(), &answers);
                let score = outcome.scores[0].1.unwrap();
                assert!((score - 1.0).abs() < 1e-9, "{judge} {}: {score}", puzzle.name);
                outcomes.push(outcome);
            }
            let standing = Standing::of(&outcomes);
            assert_eq!((standing.solved, standing.right), (standing.puzzles, standing.pairs), "{judge}");
            assert_eq!((standing.undefined, standing.failures), (0, 0));
        }
    }

    /// What a judge answers that follows the true explanation, and on false ones says the opposite.
    #[allow(clippy::unnecessary_wraps, reason = "outcomes are results")]
    fn knowing(puzzle: &Puzzle, judge: Judge, place: usize, is_true: bool) -> Outcome {
        let yes_or_no = |fits: bool| {
            let yes = if fits == is_true { 0.9 } else { 0.1 };
            vec![Distribution(vec![yes, 1.0 - yes])]
        };
        let grades = match judge {
            Judge::Detection => yes_or_no(puzzle.scored[place].fires),
            Judge::Fuzzing => yes_or_no(fuzzing::marked(&puzzle.scored, 0)[place].right),
            Judge::Simulation(_) => {
                let number = |activation: &f32| {
                    let fires = (*activation > 0.0) == is_true;
                    Distribution(
                        (0..=10)
                            .map(|number| if (number == 10) == fires && number % 10 == 0 { 1.0 } else { 0.0 })
                            .collect(),
                    )
                };
                puzzle.scored[place].activations.iter().map(number).collect()
            }
        };
        Ok(Answer { grades, ..Answer::default() })
    }

    #[test]
    fn a_text_without_an_answer_leaves_its_explanation_without_a_score() {
        let puzzle = all().unwrap().remove(0);
        let trial = Trial::new(&puzzle, Judge::Detection);
        let mut answers: Vec<Outcome> =
            (0..20).map(|place| knowing(&puzzle, Judge::Detection, place % 5, place < 5)).collect();
        answers[7] = Ok(Answer::default());
        let outcome = trial.read(capabilities(), &answers);
        assert_eq!((outcome.scores[1].1, outcome.failures), (None, 1));
        assert_eq!(Standing::of(&[outcome]).undefined, 1);
    }
}
