//! Reads the published files, hostile ones too: sizes and shapes are checked, nothing is executed.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::objects::{
    ActivationRecord, NeuronRecord, NeuronSimulationResults, RelatedNeurons, SequenceSimulation,
    TokenLookupTableSummaryOfNeuron, WeightBasedSummaryOfNeuron,
};
use super::{EXPLANATIONS, RECORDS};
use crate::error::ExchangeError;
use crate::files;

/// Where the files of one neuron lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its layer.
    pub layer: u32,
    /// Its number in the layer.
    pub neuron: u32,
    /// Its record.
    pub record: PathBuf,
    /// Its explanations, if they are there.
    pub explanations: Option<PathBuf>,
}

impl Published {
    /// All neurons below `directory` that have a record, by layer and number.
    pub fn find(directory: &Path) -> Result<Vec<Self>, ExchangeError> {
        let mut neurons = Vec::new();
        for (layer, folder) in files::numbered(&directory.join(RECORDS), "")? {
            for (neuron, record) in files::numbered(&folder, ".json")? {
                let explanations = directory.join(format!("{EXPLANATIONS}/{layer}/{neuron}.jsonl"));
                let explanations = explanations.is_file().then_some(explanations);
                neurons.push(Self { layer, neuron, record, explanations });
            }
        }
        if neurons.is_empty() {
            return Err(ExchangeError::Nothing {
                path: directory.to_owned(),
                what: "published neuron",
                layout: "collated-activations/{layer}/{neuron}.json",
            });
        }
        Ok(neurons)
    }
}

fn parse<T: DeserializeOwned>(path: &Path, class: &str, bytes: &[u8]) -> Result<T, ExchangeError> {
    let invalid = |error: serde_json::Error| ExchangeError::invalid(path, format!("not a {class}: {error}"));
    serde_json::from_slice(bytes).map_err(invalid)
}

/// A neuron's record.
pub fn read_record(path: &Path) -> Result<NeuronRecord, ExchangeError> {
    let record: NeuronRecord = parse(path, "NeuronRecord", &files::read(path)?)?;
    let quantiles = record.random_sample_by_quantile.iter().flatten().flatten();
    let sequences =
        record.most_positive_activation_records.iter().chain(&record.random_sample).chain(quantiles);
    for sequence in sequences {
        check(path, sequence)?;
    }
    Ok(record)
}

fn check(path: &Path, sequence: &ActivationRecord) -> Result<(), ExchangeError> {
    let (tokens, activations) = (sequence.tokens.len(), sequence.activations.len());
    if tokens != activations {
        let message = format!("a sequence has {tokens} tokens and {activations} activations");
        return Err(ExchangeError::invalid(path, message));
    }
    if let Some(position) = sequence.activations.iter().position(|value| !(*value as f32).is_finite()) {
        let message = format!("the activation at position {position} of a sequence is not a number");
        return Err(ExchangeError::invalid(path, message));
    }
    Ok(())
}

/// A neuron's explanations: the file has one line.
pub fn read_explanations(path: &Path) -> Result<NeuronSimulationResults, ExchangeError> {
    let bytes = files::read(path)?;
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(ExchangeError::invalid(path, "one line is expected"));
    };
    let results: NeuronSimulationResults = parse(path, "NeuronSimulationResults", line)?;
    for explanation in &results.scored_explanations {
        for scored in &explanation.scored_simulation.scored_sequence_simulations {
            check_simulation(path, &scored.simulation)?;
        }
    }
    Ok(results)
}

/// A neuron's tokens by mean activation.
pub fn read_token_means(path: &Path) -> Result<TokenLookupTableSummaryOfNeuron, ExchangeError> {
    let summary: TokenLookupTableSummaryOfNeuron =
        parse(path, "TokenLookupTableSummaryOfNeuron", &files::read(path)?)?;
    equally_long(
        path,
        "tokens",
        summary.tokens.len(),
        "average activations",
        summary.average_activations.len(),
    )?;
    Ok(summary)
}

/// A neuron's tokens by weight.
pub fn read_token_weights(path: &Path) -> Result<WeightBasedSummaryOfNeuron, ExchangeError> {
    let summary: WeightBasedSummaryOfNeuron = parse(path, "WeightBasedSummaryOfNeuron", &files::read(path)?)?;
    let WeightBasedSummaryOfNeuron { input_positive, input_negative, output_positive, output_negative } =
        &summary;
    for list in [input_positive, input_negative, output_positive, output_negative] {
        equally_long(path, "tokens", list.tokens.len(), "strengths", list.strengths.len())?;
    }
    Ok(summary)
}

/// The neurons that a neuron is connected to by weight.
pub fn read_related_neurons(path: &Path) -> Result<RelatedNeurons, ExchangeError> {
    let related: RelatedNeurons = parse(path, "pair of c_fc and c_proj", &files::read(path)?)?;
    for side in related.c_fc.iter().chain(&related.c_proj) {
        let (positive, negative) = (&side.top_positive_neurons, &side.top_negative_neurons);
        equally_long(path, "neurons", positive.len(), "weights", side.top_positive_weights.len())?;
        equally_long(path, "neurons", negative.len(), "weights", side.top_negative_weights.len())?;
        let is_named = |name: &&String| {
            let parts = name.split_once('_');
            parts.is_some_and(|(layer, neuron)| layer.parse::<u32>().is_ok() && neuron.parse::<u32>().is_ok())
        };
        if let Some(name) = positive.iter().chain(negative).find(|name| !is_named(name)) {
            return Err(ExchangeError::invalid(
                path,
                format!("`{name}` is no neuron: LAYER_NEURON is expected"),
            ));
        }
    }
    Ok(related)
}

fn equally_long(
    path: &Path,
    one: &str,
    ones: usize,
    other: &str,
    others: usize,
) -> Result<(), ExchangeError> {
    if ones == others {
        return Ok(());
    }
    Err(ExchangeError::invalid(path, format!("a list has {ones} {one} and {others} {other}")))
}

fn check_simulation(path: &Path, simulation: &SequenceSimulation) -> Result<(), ExchangeError> {
    let (tokens, activations) = (simulation.tokens.len(), simulation.expected_activations.len());
    if tokens != activations {
        let message = format!("a simulation has {tokens} tokens and {activations} activations");
        return Err(ExchangeError::invalid(path, message));
    }
    let (values, probabilities) = (&simulation.distribution_values, &simulation.distribution_probabilities);
    // None at all where the simulator gave none.
    let as_many = values.len() == probabilities.len() && [0, tokens].contains(&values.len());
    if !as_many {
        let message = format!(
            "a simulation of {tokens} tokens has {} lists of values and {} of probabilities",
            values.len(),
            probabilities.len()
        );
        return Err(ExchangeError::invalid(path, message));
    }
    for (position, (values, probabilities)) in values.iter().zip(probabilities).enumerate() {
        let valid = |probability: &f64| probability.is_finite() && *probability >= 0.0;
        if values.len() != probabilities.len() || !probabilities.iter().all(valid) {
            let message = format!("a simulation has no valid distribution at position {position}");
            return Err(ExchangeError::invalid(path, message));
        }
    }
    simulation.uncalibrated_simulation.as_deref().map_or(Ok(()), |inside| check_simulation(path, inside))
}
