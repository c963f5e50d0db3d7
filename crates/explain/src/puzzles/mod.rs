//! Puzzles: made-up units whose truth is known, to test explainers, simulators and scores themselves.
//!
//! The idea is that of the puzzles in OpenAI's automated-interpretability (2023); these are our own. A puzzle is a rule
//! that can be run on any text, texts, a true explanation and three false ones. A simulator or a score is only worth
//! trusting as far as the true explanation outscores the false ones, which are chosen to be nearly right: the token
//! without its context, its neighbour, the wider class.

mod recovery;
mod repair;
mod rules;
mod standing;
mod trial;

use serde::Deserialize;

use crate::classification::{Example, Source};

pub use recovery::{Recovery, Shown};
pub use repair::{Repair, Repairing};
pub use rules::Rule;
pub use standing::{Standing, Standings};
pub use trial::{Candidate, Judge, Trial, TrialOutcome};

/// The puzzles, as they are part of the program.
const FILE: &str = include_str!("puzzles.toml");

/// What a made-up unit does where it fires.
pub const FIRING: f32 = 10.0;

/// A made-up unit.
#[derive(Debug, Clone)]
pub struct Puzzle {
    /// Its name.
    pub name: String,
    /// The true explanation.
    pub truth: String,
    /// Explanations that are nearly right.
    pub wrong: Vec<String>,
    /// What it fires on.
    pub rule: Rule,
    /// Texts for explainers.
    pub shown: Vec<Example>,
    /// Texts for scores.
    pub scored: Vec<Example>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    puzzle: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    truth: String,
    r#false: Vec<String>,
    texts: Vec<String>,
}

/// All puzzles.
///
/// # Errors
/// What is wrong with the file, which a test reads too.
pub fn all() -> Result<Vec<Puzzle>, String> {
    let file: File = toml::from_str(FILE).map_err(|error| error.to_string())?;
    file.puzzle.into_iter().map(puzzle).collect()
}

fn puzzle(entry: Entry) -> Result<Puzzle, String> {
    let rule = rules::rule(&entry.name).ok_or_else(|| format!("{} has no rule", entry.name))?;
    let text = |(place, text): (usize, &String)| example(rule, place as u32, &text.replace(['«', '»'], ""));
    let texts: Vec<Example> = entry.texts.iter().enumerate().map(text).collect();
    let (shown, scored) = texts.into_iter().partition(|text| text.window % 2 == 0);
    Ok(Puzzle { name: entry.name, truth: entry.truth, wrong: entry.r#false, rule, shown, scored })
}

/// A text with what the unit of `rule` does on it.
pub fn example(rule: Rule, number: u32, text: &str) -> Example {
    let tokens = tokens(text);
    let activation = |at: usize| if rule(&tokens, at) { FIRING } else { 0.0 };
    let activations: Vec<f32> = (0..tokens.len()).map(activation).collect();
    let fires = activations.iter().any(|activation| *activation > 0.0);
    let source = if fires { Source::Top } else { Source::NearMiss };
    let tokens = tokens.into_iter().map(str::to_owned).collect();
    Example { window: number, source, fires, tokens, activations }
}

/// Cuts a text into words (with apostrophes), numbers and other characters, each with the space before it.
pub fn tokens(text: &str) -> Vec<&str> {
    let kind = |character: char| match character {
        _ if character.is_alphabetic() || character == '\'' => 0,
        _ if character.is_ascii_digit() => 1,
        _ => 2,
    };
    let mut starts = Vec::new();
    let mut before: Option<char> = None;
    for (place, character) in text.char_indices() {
        let goes_on = before.is_some_and(|before| {
            before == ' ' || (kind(before) == kind(character) && kind(character) != 2 && character != ' ')
        });
        if !goes_on {
            starts.push(place);
        }
        before = Some(character);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_into_words_numbers_and_marks() {
        let expected = ["He", " paid", " $", "40", " (", "or", " 5", "%", "),", " don't"];
        let joined = "He paid $40 (or 5%), don't";
        let found = tokens(joined);
        assert_eq!(found.concat(), joined);
        assert_eq!(found[..8], expected[..8]);
        assert_eq!(found[8..], [")", ",", " don't"]);
    }

    /// The rules say of every text what a person marked in it.
    #[test]
    fn rules_agree_with_the_marks() {
        let file: File = toml::from_str(FILE).unwrap();
        assert!(file.puzzle.len() >= 20);
        for entry in file.puzzle {
            let rule = rules::rule(&entry.name).unwrap();
            for text in &entry.texts {
                let example = example(rule, 0, &text.replace(['«', '»'], ""));
                let mut marked = String::new();
                for (token, activation) in example.tokens.iter().zip(&example.activations) {
                    let word = token.trim_start();
                    marked.push_str(&token[..token.len() - word.len()]);
                    let mark = *activation > 0.0;
                    let (open, close) = if mark { ("«", "»") } else { ("", "") };
                    marked.extend([open, word, close]);
                }
                assert_eq!(&marked, text, "{}", entry.name);
            }
        }
    }

    #[test]
    fn every_puzzle_can_be_explained_and_scored() {
        let puzzles = all().unwrap();
        for puzzle in &puzzles {
            assert_eq!(puzzle.wrong.len(), 3, "{}", puzzle.name);
            assert!(!puzzle.wrong.contains(&puzzle.truth), "{}", puzzle.name);
            for texts in [&puzzle.shown, &puzzle.scored] {
                let firing = texts.iter().filter(|text| text.fires).count();
                assert!(texts.len() == 5 && (2..texts.len()).contains(&firing), "{}: {firing}", puzzle.name);
            }
        }
        let mut names: Vec<&str> = puzzles.iter().map(|puzzle| puzzle.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), puzzles.len());
    }
}
