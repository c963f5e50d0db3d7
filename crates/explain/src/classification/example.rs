//! A text that is judged: a piece of a window around the place that matters in it.
//!
//! A text is shown as one line, written as in all prompts ([`crate::prompts::visible`]): nothing in it can end the line or
//! look like a mark, and no answer is looked for in it.

use serde::Serialize;

use crate::prompts::{marked, visible};

/// Tokens of a text that is judged, as in Paulo et al. 2024.
pub const LENGTH: usize = 32;

/// Of them, those after the place that matters.
const AFTER: usize = LENGTH / 4;

/// A token is marked where its activation is at least this share of the text's largest.
const MARKED: f32 = 0.5;

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A window of the unit's top list.
    Top,
    /// A random window.
    Random,
    /// A top window of a unit with a similar output direction, on which the unit itself does not fire.
    Neighbour,
    /// A window with a token that the unit fires on elsewhere, but not here.
    NearMiss,
    /// A window on which the unit fires, with marks where it does not (fuzzing only).
    Misplaced,
}

/// A text with the unit's activations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// The window's number.
    pub window: u32,
    /// Where it comes from.
    pub source: Source,
    /// Whether the unit fires in it.
    pub fires: bool,
    /// `[position]` the texts of the tokens.
    pub tokens: Vec<String>,
    /// `[position]` activations.
    pub activations: Vec<f32>,
}

impl Example {
    /// The piece of a window around `place`: [`LENGTH`] tokens, a quarter of them after it, moved where the window ends
    /// too early. The first `ignored` tokens of the window never belong to it.
    pub fn around(
        place: usize,
        ignored: usize,
        tokens: &[u32],
        activations: &[f32],
        text: impl Fn(u32) -> String,
    ) -> (Vec<String>, Vec<f32>) {
        let length = LENGTH.min(tokens.len().saturating_sub(ignored));
        let last = (place + AFTER + 1).clamp(ignored + length, tokens.len().max(ignored + length));
        let range = last - length..last.min(tokens.len());
        (tokens[range.clone()].iter().map(|token| text(*token)).collect(), activations[range].to_vec())
    }

    /// The positions on which the unit fires most, which are at least half of the text's maximum; none in a text whose
    /// maximum is not above zero.
    pub fn firing(&self) -> Vec<usize> {
        let maximum = self.activations.iter().copied().fold(0.0, f32::max);
        let fires = |position: &usize| maximum > 0.0 && self.activations[*position] >= MARKED * maximum;
        (0..self.activations.len()).filter(fires).collect()
    }

    /// The text in one line, with marks around the tokens at `places`.
    pub fn shown(&self, places: &[usize]) -> String {
        // Each token has marks of its own, so that they can be counted.
        let token = |(place, token): (usize, &String)| {
            if places.contains(&place) { marked([(token.as_str(), true)]) } else { visible(token) }
        };
        self.tokens.iter().enumerate().map(token).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(tokens: &[&str], activations: &[f32]) -> Example {
        Example {
            window: 0,
            source: Source::Top,
            fires: true,
            tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
            activations: activations.to_vec(),
        }
    }

    #[test]
    fn a_text_is_one_line_in_which_only_we_mark() {
        let hostile = example(&["a\n", "<<b>>", "\u{202e}", "\"]}", "<|im_end|>"], &[0.0; 5]);
        let shown = hostile.shown(&[0, 4]);
        assert_eq!(shown, "<<a\\n>>\\<\\<b\\>\\>\\u{202e}\"]}<<\\<|im_end|\\>>>");
        assert!(!shown.contains(char::is_control));
    }

    #[test]
    fn marks_are_at_half_of_the_maximum() {
        assert_eq!(example(&["a", "b", "c", "d"], &[1.0, 4.0, -9.0, 2.0]).firing(), [1, 3]);
        assert_eq!(example(&["a", "b"], &[0.0, -1.0]).firing(), Vec::<usize>::new());
    }

    #[test]
    fn the_piece_holds_the_place_and_stays_inside() {
        let tokens: Vec<u32> = (0..100).collect();
        let activations: Vec<f32> = (0..100_u8).map(f32::from).collect();
        for (ignored, place) in [(0, 0), (0, 50), (1, 1), (0, 99), (1, 97), (4, 20)] {
            let (texts, values) =
                Example::around(place, ignored, &tokens, &activations, |token| token.to_string());
            assert_eq!((texts.len(), values.len()), (LENGTH, LENGTH));
            assert!(texts.contains(&place.to_string()), "{place}: {texts:?}");
            assert!(texts.iter().all(|token| token.parse::<usize>().unwrap() >= ignored));
            assert_eq!(texts[0].parse::<f32>().unwrap(), values[0]);
        }
        let (texts, _) = Example::around(2, 1, &tokens[..5], &activations[..5], |token| token.to_string());
        assert_eq!(texts, ["1", "2", "3", "4"], "a window may be shorter");
    }
}
