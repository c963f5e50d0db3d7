//! Does revision repair an explanation that is nearly right? Each false explanation of a puzzle goes through the rounds of
//! [`crate::revision`]: "the word 'all'" for a unit that fires on "not all" is put to the test with sentences, on which the
//! puzzle's rule says what the unit does. The round is chosen by the texts that explainers are shown, and scored on the others.

use glossator_llm::{Client, Outcome, Request};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{FIRING, Judge, Puzzle, Shown, Trial, example};
use crate::ExplainError;
use crate::classification::Example;
use crate::prompts::Prompts;
use crate::revision::{EACH, FIRES, Feedback, Log, Part, Rounds, Subject, Tested, Wanted};
use crate::simulating::Watch;
use crate::tally::Tally;
use crate::words::Evidence;

/// Revises the false explanations of puzzles.
pub struct Repairing<'a> {
    /// The puzzles, those too whose texts are drawn as feedback.
    pub puzzles: &'a [Puzzle],
    /// Who scores.
    pub judge: Judge,
    /// The explainer.
    pub client: &'a Client,
    /// What is asked.
    pub prompts: &'a Prompts,
    /// Rounds.
    pub rounds: u32,
    /// What goes back in each.
    pub feedback: Feedback,
    /// Who sees the running totals.
    pub watch: Watch<'a>,
}

/// A false explanation that went through the rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repair {
    /// The puzzle.
    pub puzzle: String,
    /// The true explanation.
    pub truth: String,
    /// All rounds. The choice is by the texts that were shown (`valid`), the score on the others (`test`).
    pub log: Log,
}

impl Repairing<'_> {
    /// Revises every false explanation of `puzzle`.
    pub fn run(&self, puzzle: &Puzzle) -> Result<Vec<Repair>, ExplainError> {
        let subject = || Made { by: self, puzzle, shown: Shown::new(puzzle) };
        let subjects: Vec<(Made<'_>, String)> =
            puzzle.wrong.iter().map(|wrong| (subject(), wrong.clone())).collect();
        let Self { client, prompts, rounds, feedback, watch, .. } = *self;
        let revised = Rounds { client, prompts, count: rounds, feedback, watch }.run(&subjects)?;
        let repair = |log| Repair { puzzle: puzzle.name.clone(), truth: puzzle.truth.clone(), log };
        Ok(revised.into_iter().map(|revised| repair(revised.log)).collect())
    }
}

/// A made-up unit as the subject of a revision.
struct Made<'a> {
    by: &'a Repairing<'a>,
    puzzle: &'a Puzzle,
    shown: Shown,
}

impl Made<'_> {
    fn trial(&self, explanation: &str, on: Part) -> Trial<'_> {
        let texts = match on {
            Part::Choosing => &self.puzzle.shown,
            Part::Unseen => &self.puzzle.scored,
        };
        Trial::of_found(texts, self.by.judge, explanation)
    }

    fn tested(&self, text: &str, expected: Option<bool>) -> Tested {
        let Example { tokens, activations, .. } = example(self.puzzle.rule, 0, text);
        let highest = activations.iter().copied().fold(0.0, f32::max);
        let place = activations.iter().position(|activation| *activation == highest).unwrap_or(0);
        let share = highest / FIRING;
        Tested {
            text: text.to_owned(),
            expected,
            share,
            token: tokens.get(place).cloned().unwrap_or_default(),
            fires: share >= FIRES,
        }
    }
}

impl Subject for Made<'_> {
    fn evidence(&self) -> Result<Evidence<'_>, ExplainError> {
        Ok(self.shown.evidence())
    }

    fn tried(&self, wanted: &[Wanted]) -> Result<Vec<Tested>, ExplainError> {
        Ok(wanted.iter().map(|sentence| self.tested(&sentence.text, Some(sentence.fires))).collect())
    }

    /// Texts of other puzzles.
    fn drawn(&self, round: u32) -> Result<Vec<Tested>, ExplainError> {
        let others = self.by.puzzles.iter().filter(|other| other.name != self.puzzle.name);
        let mut texts: Vec<String> =
            others.flat_map(|other| &other.shown).map(|text| text.tokens.concat()).collect();
        let own = xxh3_64_with_seed(self.puzzle.name.as_bytes(), u64::from(round));
        texts.sort_by_key(|text| xxh3_64_with_seed(text.as_bytes(), own));
        texts.truncate(2 * EACH);
        Ok(texts.iter().map(|text| self.tested(text, None)).collect())
    }

    fn simulation(&self, explanation: &str, on: Part) -> Result<Vec<Request>, ExplainError> {
        Ok(self.trial(explanation, on).requests(self.by.prompts, self.by.client.capabilities())?)
    }

    fn correlation(&self, on: Part, outcomes: &[Outcome], tally: &mut Tally) -> Option<f64> {
        outcomes.iter().for_each(|outcome| tally.count(outcome, outcome.as_ref().err()));
        let trial = self.trial("", on).read(self.by.client.capabilities(), outcomes);
        trial.scores.first().and_then(|(_, score)| *score)
    }
}

