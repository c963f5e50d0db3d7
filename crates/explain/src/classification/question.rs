//! Questions that are answered by yes or no: how they are put, and how answers are read.
//!
//! Where the model gives probabilities, one request weighs "Yes" against "No" at the beginning of the answer: the verdict
//! is the likelier one, the probability p(Yes) / (p(Yes) + p(No)). Otherwise one request asks about up to [`TOGETHER`]
//! things by number and wants a JSON list with a 1 or a 0 for each. A list of another length, or with anything else in
//! it, is an answer to none of them.

use glossator_llm::{Capabilities, Generation, Grading, Message, Outcome, Piece, Request, Want};

use crate::score::Judgement;

/// Things that are asked about in one request by models without probabilities.
pub(crate) const TOGETHER: usize = 5;

/// The possible answers to one question.
const CHOICES: [&str; 2] = ["Yes", "No"];

/// How a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One request for each question, weighed by probabilities.
    Graded,
    /// Several questions in one request, answered by a JSON list.
    Listed,
}

impl Way {
    /// The way that suits a model.
    pub fn of(capabilities: Capabilities) -> Self {
        if capabilities.grades { Self::Graded } else { Self::Listed }
    }
}

/// What is asked, but for the things that it is asked about.
pub(crate) struct Subject<'a> {
    /// The task, and what the answers mean.
    pub(crate) instructions: &'a str,
    /// Things with their right answers, for an explanation of their own.
    pub(crate) demonstrations: &'a [Demonstration],
    /// The explanation.
    pub(crate) explanation: &'a str,
    /// The question about one thing, such as "Does the text fit?".
    pub(crate) question: &'a str,
    /// What a thing is called, such as "Text".
    pub(crate) thing: &'a str,
}

/// An explanation with things that fit and things that do not.
pub(crate) struct Demonstration {
    pub(crate) explanation: &'static str,
    pub(crate) things: &'static [(&'static str, bool)],
}

impl Subject<'_> {
    /// The requests about `things`, in order.
    pub(crate) fn requests(&self, way: Way, things: &[String]) -> Vec<Request> {
        match way {
            Way::Graded => things.iter().map(|thing| self.graded(thing)).collect(),
            Way::Listed => things.chunks(TOGETHER).map(|things| self.listed(things)).collect(),
        }
    }

    fn graded(&self, thing: &str) -> Request {
        let turn = |explanation: &str, thing: &str| {
            Message::user(format!(
                "Explanation: {explanation}\n{}: {thing}\n{} Answer Yes or No.",
                self.thing, self.question
            ))
        };
        let mut messages = vec![Message::system(self.instructions)];
        for demonstration in self.demonstrations {
            for (thing, fits) in demonstration.things {
                messages.push(turn(demonstration.explanation, thing));
                messages.push(Message::assistant(CHOICES[usize::from(!fits)]));
            }
        }
        messages.push(turn(self.explanation, thing));
        let grading = Grading {
            choices: CHOICES.map(str::to_owned).to_vec(),
            text: vec![Piece::Asked(CHOICES[0].to_owned())],
        };
        Request { messages, want: Want::Grades(grading), sample: 0 }
    }

    fn listed(&self, things: &[String]) -> Request {
        let turn = |explanation: &str, things: &[String]| {
            let numbered =
                things.iter().enumerate().map(|(place, thing)| format!("{}. {thing}\n", place + 1));
            Message::user(format!(
                "Explanation: {explanation}\n{}s:\n{}{} Answer with a JSON list of {} numbers, 1 for yes and 0 for no.",
                self.thing,
                numbered.collect::<String>(),
                self.question,
                things.len()
            ))
        };
        let mut messages = vec![Message::system(self.instructions)];
        for demonstration in self.demonstrations {
            let things: Vec<String> =
                demonstration.things.iter().map(|(thing, _)| (*thing).to_owned()).collect();
            messages.push(turn(demonstration.explanation, &things));
            let answers: Vec<u8> = demonstration.things.iter().map(|(_, fits)| u8::from(*fits)).collect();
            messages.push(Message::assistant(serde_json::json!(answers).to_string()));
        }
        messages.push(turn(self.explanation, things));
        let schema = serde_json::json!({
            "type": "array", "items": {"enum": [0, 1]}, "minItems": things.len(), "maxItems": things.len(),
        });
        let generation = Generation {
            max_tokens: 16 + 4 * things.len() as u32,
            json_schema: Some(schema),
            ..Generation::default()
        };
        Request { messages, want: Want::Text(generation), sample: 0 }
    }
}

/// The judgements on things of these truths, from the outcomes of [`Subject::requests`].
pub(crate) fn judgements(way: Way, truths: &[bool], outcomes: &[Outcome]) -> Vec<Judgement> {
    match way {
        Way::Graded => truths.iter().zip(outcomes).map(|(truth, outcome)| graded(*truth, outcome)).collect(),
        Way::Listed => {
            let chunks = truths.chunks(TOGETHER).zip(outcomes);
            chunks.flat_map(|(truths, outcome)| listed(truths, outcome)).collect()
        }
    }
}

