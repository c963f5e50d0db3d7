//! Neuron2Graph where one of its patterns matches, token lookup everywhere else.
//!
//! The back-off of n-gram models (Katz 1987): the longest context that is known decides, and the token alone where none
//! is. Patterns say precisely when a unit fires and are silent about most text; token means are known for nearly every
//! token and blind to context. How far this is ahead of token lookup is what the patterns add.

use glossator_atlas::TokenMeans;

use crate::Predictor;
use crate::neuron2graph::Trie;

/// A unit's patterns and its token means.
pub struct Backoff {
    /// What decides where it matches.
    pub patterns: Trie,
    /// What decides elsewhere.
    pub means: TokenMeans,
}

impl Predictor for Backoff {
    fn predict(&self, tokens: &[u32]) -> Vec<f32> {
        let matched = self.patterns.matched(tokens).into_iter();
        matched.zip(self.means.predict(tokens)).map(|(matched, mean)| matched.unwrap_or(mean)).collect()
    }
}
