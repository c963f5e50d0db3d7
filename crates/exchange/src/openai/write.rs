//! Writes units of an atlas as OpenAI's neurons.
//!
//! Sequences keep their order: the top list by rank and the random list by place, so that readers that take every
//! fourth top and every third random sequence find the splits that Glossator itself used. A window is on both lists
//! only where it is on both in the atlas. Explanations come best first, once for each scorer that simulated them; with
//! scores on the test split where there are any, else with those on the valid split.

use std::collections::BTreeSet;
use std::path::Path;

use glossator_atlas::{
    Atlas, Excerpt, ExcerptKind, INTERVALS, QUANTILES, Score, Simulation, Split, TokenWeight, UnitRecord,
};
use glossator_explain::score::{Resampling, ScoredExcerpt, Scores, Stratum};
use glossator_model::UnitId;

use super::connections::Connections;
use super::distributions;
use super::objects::{
    ActivationRecord, ActivationScale, NeuronId, NeuronRecord, NeuronSimulationResults, ScoredExplanation,
    ScoredSequenceSimulation, ScoredSimulation, SequenceSimulation, TokenLookupTableSummaryOfNeuron,
    TokensAndWeights, WeightBasedSummaryOfNeuron,
};
use super::{EXPLANATIONS, NEURONS, RECORDS, TOKEN_MEANS, TOKEN_WEIGHTS, related};
use crate::error::ExchangeError;
use crate::files;
use crate::group::groups;

/// Writes `units` below `directory`, which must be empty or not there yet; what they are connected to is left empty where
/// `connections` does not have it. `progress` is called after each unit.
pub fn write(
    atlas: &Atlas,
    units: &[UnitId],
    connections: &Connections,
    directory: &Path,
    progress: &dyn Fn(),
) -> Result<(), ExchangeError> {
    files::create_for(units, directory)?;
    let groups = groups(units);
    for group in &groups {
        let below = if groups.len() == 1 { directory.to_owned() } else { directory.join(&group.site) };
        for &(layer, unit) in &group.units {
            write_unit(atlas, connections, layer, unit, &below)?;
            progress();
        }
    }
    Ok(())
}

fn write_unit(
    atlas: &Atlas,
    connections: &Connections,
    layer: u32,
    unit: UnitId,
    directory: &Path,
) -> Result<(), ExchangeError> {
    let record = atlas.unit(unit)?;
    let neuron_id = NeuronId { layer_index: layer, neuron_index: unit.index };
    let path =
        |folder: &str, suffix: &str| directory.join(format!("{folder}/{layer}/{}{suffix}", unit.index));
    files::write_json(&path(RECORDS, ".json"), &neuron_record(atlas, neuron_id, &record))?;
    for folder in [TOKEN_MEANS, TOKEN_WEIGHTS, NEURONS] {
        let path = path(folder, ".json");
        match related::kept(atlas.path(), folder, layer, unit.index)? {
            // As it was published and imported.
            Some(published) => files::write(&path, &published)?,
            None if folder == TOKEN_MEANS => files::write_json(&path, &token_means(atlas, &record))?,
            None if folder == TOKEN_WEIGHTS => {
                files::write_json(&path, &token_weights(atlas, connections, &record))?;
            }
            None => files::write_json(&path, &connections.related(unit))?,
        }
    }
    let results = results(atlas, neuron_id, &record)?;
    if !results.scored_explanations.is_empty() {
        files::write_json(&path(EXPLANATIONS, ".jsonl"), &results)?;
    }
    Ok(())
}

fn sequence(atlas: &Atlas, excerpt: &Excerpt) -> ActivationRecord {
    ActivationRecord {
        tokens: texts(atlas, excerpt),
        activations: excerpt.activations.iter().map(|value| f64::from(*value)).collect(),
    }
}

fn texts(atlas: &Atlas, excerpt: &Excerpt) -> Vec<String> {
    excerpt.tokens.iter().map(|&token| atlas.vocabulary().text(token).to_owned()).collect()
}

fn neuron_record(atlas: &Atlas, neuron_id: NeuronId, record: &UnitRecord) -> NeuronRecord {
    let of = |kind: ExcerptKind| -> Vec<ActivationRecord> {
        record
            .excerpts
            .iter()
            .filter(|excerpt| excerpt.kind == kind)
            .map(|excerpt| sequence(atlas, excerpt))
            .collect()
    };
    // The highest interval is the top list itself.
    let intervals = (0..INTERVALS as u8 - 1).map(|interval| of(ExcerptKind::Quantile { interval })).collect();
    let statistics = &record.statistics;
    let known = |value: f64| value.is_finite().then_some(value);
    NeuronRecord {
        neuron_id,
        random_sample: of(ExcerptKind::Random),
        random_sample_by_quantile: Some(intervals),
        quantile_boundaries: Some(QUANTILES[..INTERVALS].to_vec()),
        mean: known(statistics.mean),
        variance: known(statistics.variance),
        skewness: statistics.skewness,
        kurtosis: statistics.kurtosis,
        most_positive_activation_records: of(ExcerptKind::Top),
    }
}

fn token_means(atlas: &Atlas, record: &UnitRecord) -> TokenLookupTableSummaryOfNeuron {
    TokenLookupTableSummaryOfNeuron {
        tokens: record.top_tokens.iter().map(|mean| atlas.vocabulary().text(mean.token).to_owned()).collect(),
        average_activations: record.top_tokens.iter().map(|mean| f64::from(mean.mean)).collect(),
    }
}

