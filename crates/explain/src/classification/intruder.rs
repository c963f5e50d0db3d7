//! Intruder: which of five texts does not belong (after the word intrusion of Chang et al. 2009; Paulo et al. 2025)?
//!
//! In each trial four texts on which the unit fires, marked where it does, stand with one on which it does not, with as
//! many marks as the first of them. With the explanation at hand, accuracy says how well it tells the intruder;
//! without ([`super::NO_EXPLANATION`]) it says how alike the unit's texts are to a reader who knows nothing, which is a
//! property of the unit. Chance is 1/5.

use glossator_llm::{Generation, Grading, Outcome, Piece, Request, Want};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::example::Example;
use super::question::{Subject, Way};
use crate::prompts::{PromptError, Prompts};

/// Texts of a trial.
pub const TEXTS: usize = 5;

/// Five texts with one intruder.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The texts as shown.
    pub texts: [String; TEXTS],
    /// Which of them is the intruder.
    pub intruder: usize,
}

/// A trial for each text on which the unit does not fire; none if it fires on fewer than four.
pub fn trials(examples: &[Example], seed: u64) -> Vec<Trial> {
    let firing: Vec<&Example> = examples.iter().filter(|example| example.fires).collect();
    if firing.len() < TEXTS - 1 {
        return Vec::new();
    }
    let trial = |(number, other): (usize, &Example)| {
        let hash = |what: u64, place: usize| {
            xxh3_64_with_seed(&[number as u64, what, place as u64].map(u64::to_le_bytes).concat(), seed)
        };
        let mut order: Vec<usize> = (0..firing.len()).collect();
        order.sort_by_key(|place| hash(0, *place));
        let marks = firing[order[0]].firing().len();
        let mut places: Vec<usize> = (0..other.tokens.len()).collect();
        places.sort_by_key(|place| hash(1, *place));
        places.truncate(marks);
        let intruder = (hash(2, 0) % TEXTS as u64) as usize;
        let mut belonging = order.iter().map(|place| firing[*place].shown(&firing[*place].firing()));
        let texts = std::array::from_fn(|place| {
            if place == intruder { other.shown(&places) } else { belonging.next().unwrap_or_default() }
        });
        Trial { texts, intruder }
    };
    examples.iter().filter(|example| !example.fires).enumerate().map(trial).collect()
}

/// The requests that put `trials`, in order.
pub fn requests(
    prompts: &Prompts,
    way: Way,
    explanation: &str,
    trials: &[Trial],
) -> Result<Vec<Request>, PromptError> {
    let numbers: Vec<String> = (1..=TEXTS).map(|number| number.to_string()).collect();
    let subject = Subject { scorer: "intruder", prompts, explanation };
    let request = |trial: &Trial| {
        let messages = subject.messages(&[], &json!(trial.texts), true)?;
        let want = match way {
            Way::Graded => Want::Grades(Grading {
                choices: numbers.clone(),
                text: vec![Piece::Asked(numbers[0].clone())],
            }),
            Way::Listed => Want::Text(Generation { max_tokens: 8, ..Generation::default() }),
        };
        Ok(Request { messages, want, sample: 0 })
    };
    trials.iter().map(request).collect()
}

/// Whether each trial's intruder was found; `None` where the answer cannot be read.
pub fn judge(way: Way, trials: &[Trial], outcomes: &[Outcome]) -> Vec<Option<bool>> {
    let found = |(trial, outcome): (&Trial, &Outcome)| Some(named(way, outcome)? == trial.intruder);
    trials.iter().zip(outcomes).map(found).collect()
}

/// The text that an answer names.
fn named(way: Way, outcome: &Outcome) -> Option<usize> {
    let answer = outcome.as_ref().ok()?;
    match way {
        Way::Graded => match answer.grades.as_slice() {
            [distribution] if distribution.0.len() == TEXTS => {
                let probabilities = distribution.0.iter().copied().enumerate();
                // The first of equally likely ones; nothing where no text is likely at all.
                let best = probabilities.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
                (best.1 > 0.0).then_some(best.0)
            }
            _ => None,
        },
        Way::Listed => {
            let number: usize = answer.text.trim().trim_end_matches('.').parse().ok()?;
            (1..=TEXTS).contains(&number).then(|| number - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use glossator_llm::{Answer, Distribution};

    use super::super::example::Source;
    use super::*;

    fn examples(firing: u32, others: u32) -> Vec<Example> {
        let example = |window: u32| Example {
            window,
            source: if window < firing { Source::Top } else { Source::Random },
            fires: window < firing,
            tokens: vec![format!("a{window}"), format!(" b{window}")],
            activations: if window < firing { vec![0.0, 2.0] } else { vec![0.0, 0.1] },
        };
        (0..firing + others).map(example).collect()
    }

    #[test]
    fn each_trial_has_one_intruder_somewhere() {
        let trials = trials(&examples(6, 20), 3);
        assert_eq!(trials.len(), 20);
        for (number, trial) in trials.iter().enumerate() {
            let window = 6 + number;
            assert!(trial.texts[trial.intruder].contains(&format!("a{window}")), "{trial:?}");
            assert_eq!(trial.texts.iter().collect::<BTreeSet<_>>().len(), TEXTS);
            assert!(trial.texts.iter().all(|text| text.matches("<<").count() == 1), "{trial:?}");
        }
        let places: BTreeSet<usize> = trials.iter().map(|trial| trial.intruder).collect();
        assert_eq!(places.len(), TEXTS, "the intruder stands everywhere");
        assert!(super::trials(&examples(3, 9), 0).is_empty());
    }

    #[test]
    fn answers() {
        let trial = Trial { texts: std::array::from_fn(|place| place.to_string()), intruder: 2 };
        let trials = vec![trial; 4];
        let text = |text: &str| Ok(Answer { text: text.to_owned(), ..Answer::default() });
        let outcomes = [text(" 3.\n"), text("1"), text("6"), text("the third")];
        assert_eq!(judge(Way::Listed, &trials, &outcomes), [Some(true), Some(false), None, None]);
        let grades = |values: [f32; 5]| {
            Ok(Answer { grades: vec![Distribution(values.to_vec())], ..Answer::default() })
        };
        let outcomes = [
            grades([0.1, 0.1, 0.5, 0.1, 0.1]),
            grades([0.4, 0.0, 0.3, 0.0, 0.0]),
            grades([0.0; 5]),
            text("3"),
        ];
        assert_eq!(judge(Way::Graded, &trials, &outcomes), [Some(true), Some(false), None, None]);
        let requests = requests(&Prompts::builtin().unwrap(), Way::Graded, "x", &trials[..1]).unwrap();
        assert_eq!(
            requests[0].messages[1].content,
            "Explanation: x\nTexts:\n1. 0\n2. 1\n3. 2\n4. 3\n5. 4\nWhich does not belong? Answer with its number."
        );
    }
}
