//! What is recorded of a unit: the truth that patterns are valued by.
//!
//! A search measures a pattern on a bare suffix, and Gao et al. 2024 keep that number. In texts the same tokens give
//! other values: higher after the rest of the text, lower where the pattern only seems to match. So a pattern is worth
//! the mean *recorded* activation over the positions of the training windows at which it is the one that predicts.
//!
//! A token on which patterns end, but of which none matches, is neither silent nor as strong as a match. It predicts
//! the token's mean activation over the corpus, as token lookup does (whose table leaves scoring excerpts out). Tokens
//! on which no pattern ends predict 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use glossator_atlas::Excerpt;

use super::examples::is_training;
use super::pattern::{Element, Pattern};
use super::trie::Trie;

/// The mean activation of a token over the corpus, where it is known.
pub type TokenMean = Arc<dyn Fn(u32) -> Option<f32> + Send + Sync>;

/// Training windows and token means of one unit.
#[derive(Clone)]
pub struct Evidence {
    /// The training windows, each once.
    pub windows: Vec<Window>,
    /// Means of tokens.
    pub mean: TokenMean,
}

impl Default for Evidence {
    /// Nothing is known.
    fn default() -> Self {
        Self { windows: Vec::new(), mean: Arc::new(|_| None) }
    }
}

/// A window and a unit's activations on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// The activation on each token.
    pub activations: Vec<f32>,
    /// The first position that counts.
    pub first: usize,
}

/// The evidence in the train split of a unit's excerpts; the first `ignored` positions of every window do not count.
pub fn evidence(excerpts: &[Excerpt], ignored: usize, mean: TokenMean) -> Evidence {
    let mut known = BTreeSet::new();
    let windows = excerpts.iter().filter(|excerpt| is_training(excerpt) && known.insert(excerpt.window));
    let windows = windows.map(|excerpt| Window {
        tokens: excerpt.tokens.clone(),
        activations: excerpt.activations.clone(),
        first: ignored,
    });
    Evidence { windows: windows.collect(), mean }
}

/// The trie of `patterns`, valued by the evidence. A pattern that predicts nowhere in it keeps its activation.
pub fn valued(patterns: &[Pattern], bos: Option<u32>, evidence: &Evidence) -> Trie {
    let trie = Trie::new(patterns, bos, BTreeMap::new());
    let mut recorded: BTreeMap<Vec<Element>, (f64, u32)> = BTreeMap::new();
    for window in &evidence.windows {
        let deciding = trie.deciding(&window.tokens).into_iter().zip(&window.activations);
        for (elements, activation) in deciding.skip(window.first) {
            if let Some(elements) = elements {
                let (sum, count) = recorded.entry(elements).or_default();
                *sum += f64::from(*activation);
                *count += 1;
            }
        }
    }
    let valued: Vec<Pattern> = patterns
        .iter()
        .map(|pattern| match recorded.get(&pattern.elements) {
            Some((sum, count)) => Pattern { activation: (sum / f64::from(*count)) as f32, ..pattern.clone() },
            None => pattern.clone(),
        })
        .collect();
    let token_means = valued.iter().filter_map(|pattern| match pattern.elements.first() {
        Some(&Element::Token(token)) => Some((token, (evidence.mean)(token)?)),
        _ => None,
    });
    let token_means = token_means.collect();
    Trie::new(&valued, bos, token_means)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Predictor;
    use Element::Token;

    fn pattern(elements: &[Element]) -> Pattern {
        Pattern { elements: elements.to_vec(), activation: 9.0, examples: 1 }
    }

    #[test]
    fn patterns_are_worth_what_was_recorded_where_they_predict() {
        let window = Window { tokens: vec![7, 5, 7, 1], activations: vec![9.0, 0.0, 4.0, 1.0], first: 1 };
        let more = Window { tokens: vec![3, 5, 7], activations: vec![0.0, 0.0, 2.0], first: 1 };
        let mean = |token| match token {
            7 => Some(0.5),
            1 => Some(0.25),
            _ => None,
        };
        let evidence = Evidence { windows: vec![window, more], mean: Arc::new(mean) };
        let trie = valued(&[pattern(&[Token(7), Token(5)]), pattern(&[Token(8)])], None, &evidence);
        let values: Vec<f32> = trie.patterns().iter().map(|pattern| pattern.activation).collect();
        assert_eq!(values, [3.0, 9.0], "the mean of 4 and 2; and what nothing is known about");
        // No pattern ends on token 1, and none that ends on the last 7 matches.
        assert_eq!(trie.predict(&[5, 7, 1, 7]), [0.0, 3.0, 0.0, 0.5]);
    }

    #[test]
    fn the_pattern_that_predicts_takes_the_evidence() {
        let window = Window { tokens: vec![5, 7, 6, 7], activations: vec![0.0, 4.0, 0.0, 1.0], first: 0 };
        let evidence = Evidence { windows: vec![window], ..Evidence::default() };
        let trie = valued(&[pattern(&[Token(7)]), pattern(&[Token(7), Token(5)])], None, &evidence);
        assert_eq!(trie.predict(&[5, 7, 6, 7]), [0.0, 4.0, 0.0, 1.0]);
    }
}
