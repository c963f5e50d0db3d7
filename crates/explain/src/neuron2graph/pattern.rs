//! A pattern: the tokens that make a unit fire, read backwards from the token it fires on.
//!
//! `[Token(c), Wildcard{1,3}, Token(a)]` fires on `c` when `a` stands before it with one to three tokens between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One step backwards through the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Element {
    /// Exactly this token.
    Token(u32),
    /// Any tokens, from `min` to `max` of them.
    Wildcard {
        /// Fewest tokens.
        min: u16,
        /// Most tokens.
        max: u16,
    },
    /// The beginning of the sequence (after the begin-of-sequence token, where there is one).
    Start,
}

/// A pattern with the activation that it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// The elements, last token first. No two wildcards are adjacent, and `Start` can only be the last element.
    pub elements: Vec<Element>,
    /// Mean activation over the examples that gave this pattern.
    pub activation: f32,
    /// Number of those examples.
    pub examples: u32,
}

impl Pattern {
    /// The pattern of one example: `salient[i]` says whether the `i`-th token of `suffix` must be itself.
    pub fn of_example(suffix: &[u32], salient: &[bool], anchored: bool, activation: f32) -> Self {
        let mut shape = Shape { tokens: Vec::new(), runs: vec![(0, 0)], anchored };
        for (&token, &salient) in suffix.iter().zip(salient).rev() {
            if salient {
                shape.tokens.push(token);
                shape.runs.push((0, 0));
            } else if let Some(run) = shape.runs.last_mut() {
                *run = (run.0 + 1, run.1 + 1);
            }
        }
        Self { elements: shape.elements(), activation, examples: 1 }
    }

    /// Number of exact tokens.
    pub fn exact(&self) -> usize {
        self.elements.iter().filter(|element| matches!(element, Element::Token(_))).count()
    }

    fn absorb(&mut self, other: &Self) {
        let (weight, more) = (f64::from(self.examples), f64::from(other.examples));
        let total = f64::from(self.activation) * weight + f64::from(other.activation) * more;
        self.activation = (total / (weight + more)) as f32;
        self.examples += other.examples;
    }
}

/// A pattern as its exact tokens and the wildcard runs around them: `runs[i]` stands before `tokens[i]` on the way
/// backwards, and the last run before the beginning of the pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    anchored: bool,
    tokens: Vec<u32>,
    runs: Vec<(u16, u16)>,
}

impl Shape {
    fn of(elements: &[Element]) -> Self {
        let mut shape = Self { anchored: false, tokens: Vec::new(), runs: vec![(0, 0)] };
        for element in elements {
            match *element {
                Element::Token(token) => {
                    shape.tokens.push(token);
                    shape.runs.push((0, 0));
                }
                Element::Wildcard { min, max } => {
                    if let Some(run) = shape.runs.last_mut() {
                        *run = (min, max);
                    }
                }
                Element::Start => shape.anchored = true,
            }
        }
        shape
    }

    fn elements(&self) -> Vec<Element> {
        let mut elements = Vec::new();
        for (index, &(min, max)) in self.runs.iter().enumerate() {
            if max > 0 {
                elements.push(Element::Wildcard { min, max });
            }
            elements.extend(self.tokens.get(index).map(|&token| Element::Token(token)));
        }
        elements.extend(self.anchored.then_some(Element::Start));
        elements
    }
}

/// Merges patterns that are the same, and then patterns that agree in everything but the length of one wildcard run:
/// these become one pattern with a gap from the shortest to the longest run seen. Only one run may differ, so that a
/// gap never stands for a combination of lengths that no example supports. Activations merge by their mean.
///
/// The result does not depend on the order of the input, but for rounding of the means.
pub fn merge(patterns: &[Pattern]) -> Vec<Pattern> {
    let mut merged: BTreeMap<Shape, Pattern> = BTreeMap::new();
    for pattern in patterns {
        insert(&mut merged, Shape::of(&pattern.elements), pattern);
    }
    let most_runs = merged.keys().map(|shape| shape.runs.len()).max().unwrap_or(0);
    for run in 0..most_runs {
        merged = merge_run(&merged, run);
    }
    let finished =
        merged.into_iter().map(|(shape, pattern)| Pattern { elements: shape.elements(), ..pattern });
    finished.collect()
}