fn graded(truth: bool, outcome: &Outcome) -> Judgement {
    let probability = outcome.as_ref().ok().and_then(|answer| match answer.grades.as_slice() {
        [distribution] if distribution.0.len() == CHOICES.len() => distribution.expectation(&[1.0, 0.0]),
        _ => None,
    });
    let probability = probability.map(f64::from).filter(|probability| probability.is_finite());
    Judgement { truth, verdict: probability.map(|probability| probability > 0.5), probability }
}

fn listed(truths: &[bool], outcome: &Outcome) -> Vec<Judgement> {
    let answers = outcome.as_ref().ok().and_then(|answer| read_list(&answer.text, truths.len()));
    let verdict = |place: usize| answers.as_ref().map(|answers: &Vec<bool>| answers[place]);
    let judgement = |(place, truth): (usize, &bool)| Judgement {
        truth: *truth,
        verdict: verdict(place),
        probability: None,
    };
    truths.iter().enumerate().map(judgement).collect()
}

/// A JSON list of exactly `count` zeros and ones, alone or in a fenced block.
fn read_list(text: &str, count: usize) -> Option<Vec<bool>> {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    let text = inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text);
    let numbers: Vec<u8> = serde_json::from_str(text.trim()).ok()?;
    let answers = numbers.iter().map(|number| (*number <= 1).then_some(*number == 1));
    answers.collect::<Option<Vec<bool>>>().filter(|answers| answers.len() == count)
}

#[cfg(test)]
mod tests {
    use glossator_llm::{Answer, Distribution, Failure, FailureKind, Usage};

    use super::*;

    fn subject() -> Subject<'static> {
        Subject {
            instructions: "Judge.",
            demonstrations: &[Demonstration {
                explanation: "months",
                things: &[("in May", true), ("he may", false)],
            }],
            explanation: "digits",
            question: "Does it fit?",
            thing: "Text",
        }
    }

    fn things(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("text {number}")).collect()
    }

    #[allow(clippy::unnecessary_wraps, reason = "outcomes are results")]
    fn text(text: &str) -> Outcome {
        Ok(Answer { text: text.to_owned(), ..Answer::default() })
    }

    #[allow(clippy::unnecessary_wraps, reason = "outcomes are results")]
    fn grades(yes: f32, no: f32) -> Outcome {
        Ok(Answer { grades: vec![Distribution(vec![yes, no])], ..Answer::default() })
    }

    fn refused() -> Outcome {
        Err(Failure { kind: FailureKind::Refused, message: String::new(), usage: Usage::default() })
    }

    #[test]
    fn graded_questions_share_all_but_their_ends() {
        let requests = subject().requests(Way::Graded, &things(7));
        assert_eq!(requests.len(), 7);
        assert_eq!(requests[0].messages.len(), 6, "instructions, two demonstrations, the question");
        assert_eq!(requests[0].messages[..5], requests[6].messages[..5]);
        let last = &requests[6].messages[5].content;
        assert_eq!(last, "Explanation: digits\nText: text 6\nDoes it fit? Answer Yes or No.");
        assert_eq!(requests[0].messages[2].content, "Yes");
    }

    #[test]
    fn graded_answers() {
        let outcomes = [grades(0.6, 0.2), grades(0.1, 0.3), grades(0.0, 0.0), refused(), text("Yes")];
        let judged = judgements(Way::Graded, &[true, true, false, false, true], &outcomes);
        let verdicts: Vec<Option<bool>> = judged.iter().map(|judgement| judgement.verdict).collect();
        assert_eq!(verdicts, [Some(true), Some(false), None, None, None]);
        assert!((judged[0].probability.unwrap() - 0.75).abs() < 1e-6);
        assert_eq!(judged[2].probability, None);
    }

    #[test]
    fn the_last_few_are_asked_too() {
        let requests = subject().requests(Way::Listed, &things(7));
        assert_eq!(requests.len(), 2);
        let last = &requests[1].messages.last().unwrap().content;
        assert!(last.contains("1. text 5\n2. text 6\n") && last.contains("JSON list of 2 numbers"), "{last}");
        let truths = [true, false, true, false, true, false, true];
        let judged =
            judgements(Way::Listed, &truths, &[text("[1, 0, 0, 0, 1]"), text("```json\n[0,1]\n```")]);
        let verdicts: Vec<Option<bool>> = judged.iter().map(|judgement| judgement.verdict).collect();
        let expected = [true, false, false, false, true, false, true].map(Some);
        assert_eq!(verdicts, expected);
        assert_eq!(judged.iter().map(|judgement| judgement.truth).collect::<Vec<_>>(), truths);
    }

    #[test]
    fn what_cannot_be_read_answers_nothing() {
        for wrong in [
            "",
            "yes",
            "[1, 0]",
            "[1, 0, 1, 1]",
            "[1, 0, 2]",
            "[1, 0, -1]",
            "[1, 0, 0.5]",
            "[true, 1, 0]",
            "{\"a\": [1, 0, 1]}",
            "The answers are [1, 0, 1]",
            "[1, 0, 1",
        ] {
            assert_eq!(read_list(wrong, 3), None, "{wrong}");
        }
        let judged = judgements(Way::Listed, &[true, false, true], &[refused()]);
        assert!(judged.iter().all(|judgement| judgement.verdict.is_none()) && judged.len() == 3);
    }
}
