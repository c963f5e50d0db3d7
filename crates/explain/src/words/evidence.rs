//! What an explainer in words may see of a unit.

use glossator_atlas::{Atlas, Excerpt, ExcerptKind, Split, TokenMean, TokenWeight, Vocabulary};
use glossator_model::UnitId;

use crate::ExplainError;
use crate::explaining::Explainer;

/// Excerpts of the top list that are shown, the published number.
const TOP: usize = 5;

/// A unit's training evidence.
pub struct Evidence<'a> {
    /// Texts of tokens.
    pub vocabulary: &'a Vocabulary,
    /// Positions at the start of every window that do not count.
    pub ignored: usize,
    /// The largest activation in [`Evidence::top`].
    pub maximum: f32,
    /// Excerpts of the top list, strongest first.
    pub top: Vec<Excerpt>,
    /// Excerpts from the intervals of the window maximum, lowest first.
    pub lower: Vec<Excerpt>,
    /// Tokens with the largest mean activation, largest first.
    pub tokens: Vec<TokenMean>,
    /// Tokens that the unit's output makes more likely, most first.
    pub promoted: Vec<TokenWeight>,
    /// The readable line of the unit's Neuron2Graph, if it has one.
    pub patterns: Option<String>,
}

impl<'a> Evidence<'a> {
    /// The evidence of a unit.
    pub fn of(atlas: &'a Atlas, unit: UnitId) -> Result<Self, ExplainError> {
        let record = atlas.unit(unit)?;
        let patterns = atlas.explanation(unit, Explainer::Neuron2Graph.name())?;
        let training = record.excerpts.into_iter().filter(|excerpt| excerpt.split == Split::Train);
        let (mut top, mut lower) = (Vec::new(), Vec::new());
        for excerpt in training {
            match excerpt.kind {
                ExcerptKind::Top if top.len() < TOP => top.push(excerpt),
                ExcerptKind::Quantile { .. } => lower.push(excerpt),
                _ => {}
            }
        }
        let maximum = top.iter().map(|excerpt| excerpt.max).fold(0.0, f32::max);
        // Windows whose own maximum is not above zero show nothing that a unit responds to.
        top.retain(|excerpt| excerpt.max > 0.0);
        lower.retain(|excerpt| !top.iter().any(|other| other.window == excerpt.window));
        Ok(Self {
            vocabulary: atlas.vocabulary(),
            ignored: atlas.manifest().run.ignored_positions as usize,
            maximum,
            top,
            lower,
            tokens: record.top_tokens,
            promoted: record.top_logits,
            patterns: patterns.map(|explanation| explanation.text),
        })
    }

    /// The texts and activations of an excerpt's counted positions.
    pub fn positions<'b>(&'b self, excerpt: &'b Excerpt) -> impl Iterator<Item = (&'b str, f32)> {
        let pairs = excerpt.tokens.iter().zip(&excerpt.activations).skip(self.ignored);
        pairs.map(|(token, activation)| (self.vocabulary.text(*token), *activation))
    }
}