/// A pattern, and the lengths of the wildcard run in which it differs from its family.
type Member<'a> = ((u16, u16), &'a Pattern);

/// Unites the patterns that differ only in their `run`-th wildcard run.
fn merge_run(patterns: &BTreeMap<Shape, Pattern>, run: usize) -> BTreeMap<Shape, Pattern> {
    let mut families: BTreeMap<Shape, Vec<Member<'_>>> = BTreeMap::new();
    for (shape, pattern) in patterns {
        let mut family = shape.clone();
        let length = family.runs.get_mut(run).map_or((0, 0), std::mem::take);
        families.entry(family).or_default().push((length, pattern));
    }
    let mut merged = BTreeMap::new();
    for (mut shape, members) in families {
        let lengths = || members.iter().map(|(length, _)| *length);
        let low = lengths().map(|(min, _)| min).min().unwrap_or(0);
        let high = lengths().map(|(_, max)| max).max().unwrap_or(0);
        if let Some(length) = shape.runs.get_mut(run) {
            *length = (low, high);
        }
        for (_, pattern) in members {
            insert(&mut merged, shape.clone(), pattern);
        }
    }
    merged
}

fn insert(patterns: &mut BTreeMap<Shape, Pattern>, shape: Shape, pattern: &Pattern) {
    patterns.entry(shape).and_modify(|present| present.absorb(pattern)).or_insert_with(|| pattern.clone());
}

#[cfg(test)]
mod tests {
    use super::Element::{Start, Token, Wildcard};
    use super::*;

    fn pattern(elements: &[Element], activation: f32) -> Pattern {
        Pattern { elements: elements.to_vec(), activation, examples: 1 }
    }

    #[test]
    fn an_example_reads_backwards() {
        let pattern = Pattern::of_example(&[1, 2, 3, 4], &[true, false, false, true], true, 2.0);
        assert_eq!(pattern.elements, [Token(4), Wildcard { min: 2, max: 2 }, Token(1), Start]);
        let pattern = Pattern::of_example(&[1, 2], &[false, false], false, 2.0);
        assert_eq!(pattern.elements, [Wildcard { min: 2, max: 2 }]);
    }

    #[test]
    fn duplicates_merge_by_mean() {
        let merged =
            merge(&[pattern(&[Token(1)], 1.0), pattern(&[Token(1)], 2.0), pattern(&[Token(1)], 6.0)]);
        assert_eq!(merged, [Pattern { elements: vec![Token(1)], activation: 3.0, examples: 3 }]);
    }

    #[test]
    fn one_varying_run_becomes_a_gap() {
        let run = |length| [Token(3), Wildcard { min: length, max: length }, Token(1)];
        let merged =
            merge(&[pattern(&run(1), 1.0), pattern(&run(4), 3.0), pattern(&[Token(3), Token(1)], 2.0)]);
        let elements = vec![Token(3), Wildcard { min: 0, max: 4 }, Token(1)];
        assert_eq!(merged, [Pattern { elements, activation: 2.0, examples: 3 }]);
    }

    #[test]
    fn two_runs_that_vary_together_stay_apart() {
        let runs = |one, two| {
            let run = |length| Wildcard { min: length, max: length };
            [Token(3), run(one), Token(2), run(two), Token(1)]
        };
        assert_eq!(merge(&[pattern(&runs(1, 2), 1.0), pattern(&runs(2, 1), 1.0)]).len(), 2);
        assert_eq!(merge(&[pattern(&runs(1, 2), 1.0), pattern(&runs(1, 3), 1.0)]).len(), 1);
    }

    #[test]
    fn anchored_and_free_patterns_stay_apart() {
        assert_eq!(merge(&[pattern(&[Token(1), Start], 1.0), pattern(&[Token(1)], 1.0)]).len(), 2);
    }
}