fn token_weights(
    atlas: &Atlas,
    connections: &Connections,
    record: &UnitRecord,
) -> WeightBasedSummaryOfNeuron {
    let list = |weights: Vec<(u32, f32)>| TokensAndWeights {
        tokens: weights.iter().map(|(token, _)| atlas.vocabulary().text(*token).to_owned()).collect(),
        strengths: weights.iter().map(|(_, weight)| f64::from(*weight)).collect(),
    };
    let logits = |weights: &[TokenWeight]| -> Vec<(u32, f32)> {
        weights.iter().map(|weight| (weight.token, weight.weight)).collect()
    };
    let [input_positive, input_negative] = connections.tokens(record.unit).map(list);
    WeightBasedSummaryOfNeuron {
        input_positive,
        input_negative,
        output_positive: list(logits(&record.top_logits)),
        output_negative: list(logits(&record.bottom_logits)),
    }
}

fn results(
    atlas: &Atlas,
    neuron_id: NeuronId,
    record: &UnitRecord,
) -> Result<NeuronSimulationResults, ExchangeError> {
    let scores = atlas.scores(record.unit)?;
    let mut scored: Vec<(Option<f64>, ScoredExplanation)> = Vec::new();
    for explanation in atlas.explanations(record.unit)? {
        let simulations = atlas.simulations(record.unit, &explanation.explainer)?;
        let scorers: BTreeSet<&str> =
            simulations.iter().map(|simulation| simulation.scorer.as_str()).collect();
        // An explanation that no one has scored is given once, without scores.
        let scorers = if scorers.is_empty() { BTreeSet::from([""]) } else { scorers };
        for scorer in scorers {
            let of_scorer =
                |score: &&Score| score.explainer == explanation.explainer && score.scorer == scorer;
            let own: Vec<&Score> = scores.iter().filter(of_scorer).collect();
            let simulations: Vec<&Simulation> =
                simulations.iter().filter(|one| one.scorer == scorer).collect();
            let scored_simulation = scored_simulation(atlas, record, &own, &simulations);
            let score = scored_simulation.ev_correlation_score;
            scored.push((
                score,
                ScoredExplanation { explanation: explanation.text.clone(), scored_simulation },
            ));
        }
    }
    // Stable: explanations without a score stay in the order of their explainers, after the others.
    scored
        .sort_by(|(a, _), (b, _)| b.unwrap_or(f64::NEG_INFINITY).total_cmp(&a.unwrap_or(f64::NEG_INFINITY)));
    Ok(NeuronSimulationResults {
        neuron_id,
        scored_explanations: scored.into_iter().map(|(_, explanation)| explanation).collect(),
    })
}

fn scored_simulation(
    atlas: &Atlas,
    record: &UnitRecord,
    own: &[&Score],
    simulations: &[&Simulation],
) -> ScoredSimulation {
    let split =
        [Split::Test, Split::Valid].into_iter().find(|split| own.iter().any(|score| score.split == *split));
    let value = |metric: &str| {
        let score = own.iter().find(|score| {
            Some(score.split) == split && score.metric == metric && score.sample == "top_and_random"
        });
        score.and_then(|score| score.value)
    };
    let sequences = split.map_or_else(Vec::new, |split| {
        // Top sequences first: readers take the first half as such.
        let excerpts = record.select(true, split).chain(record.select(false, split));
        excerpts.filter_map(|excerpt| scored_sequence(atlas, excerpt, simulations)).collect()
    });
    ScoredSimulation {
        scored_sequence_simulations: sequences,
        ev_correlation_score: value("correlation"),
        rsquared_score: value("r_squared"),
        absolute_dev_explained_score: value("absolute_deviation_explained"),
    }
}

fn scored_sequence(
    atlas: &Atlas,
    excerpt: &Excerpt,
    simulations: &[&Simulation],
) -> Option<ScoredSequenceSimulation> {
    let simulation = simulations.iter().find(|simulation| simulation.window == excerpt.window)?;
    Some(ScoredSequenceSimulation {
        simulation: sequence_simulation(texts(atlas, excerpt), simulation),
        true_activations: excerpt.activations.iter().map(|value| f64::from(*value)).collect(),
        ev_correlation_score: correlation(&excerpt.activations, &simulation.activations),
        rsquared_score: None,
        absolute_dev_explained_score: None,
    })
}

/// A simulation in the unit's scale; where a model gave distributions, with them, and as the model gave it inside.
fn sequence_simulation(tokens: Vec<String>, simulation: &Simulation) -> SequenceSimulation {
    let distributions = simulation.distributions.as_ref();
    let probabilities = distributions.map_or_else(Vec::new, distributions::probabilities);
    let uncalibrated = distributions.map(|given| SequenceSimulation {
        tokens: tokens.clone(),
        expected_activations: distributions::means(given),
        activation_scale: ActivationScale::SimulatedNormalizedActivations,
        distribution_values: distributions::values(given, |number| distributions::normalised(given, number)),
        distribution_probabilities: probabilities.clone(),
        uncalibrated_simulation: None,
    });
    SequenceSimulation {
        tokens,
        expected_activations: simulation.activations.iter().map(|value| f64::from(*value)).collect(),
        activation_scale: ActivationScale::NeuronActivations,
        distribution_values: distributions
            .map_or_else(Vec::new, |given| distributions::values(given, |number| given.activation(number))),
        distribution_probabilities: probabilities,
        uncalibrated_simulation: uncalibrated.map(Box::new),
    }
}

/// The correlation on one sequence; `None` where either side is constant.
fn correlation(truth: &[f32], prediction: &[f32]) -> Option<f64> {
    let excerpt = ScoredExcerpt { truth, prediction, stratum: Stratum::Top };
    Scores::of(&[excerpt], None, 0.0, &Resampling::new(0, 0, 0)).top_only.correlation.value
}
