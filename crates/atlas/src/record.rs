//! A unit's record: everything that was measured about it, as read from an atlas.

use glossator_model::UnitId;
use serde::{Deserialize, Serialize};

use crate::excerpt::{Excerpt, ExcerptKind, Split};

/// A unit's evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// The unit.
    pub unit: UnitId,
    /// Moments and extremes.
    pub statistics: UnitStatistics,
    /// The non-empty buckets of the activation histogram, lowest values first.
    pub histogram: Vec<HistogramBucket>,
    /// The quantile intervals of the window maximum, lowest values first.
    pub intervals: Vec<QuantileInterval>,
    /// All excerpts: top by rank, then quantile by interval, then random.
    pub excerpts: Vec<Excerpt>,
    /// Tokens with the largest mean activation, largest first, without the scoring excerpts.
    pub top_tokens: Vec<TokenMean>,
    /// Tokens with the smallest mean activation, smallest first, without the scoring excerpts.
    pub bottom_tokens: Vec<TokenMean>,
    /// Tokens that the unit's output direction raises most; empty where the hook point has none.
    pub top_logits: Vec<TokenWeight>,
    /// Tokens that the unit's output direction lowers most, lowest first.
    pub bottom_logits: Vec<TokenWeight>,
    /// Units with the most similar output direction, most similar first.
    pub neighbours: Vec<Neighbour>,
    /// For features: the neurons whose activations are most correlated with its own, largest size first.
    pub correlated_neurons: Vec<RelatedNeuron>,
    /// For features: the neurons that write most nearly along its direction, largest size first.
    pub aligned_neurons: Vec<RelatedNeuron>,
}

impl UnitRecord {
    /// The excerpts of one kind and split, in rank order.
    pub fn select(&self, top: bool, split: Split) -> impl Iterator<Item = &Excerpt> {
        let kind = if top { ExcerptKind::Top } else { ExcerptKind::Random };
        self.excerpts.iter().filter(move |excerpt| excerpt.kind == kind && excerpt.split == split)
    }

    /// What an explainer may see: every excerpt of the train split, the top list first.
    pub fn training(&self) -> impl Iterator<Item = &Excerpt> {
        self.excerpts.iter().filter(|excerpt| excerpt.split == Split::Train)
    }
}

/// Moments and extremes over all counted tokens. Central moments are those of the population.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitStatistics {
    /// Counted tokens.
    pub tokens: u64,
    /// Mean activation.
    pub mean: f64,
    /// Variance.
    pub variance: f64,
    /// Third standardised moment; undefined for a constant unit.
    pub skewness: Option<f64>,
    /// Fourth standardised moment (3 for a normal distribution); undefined for a constant unit.
    pub kurtosis: Option<f64>,
    /// Share of tokens with an activation above 0.
    pub density: f64,
    /// Smallest activation.
    pub min: f32,
    /// Largest activation.
    pub max: f32,
    /// Window with the largest activation (the smallest such window number).
    pub max_window: u32,
    /// Position of the largest activation in that window (the first such).
    pub max_position: u32,
}

/// One bucket of the histogram: values in `[low, high)` (`[low, high]` for the outermost).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramBucket {
    /// Lower edge.
    pub low: f32,
    /// Upper edge.
    pub high: f32,
    /// Tokens in it.
    pub count: u64,
}

/// An interval of the distribution of the window maximum, with what it really covers: `low ≤ x < high`, and
/// `x = high` too in the last interval that has windows. It may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileInterval {
    /// Nominal lower quantile, one of [`crate::QUANTILES`].
    pub from_quantile: f64,
    /// Nominal upper quantile.
    pub to_quantile: f64,
    /// Lower edge of the window maximum that was really used.
    pub low: f32,
    /// Upper edge that was really used.
    pub high: f32,
    /// Windows in the interval.
    pub windows: u64,
    /// Share of all windows that fall in it, exactly.
    pub share: f64,
}

/// A unit's mean activation on one token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenMean {
    /// The token.
    pub token: u32,
    /// Its mean activation, without the unit's scoring excerpts.
    pub mean: f32,
    /// Occurrences that the mean is over.
    pub count: u32,
}

/// A weight from a unit's output direction to a token's logit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenWeight {
    /// The token.
    pub token: u32,
    /// Change of its logit per unit of activation, before the final norm's scale.
    pub weight: f32,
}

/// A unit with a similar output direction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The unit.
    pub unit: UnitId,
    /// Cosine between the output directions.
    pub cosine: f32,
}

/// A neuron that a feature is made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelatedNeuron {
    /// The neuron.
    pub unit: UnitId,
    /// Correlation of the activations over all counted tokens, or cosine between the output directions.
    pub value: f32,
}
