//! Fuzzing: are the marked tokens those on which the unit fires (Paulo et al. 2024, section 4)?
//!
//! Texts on which the unit fires are marked where it does. What they are told from has as many marks: every text on
//! which it does not fire takes its number of marks from one of the others in turn, at random places, and every text on
//! which it does fire is asked about a second time with its marks moved to tokens on which it does not. Were there fewer
//! or more marks in one kind, a judge could count them and know nothing.

use glossator_llm::{Outcome, Request};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::example::{Example, Source};
use super::question::{Subject, Way, judgements};
use crate::prompts::{PromptError, Prompts};
use crate::score::Judgement;

/// A text with its marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Marked {
    /// The text; its source is [`Source::Misplaced`] if the marks were moved.
    pub example: Example,
    /// The marked positions, rising.
    pub marks: Vec<usize>,
    /// Whether they are where the unit fires.
    pub right: bool,
}

/// The texts of `examples` with marks, and those on which the unit fires again with misplaced marks.
pub fn marked(examples: &[Example], seed: u64) -> Vec<Marked> {
    let firing: Vec<(&Example, Vec<usize>)> =
        examples.iter().filter(|example| example.fires).map(|example| (example, example.firing())).collect();
    let counts: Vec<usize> = firing.iter().map(|(_, marks)| marks.len()).collect();
    let mut texts: Vec<Marked> = firing
        .iter()
        .map(|(example, marks)| Marked { example: (*example).clone(), marks: marks.clone(), right: true })
        .collect();
    for (example, marks) in &firing {
        let free: Vec<usize> =
            (0..example.tokens.len()).filter(|position| !marks.contains(position)).collect();
        // A text that is marked nearly everywhere has no room for as many wrong marks.
        if free.len() >= marks.len() {
            let example = Example { source: Source::Misplaced, ..(*example).clone() };
            let marks = drawn(&free, marks.len(), example.window, seed);
            texts.push(Marked { example, marks, right: false });
        }
    }
    let others = examples.iter().filter(|example| !example.fires);
    for (example, count) in others.zip(counts.iter().cycle()) {
        let all: Vec<usize> = (0..example.tokens.len()).collect();
        let marks = drawn(&all, (*count).min(all.len()), example.window, seed);
        texts.push(Marked { example: example.clone(), marks, right: false });
    }
    texts
}

/// `count` of `positions`, drawn by hash, rising.
fn drawn(positions: &[usize], count: usize, window: u32, seed: u64) -> Vec<usize> {
    let key = |position: &usize| {
        xxh3_64_with_seed(&[u64::from(window), *position as u64].map(u64::to_le_bytes).concat(), seed)
    };
    let mut drawn = positions.to_vec();
    drawn.sort_by_key(key);
    drawn.truncate(count);
    drawn.sort_unstable();
    drawn
}

/// The requests that ask about `texts`, in order.
pub fn requests(
    prompts: &Prompts,
    way: Way,
    explanation: &str,
    texts: &[Marked],
) -> Result<Vec<Request>, PromptError> {
    let shown: Vec<String> = texts.iter().map(|text| text.example.shown(&text.marks)).collect();
    Subject { scorer: "fuzzing", prompts, explanation }.requests(way, &shown)
}

/// The judgements on `texts`, from the outcomes of [`requests`].
pub fn judge(way: Way, texts: &[Marked], outcomes: &[Outcome]) -> Vec<Judgement> {
    let truths: Vec<bool> = texts.iter().map(|text| text.right).collect();
    judgements(way, &truths, outcomes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example(window: u32, activations: Vec<f32>, fires: bool) -> Example {
        let tokens = (0..activations.len()).map(|position| format!(" {position}")).collect();
        let source = if fires { Source::Top } else { Source::Random };
        Example { window, source, fires, tokens, activations }
    }

    proptest! {
        /// Whoever only counts marks learns nothing: right and wrong texts have the same numbers of marks.
        #[test]
        fn marks_are_as_many_where_they_are_wrong(
            firing in prop::collection::vec(prop::collection::vec(0.0_f32..1.0, 8..30), 1..6), others in 1_usize..12, seed in 0_u64..9,
        ) {
            let mut examples: Vec<Example> = Vec::new();
            for (window, activations) in firing.into_iter().enumerate() {
                examples.push(example(window as u32, activations, true));
            }
            for window in 0..others {
                examples.push(example(100 + window as u32, vec![0.1; 30], false));
            }
            let texts = marked(&examples, seed);
            let right: Vec<usize> = texts.iter().filter(|text| text.right).map(|text| text.marks.len()).collect();
            let mut expected = right.iter().cycle();
            for text in &texts {
                prop_assert!(text.marks.windows(2).all(|pair| pair[0] < pair[1]));
                if text.right {
                    prop_assert_eq!(&text.marks, &text.example.firing());
                } else if text.example.source == Source::Misplaced {
                    let firing = text.example.firing();
                    prop_assert_eq!(text.marks.len(), firing.len());
                    prop_assert!(text.marks.iter().all(|mark| !firing.contains(mark)));
                } else {
                    prop_assert_eq!(Some(&text.marks.len()), expected.next());
                }
            }
            prop_assert_eq!(texts.iter().filter(|text| text.example.source == Source::Random).count(), others);
            prop_assert_eq!(&texts, &marked(&examples, seed));
        }
    }

    #[test]
    fn marks_are_shown() {
        let texts = marked(&[example(1, vec![0.0, 5.0, 0.0], true), example(2, vec![0.0; 3], false)], 0);
        let requests = requests(&Prompts::builtin().unwrap(), Way::Graded, "x", &texts).unwrap();
        assert_eq!(requests.len(), 3);
        let asked: Vec<&str> =
            requests.iter().map(|request| request.messages.last().unwrap().content.as_str()).collect();
        assert!(asked[0].contains("Text:  0<< 1>> 2\n"), "{}", asked[0]);
        assert!(asked[1..].iter().all(|asked| asked.matches("<<").count() == 1));
    }
}
