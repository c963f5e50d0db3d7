//! The objects of OpenAI's released data, as JSON: each carries the name of its Python class under `dataclass_name`.
//!
//! Readers of the release dispatch on that name, or on the exact set of fields; so every object is written with all
//! fields of its class and no others. Undefined numbers are `null`, which the release has too.

use serde::{Deserialize, Deserializer, Serialize};

/// A field that a reader may find as `null`.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values: Vec<Option<f64>> = Vec::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// A sequence with one unit's activations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct ActivationRecord {
    /// `[position]` token texts.
    pub tokens: Vec<String>,
    /// `[position]` activations.
    #[serde(deserialize_with = "lenient")]
    pub activations: Vec<f64>,
}

/// Which neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct NeuronId {
    /// The layer, from 0.
    #[serde(alias = "layer")]
    pub layer_index: u32,
    /// The neuron in it, from 0.
    #[serde(alias = "idx")]
    pub neuron_index: u32,
}

/// A neuron's evidence: `collated-activations/{layer}/{neuron}.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct NeuronRecord {
    /// The neuron.
    pub neuron_id: NeuronId,
    /// Random sequences.
    #[serde(default)]
    pub random_sample: Vec<ActivationRecord>,
    /// Sequences from the intervals of the maximum below the top list, lowest first.
    #[serde(default)]
    pub random_sample_by_quantile: Option<Vec<Vec<ActivationRecord>>>,
    /// The quantiles that bound them.
    #[serde(default)]
    pub quantile_boundaries: Option<Vec<f64>>,
    /// Mean activation.
    #[serde(default)]
    pub mean: Option<f64>,
    /// Variance.
    #[serde(default)]
    pub variance: Option<f64>,
    /// Third standardised moment.
    #[serde(default)]
    pub skewness: Option<f64>,
    /// Fourth standardised moment.
    #[serde(default)]
    pub kurtosis: Option<f64>,
    /// Sequences with the largest maximum, largest first.
    #[serde(default)]
    pub most_positive_activation_records: Vec<ActivationRecord>,
}

/// On which scale a simulation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationScale {
    /// That of the neuron.
    NeuronActivations,
    /// 0 to 10.
    SimulatedNormalizedActivations,
}

/// What an explanation predicts for a sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct SequenceSimulation {
    /// `[position]` token texts.
    pub tokens: Vec<String>,
    /// `[position]` predicted activations.
    #[serde(deserialize_with = "lenient")]
    pub expected_activations: Vec<f64>,
    /// Their scale.
    pub activation_scale: ActivationScale,
    /// `[position]` values that the simulator named.
    #[serde(default)]
    pub distribution_values: Vec<Vec<f64>>,
    /// `[position]` their probabilities.
    #[serde(default)]
    pub distribution_probabilities: Vec<Vec<f64>>,
    /// The simulation before calibration.
    #[serde(default)]
    pub uncalibrated_simulation: Option<Box<SequenceSimulation>>,
}

/// A simulation beside the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct ScoredSequenceSimulation {
    /// What is predicted; later programs call the field `sequence_simulation`.
    #[serde(alias = "sequence_simulation")]
    pub simulation: SequenceSimulation,
    /// `[position]` activations.
    #[serde(deserialize_with = "lenient")]
    pub true_activations: Vec<f64>,
    /// Correlation on this sequence alone.
    pub ev_correlation_score: Option<f64>,
    /// R² on it.
    #[serde(default)]
    pub rsquared_score: Option<f64>,
    /// Absolute deviation explained on it.
    #[serde(default)]
    pub absolute_dev_explained_score: Option<f64>,
}

/// Scores over all sequences: top sequences first, then as many random ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct ScoredSimulation {
    /// The sequences.
    pub scored_sequence_simulations: Vec<ScoredSequenceSimulation>,
    /// Correlation over the concatenation of all sequences.
    #[serde(default)]
    pub ev_correlation_score: Option<f64>,
    /// R² over it.
    #[serde(default)]
    pub rsquared_score: Option<f64>,
    /// Absolute deviation explained over it.
    #[serde(default)]
    pub absolute_dev_explained_score: Option<f64>,
}

/// An explanation with its scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct ScoredExplanation {
    /// The words.
    pub explanation: String,
    /// The scores.
    pub scored_simulation: ScoredSimulation,
}

/// A neuron's explanations: the only line of `explanations/{layer}/{neuron}.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct NeuronSimulationResults {
    /// The neuron.
    pub neuron_id: NeuronId,
    /// Explanations, the best first; viewers show the first.
    pub scored_explanations: Vec<ScoredExplanation>,
}

/// Tokens with a strength each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct TokensAndWeights {
    /// Token texts.
    pub tokens: Vec<String>,
    /// Weights.
    pub strengths: Vec<f64>,
}

/// Tokens that a neuron reads and writes by its weights: `related-tokens/weight-based/{layer}/{neuron}.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct WeightBasedSummaryOfNeuron {
    /// Tokens whose embedding raises it.
    pub input_positive: TokensAndWeights,
    /// Tokens whose embedding lowers it.
    pub input_negative: TokensAndWeights,
    /// Tokens that it makes likelier.
    pub output_positive: TokensAndWeights,
    /// Tokens that it makes less likely.
    pub output_negative: TokensAndWeights,
}

/// Tokens by mean activation: `related-tokens/activation-based/{layer}/{neuron}.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataclass_name")]
pub struct TokenLookupTableSummaryOfNeuron {
    /// Token texts, largest mean first.
    pub tokens: Vec<String>,
    /// Their mean activations.
    #[serde(deserialize_with = "lenient")]
    pub average_activations: Vec<f64>,
}

/// Neurons that a neuron is connected to by weight: `related-neurons/weight-based/{layer}/{neuron}.json`, the only object of
/// the release without a class name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RelatedNeurons {
    /// Upstream: neurons of earlier layers; nothing for the first layer.
    pub c_fc: Option<ConnectedNeurons>,
    /// Downstream: neurons of later layers; nothing for the last layer.
    pub c_proj: Option<ConnectedNeurons>,
}

/// The neurons on one side of a neuron, named `{layer}_{neuron}`, strongest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectedNeurons {
    /// Those with the largest weights.
    pub top_positive_neurons: Vec<String>,
    /// Their weights.
    pub top_positive_weights: Vec<f64>,
    /// Those with the smallest weights.
    pub top_negative_neurons: Vec<String>,
    /// Their weights.
    pub top_negative_weights: Vec<f64>,
}
