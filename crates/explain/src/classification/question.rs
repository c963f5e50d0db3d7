//! Questions that are answered by yes or no: how they are put, and how answers are read.
//!
//! Where the model gives probabilities, one request weighs "Yes" against "No" at the beginning of the answer: the verdict
//! is the likelier one, the probability p(Yes) / (p(Yes) + p(No)). Otherwise one request asks about up to [`TOGETHER`]
//! things by number and wants a JSON list with a 1 or a 0 for each. A list of another length, or with anything else in
//! it, is an answer to none of them.

use glossator_llm::{Capabilities, Generation, Grading, Message, Outcome, Piece, Request, Want};
use serde_json::{Value, json};

use crate::prompts::{JudgedExample, PromptError, Prompts, described};
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
    /// The scorer, whose prompt is `judge-NAME.txt`.
    pub(crate) scorer: &'static str,
    /// Where its prompt and its worked examples are.
    pub(crate) prompts: &'a Prompts,
    /// The explanation.
    pub(crate) explanation: &'a str,
}

impl Subject<'_> {
    /// The requests about `things`, in order.
    pub(crate) fn requests(&self, way: Way, things: &[String]) -> Result<Vec<Request>, PromptError> {
        match way {
            Way::Graded => things.iter().map(|thing| self.graded(thing)).collect(),
            Way::Listed => things.chunks(TOGETHER).map(|things| self.listed(things)).collect(),
        }
    }

    fn graded(&self, thing: &str) -> Result<Request, PromptError> {
        let mut examples = Vec::new();
        for example in self.prompts.judged_examples(self.scorer) {
            examples.extend(example.things.iter().map(|(thing, fits)| {
                json!({
                    "explanation": example.explanation, "things": [thing], "listed": false,
                    "answer": CHOICES[usize::from(!fits)],
                })
            }));
        }
        let messages = self.messages(&examples, &json!([thing]), false)?;
        let grading = Grading {
            choices: CHOICES.map(str::to_owned).to_vec(),
            text: vec![Piece::Asked(CHOICES[0].to_owned())],
        };
        Ok(Request { messages, want: Want::Grades(grading), sample: 0 })
    }

    fn listed(&self, things: &[String]) -> Result<Request, PromptError> {
        let example = |example: &JudgedExample| {
            let (things, fits): (Vec<&str>, Vec<u8>) =
                example.things.iter().map(|(thing, fits)| (thing.as_str(), u8::from(*fits))).unzip();
            json!({
                "explanation": example.explanation, "things": things, "listed": true,
                "answer": json!(fits).to_string(),
            })
        };
        let examples: Vec<Value> = self.prompts.judged_examples(self.scorer).iter().map(example).collect();
        let messages = self.messages(&examples, &json!(things), true)?;
        let schema = json!({
            "type": "array", "items": {"enum": [0, 1]}, "minItems": things.len(), "maxItems": things.len(),
        });
        let generation = Generation {
            max_tokens: 16 + 4 * things.len() as u32,
            json_schema: Some(schema),
            ..Generation::default()
        };
        Ok(Request { messages, want: Want::Text(generation), sample: 0 })
    }

    /// The whole conversation about `things`.
    pub(crate) fn messages(
        &self,
        examples: &[Value],
        things: &Value,
        listed: bool,
    ) -> Result<Vec<Message>, PromptError> {
        let template = self.prompts.template(&format!("judge-{}", self.scorer))?.without_begin()?;
        let explanation = described(self.explanation);
        let question = json!({"explanation": explanation, "things": things, "listed": listed});
        Ok(template.fill(&json!({}), examples, &question)?.messages)
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

    fn requests(way: Way, things: &[String]) -> Vec<Request> {
        let prompts = Prompts::builtin().unwrap();
        let subject = Subject { scorer: "detection", prompts: &prompts, explanation: "digits\n<|im_end|>" };
        subject.requests(way, things).unwrap()
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
        let requests = requests(Way::Graded, &things(7));
        assert_eq!(requests.len(), 7);
        assert_eq!(requests[0].messages.len(), 10, "instructions, four worked examples, the question");
        assert_eq!(requests[0].messages[..9], requests[6].messages[..9]);
        let last = &requests[6].messages[9].content;
        assert_eq!(
            last,
            "Explanation: digits \\<|im_end|\\>\nText: text 6\n\
             Does what the explanation describes occur? Answer Yes or No."
        );
        assert_eq!(
            (requests[0].messages[2].content.as_str(), &*requests[0].messages[4].content),
            ("Yes", "No")
        );
    }

    #[test]
    fn prompts_can_be_edited_but_nothing_may_stand_before_an_answer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("judge-detection.txt");
        let asked = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let prompts = Prompts::builtin().unwrap().with(directory.path()).unwrap();
            let subject = Subject { scorer: "detection", prompts: &prompts, explanation: "digits" };
            subject.requests(Way::Graded, &things(1)).map_err(|error| error.to_string())
        };
        let edited = "@@ system\nJudge.\n@@ user\n{{ explanation }} in {{ things[0] }}?\n";
        let messages = &asked(edited).unwrap()[0].messages;
        assert_eq!(messages.len(), 2, "without an answer there are no worked examples");
        assert_eq!(messages[1].content, "digits in text 0?");
        let error = asked(&format!("{edited}@@ begin\nWell,\n")).unwrap_err();
        assert!(error.contains("judge-detection.txt") && error.contains("begin"), "{error}");
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
        let requests = requests(Way::Listed, &things(7));
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1].messages[2].content, "[1,0]");
        let last = &requests[1].messages.last().unwrap().content;
        assert_eq!(
            last,
            "Explanation: digits \\<|im_end|\\>\nTexts:\n1. text 5\n2. text 6\nDoes what the explanation describes \
             occur? Answer with a JSON list of 2 numbers, 1 for yes and 0 for no."
        );
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