#[cfg(test)]
mod tests {
    use glossator_llm::{Answer, Capabilities, Distribution, LanguageModel, Piece, Role, Want};

    use super::super::all;
    use super::*;
    use crate::simulate::Simulator;

    /// Begins with "the word 'all'", and sees from the first sentence that goes against it what is missing.
    struct Attentive;

    impl LanguageModel for Attentive {
        fn name(&self) -> &'static str {
            "attentive"
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities { grades: true, number_ten: true, json_schema: true, ..Capabilities::default() }
        }

        fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
            for (place, request) in requests.iter().enumerate() {
                answered(place, Ok(answer(request)));
            }
        }

        fn estimate_prompt_tokens(&self, _: &Request) -> u64 {
            1
        }
    }

    fn answer(request: &Request) -> Answer {
        let question = &request.messages.iter().rfind(|message| message.role == Role::User).unwrap().content;
        match &request.want {
            Want::Text(generation) if generation.json_schema.is_some() => Answer {
                text:
                    r#"{"fires": ["All of it is gone.", "They are not all here."], "silent": ["None came."]}"#
                        .into(),
                ..Answer::default()
            },
            Want::Text(_) => {
                let seen = question.contains("AGAINST the explanation");
                let text =
                    if seen { "the word 'not' directly before the word 'all'." } else { "the word 'all'." };
                Answer { text: text.into(), ..Answer::default() }
            }
            Want::Grades(grading) => {
                let texts: Vec<&str> = grading
                    .text
                    .iter()
                    .filter_map(|piece| match piece {
                        Piece::Text(text) => text.rsplit('\n').next()?.strip_suffix('\t'),
                        Piece::Asked(_) => None,
                    })
                    .collect();
                let grade = |at: usize| {
                    let fires = if question.contains("directly before") {
                        texts[at] == " not" && texts.get(at + 1) == Some(&" all")
                    } else {
                        texts[at].trim().eq_ignore_ascii_case("all")
                    };
                    Distribution((0..=10).map(|number| f32::from(number == 10 * u8::from(fires))).collect())
                };
                Answer { grades: (0..texts.len()).map(grade).collect(), ..Answer::default() }
            }
        }
    }

    fn repairs(feedback: Feedback) -> Vec<Repair> {
        let puzzles = all().unwrap();
        let client = Client::new(Box::new(Attentive));
        let prompts = Prompts::builtin().unwrap();
        let judge = Judge::Simulation(Simulator::Grades);
        let repairing = Repairing {
            puzzles: &puzzles,
            judge,
            client: &client,
            prompts: &prompts,
            rounds: 2,
            feedback,
            watch: &|_| {},
        };
        repairing.run(puzzles.iter().find(|puzzle| puzzle.name == "not-before-all").unwrap()).unwrap()
    }

    #[test]
    fn all_becomes_not_all() {
        let repairs = repairs(Feedback::Tests);
        let log = &repairs.iter().find(|one| one.log.initial == "the word 'all'").unwrap().log;
        assert_eq!((log.kept, log.kept_text()), (Some(0), repairs[0].truth.as_str()));
        assert!(log.kept_test > Some(0.99) && log.gain().unwrap() > 0.5, "{log:?}");
        insta::assert_snapshot!(log.transcript());
    }

    #[test]
    fn what_nothing_contradicts_stays() {
        for feedback in [Feedback::Nothing, Feedback::Random] {
            let repairs = repairs(feedback);
            let log = &repairs.iter().find(|one| one.log.initial == "the word 'all'").unwrap().log;
            assert_eq!((log.kept, log.gain()), (None, Some(0.0)), "{feedback}");
            let texts = if feedback == Feedback::Random { 2 * EACH } else { 0 };
            assert!(log.rounds.iter().all(|round| round.sentences.len() == texts), "{feedback}");
        }
    }
}
