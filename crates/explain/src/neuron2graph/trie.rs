//! The reversed trie: patterns that end on the same tokens share a path from the root, and prediction walks the text
//! backwards from each token.
//!
//! At every node the exact branch, the wildcard branches and the beginning of the sequence are all followed. Of the
//! patterns that match, the one that spans most tokens wins (the beginning counts as one); among those the one with
//! more exact tokens; among those the one with the larger activation. Where none matches the prediction is 0.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern::{Element, Pattern};
use crate::Predictor;

/// All patterns of one unit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trie {
    /// The node before any token is read.
    pub root: Node,
    /// The begin-of-sequence token that the unit's windows begin with, which no pattern reaches into.
    pub bos: Option<u32>,
}

/// A place in the trie.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// Set where a pattern ends.
    pub end: Option<End>,
    /// What may stand further left.
    pub children: BTreeMap<Element, Node>,
}

/// The end of a pattern.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct End {
    /// Mean activation of its examples.
    pub activation: f32,
    /// Number of its examples.
    pub examples: u32,
}

/// A pattern that matches, in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Match {
    span: usize,
    exact: usize,
    activation: f32,
}

impl Trie {
    /// Builds the trie of patterns that are pairwise different ([`super::pattern::merge`]).
    pub fn new(patterns: &[Pattern], bos: Option<u32>) -> Self {
        let mut root = Node::default();
        for pattern in patterns {
            let mut node = &mut root;
            for element in &pattern.elements {
                node = node.children.entry(*element).or_default();
            }
            node.end = Some(End { activation: pattern.activation, examples: pattern.examples });
        }
        Self { root, bos }
    }

    /// The patterns, in the order of the trie.
    pub fn patterns(&self) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        collect(&self.root, &mut Vec::new(), &mut patterns);
        patterns
    }

    /// The activation predicted at the last of `tokens`, whose first `first` tokens are out of every pattern's reach.
    fn last(&self, tokens: &[u32], first: usize) -> f32 {
        let mut walk = Walk { tokens, first, best: None };
        walk.visit(&self.root, &[tokens.len()], 0, 0);
        walk.best.map_or(0.0, |best| best.activation)
    }
}

impl Predictor for Trie {
    fn predict(&self, tokens: &[u32]) -> Vec<f32> {
        let first = usize::from(self.bos.is_some() && tokens.first().copied() == self.bos);
        (1..=tokens.len())
            .map(|end| if end <= first { 0.0 } else { self.last(&tokens[..end], first) })
            .collect()
    }
}

fn collect(node: &Node, path: &mut Vec<Element>, patterns: &mut Vec<Pattern>) {
    if let Some(End { activation, examples }) = node.end {
        patterns.push(Pattern { elements: path.clone(), activation, examples });
    }
    for (element, child) in &node.children {
        path.push(*element);
        collect(child, path, patterns);
        path.pop();
    }
}

struct Walk<'a> {
    tokens: &'a [u32],
    first: usize,
    best: Option<Match>,
}

impl Walk<'_> {
    /// Visits `node` with `tokens[first..rest]` still unread, for each of `rests` (ascending, never empty). All ways to
    /// a node read the same exact tokens, so that a node is visited once however its wildcards are aligned.
    fn visit(&mut self, node: &Node, rests: &[usize], exact: usize, start: usize) {
        if let Some(end) = node.end {
            let span = self.tokens.len() - rests[0] + start;
            let found = Match { span, exact, activation: end.activation };
            if self.best.is_none_or(|best| found > best) {
                self.best = Some(found);
            }
        }
        let (tokens, first) = (self.tokens, self.first);
        let unread = || rests.iter().copied().filter(|rest| *rest > first);
        let next: BTreeSet<u32> = unread().map(|rest| tokens[rest - 1]).collect();
        for token in next {
            if let Some(child) = node.children.get(&Element::Token(token)) {
                let read: Vec<usize> =
                    unread().filter(|rest| tokens[rest - 1] == token).map(|rest| rest - 1).collect();
                self.visit(child, &read, exact + 1, start);
            }
        }
        for (element, child) in node.children.range(Element::Wildcard { min: 0, max: 0 }..) {
            match *element {
                Element::Wildcard { min, max } => {
                    let after = |rest: usize| {
                        let (fewest, most) = (usize::from(min), usize::from(max).min(rest - first));
                        (fewest..=most).map(move |skipped| rest - skipped)
                    };
                    let reached: BTreeSet<usize> = rests.iter().flat_map(|rest| after(*rest)).collect();
                    if !reached.is_empty() {
                        self.visit(child, &reached.into_iter().collect::<Vec<_>>(), exact, start);
                    }
                }
                Element::Start if rests.contains(&first) => self.visit(child, &[first], exact, 1),
                Element::Start | Element::Token(_) => {}
            }
        }
    }
}
