//! The reversed trie: patterns that end on the same tokens share a path from the root, and prediction walks the text
//! backwards from each token.
//!
//! At every node the exact branch, the wildcard branches and the beginning of the sequence are all followed. Of the
//! patterns that match, the one that spans most tokens wins (the beginning counts as one); among those the one with
//! more exact tokens; among those the one with the larger activation. Where none matches, a token that patterns end on
//! predicts its mean, and any other 0 (see `evidence`).

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
    /// What tokens predict where no pattern matches, if not 0.
    pub token_means: BTreeMap<u32, f32>,
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

/// The best match at a position, and the pattern's elements.
type Decision = (Match, Vec<Element>);

impl Trie {
    /// Builds the trie of patterns that are pairwise different ([`super::pattern::merge`]), with what tokens predict
    /// where none matches.
    pub fn new(patterns: &[Pattern], bos: Option<u32>, token_means: BTreeMap<u32, f32>) -> Self {
        let mut root = Node::default();
        for pattern in patterns {
            let mut node = &mut root;
            for element in &pattern.elements {
                node = node.children.entry(*element).or_default();
            }
            node.end = Some(End { activation: pattern.activation, examples: pattern.examples });
        }
        Self { root, bos, token_means }
    }

    /// The patterns, in the order of the trie.
    pub fn patterns(&self) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        collect(&self.root, &mut Vec::new(), &mut patterns);
        patterns
    }

    /// The elements of the pattern that predicts at each of `tokens`, if one matches.
    pub fn deciding(&self, tokens: &[u32]) -> Vec<Option<Vec<Element>>> {
        self.decisions(tokens).map(|decision| decision.map(|(_, elements)| elements)).collect()
    }

    /// The activation of the pattern that predicts at each of `tokens`, if one matches.
    pub fn matched(&self, tokens: &[u32]) -> Vec<Option<f32>> {
        self.decisions(tokens).map(|decision| decision.map(|(best, _)| best.activation)).collect()
    }

    fn decisions(&self, tokens: &[u32]) -> impl Iterator<Item = Option<Decision>> {
        let first = usize::from(self.bos.is_some() && tokens.first().copied() == self.bos);
        (1..=tokens.len()).map(move |end| if end <= first { None } else { self.last(&tokens[..end], first) })
    }

    /// The match at the last of `tokens`, whose first `first` tokens are out of every pattern's reach.
    fn last(&self, tokens: &[u32], first: usize) -> Option<Decision> {
        let mut walk = Walk { tokens, first, path: Vec::new(), best: None };
        walk.visit(&self.root, &[tokens.len()], 0, 0);
        walk.best
    }
}

impl Predictor for Trie {
    fn predict(&self, tokens: &[u32]) -> Vec<f32> {
        let fallback = |token| self.token_means.get(token).copied().unwrap_or(0.0);
        let matched = self.matched(tokens).into_iter().zip(tokens);
        matched.map(|(matched, token)| matched.unwrap_or_else(|| fallback(token))).collect()
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
    /// The elements from the root to the node that is visited.
    path: Vec<Element>,
    best: Option<Decision>,
}

impl Walk<'_> {
    /// Visits `node` with `tokens[first..rest]` still unread, for each of `rests` (ascending, never empty). All ways to
    /// a node read the same exact tokens, so that a node is visited once however its wildcards are aligned.
    fn visit(&mut self, node: &Node, rests: &[usize], exact: usize, start: usize) {
        if let Some(end) = node.end {
            let span = self.tokens.len() - rests[0] + start;
            let found = Match { span, exact, activation: end.activation };
            if self.best.as_ref().is_none_or(|(best, _)| found > *best) {
                self.best = Some((found, self.path.clone()));
            }
        }
        let (tokens, first) = (self.tokens, self.first);
        let unread = || rests.iter().copied().filter(|rest| *rest > first);
        let next: BTreeSet<u32> = unread().map(|rest| tokens[rest - 1]).collect();
        for token in next {
            if let Some(child) = node.children.get(&Element::Token(token)) {
                let read: Vec<usize> =
                    unread().filter(|rest| tokens[rest - 1] == token).map(|rest| rest - 1).collect();
                self.path.push(Element::Token(token));
                self.visit(child, &read, exact + 1, start);
                self.path.pop();
            }
        }
        for (element, child) in node.children.range(Element::Wildcard { min: 0, max: 0 }..) {
            self.path.push(*element);
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
            self.path.pop();
        }
    }
}
