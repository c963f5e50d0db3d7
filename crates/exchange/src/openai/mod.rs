//! The files of "Language models can explain neurons in language models" (Bills et al. 2023), written and read.
//!
//! ```text
//! collated-activations/{layer}/{neuron}.json              NeuronRecord
//! explanations/{layer}/{neuron}.jsonl                     NeuronSimulationResults, on one line
//! related-tokens/activation-based/{layer}/{neuron}.json   TokenLookupTableSummaryOfNeuron
//! related-tokens/weight-based/{layer}/{neuron}.json       WeightBasedSummaryOfNeuron
//! related-neurons/weight-based/{layer}/{neuron}.json      { c_fc, c_proj }, either may be null
//! ```
//! An import keeps the last three as they are, and an export of what was imported writes them again. Where units of several kinds are exported, each kind has a directory of its own with these in it.

mod connections;
mod distributions;
mod import;
mod objects;
mod read;
mod related;
mod write;

pub use connections::Connections;
pub use import::{ImportPlan, Imported, import};
pub use objects::{
    ActivationRecord, ActivationScale, ConnectedNeurons, NeuronId, NeuronRecord, NeuronSimulationResults,
    RelatedNeurons, ScoredExplanation, ScoredSequenceSimulation, ScoredSimulation, SequenceSimulation,
    TokenLookupTableSummaryOfNeuron, TokensAndWeights, WeightBasedSummaryOfNeuron,
};
pub use read::{
    Published, read_explanations, read_record, read_related_neurons, read_token_means, read_token_weights,
};
pub use write::write;

/// Evidence.
const RECORDS: &str = "collated-activations";
/// Explanations with their scores.
const EXPLANATIONS: &str = "explanations";
/// Tokens by mean activation.
const TOKEN_MEANS: &str = "related-tokens/activation-based";
/// Tokens by weight.
const TOKEN_WEIGHTS: &str = "related-tokens/weight-based";
/// Neurons by weight.
const NEURONS: &str = "related-neurons/weight-based";
