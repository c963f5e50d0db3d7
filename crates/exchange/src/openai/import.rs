//! Makes an atlas of published neurons, so that the page and every command that reads an atlas works on them.
//!
//! The release gives tokens as texts; equal texts become one token. Its scored sequences are looked up among the
//! neuron's own excerpts, and the split that they are on there is the split of the scores: an explanation whose
//! sequences are not excerpts has scores without simulations.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use glossator_atlas::{
    Atlas, ExcerptKind, Explanation, ForeignRun, ForeignUnit, INTERVALS, Score, Simulation, Split,
    write_foreign,
};
use glossator_model::{HookPoint, UnitId};
use serde::Serialize;

use super::distributions;
use super::objects::{
    ActivationRecord, ActivationScale, NeuronRecord, ScoredExplanation, SequenceSimulation,
};
use super::read::{Published, read_explanations, read_record};
use super::related;
use crate::error::ExchangeError;
use crate::files;

/// The explainer under which published explanations are stored.
const EXPLAINER: &str = "openai";
/// What simulated them.
const SIMULATOR: &str = "simulation:published";

/// How to import.
pub struct ImportPlan<'a> {
    /// The directory with `collated-activations` in it.
    pub source: &'a Path,
    /// Where the atlas goes; empty or not there yet.
    pub atlas: &'a Path,
    /// The subject model's name, for people.
    pub model: &'a str,
    /// The hook point of a layer's neurons, where there is one.
    pub hook: &'a dyn Fn(u32) -> Option<HookPoint>,
}

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Neurons with a record.
    pub neurons: u64,
    /// Neurons of the same layers without one.
    pub missing: u64,
    /// Explanations.
    pub explanations: u64,
    /// Neurons with related tokens or neurons, which are kept for an export.
    pub related: u64,
    /// Scored sequences that are none of their neuron's excerpts: their simulations are left out.
    pub unmatched: u64,
    /// Simulations whose distributions are on no scale that an atlas keeps: these are left out.
    pub without_distributions: u64,
}

/// Numbers for texts and for sequences, in order of appearance.
#[derive(Default)]
struct Numbering {
    texts: Vec<String>,
    tokens: HashMap<String, u32>,
    windows: Vec<Vec<u32>>,
    sequences: HashMap<Vec<u32>, u32>,
}

impl Numbering {
    fn tokens(&mut self, texts: &[String]) -> Vec<u32> {
        let number = |text: &String| {
            if let Some(token) = self.tokens.get(text) {
                return *token;
            }
            let token = self.texts.len() as u32;
            self.texts.push(text.clone());
            self.tokens.insert(text.clone(), token);
            token
        };
        texts.iter().map(number).collect()
    }

    fn window(&mut self, texts: &[String]) -> u32 {
        let tokens = self.tokens(texts);
        if let Some(window) = self.sequences.get(&tokens) {
            return *window;
        }
        let window = self.windows.len() as u32;
        self.windows.push(tokens.clone());
        self.sequences.insert(tokens, window);
        window
    }

    fn known_window(&self, texts: &[String]) -> Option<u32> {
        let tokens: Option<Vec<u32>> = texts.iter().map(|text| self.tokens.get(text).copied()).collect();
        self.sequences.get(&tokens?).copied()
    }
}

/// Imports every neuron below the plan's source. `progress` is called with the number of neurons, then after each of
/// two readings of each.
pub fn import(plan: &ImportPlan<'_>, progress: &dyn Fn(Option<u64>)) -> Result<Imported, ExchangeError> {
    let published = Published::find(plan.source)?;
    files::create_empty(plan.atlas)?;
    progress(Some(published.len() as u64));
    let mut numbers = Numbering::default();
    let mut places: BTreeMap<UnitId, &Published> = BTreeMap::new();
    for neuron in &published {
        for (_, sequence) in sequences(&read_record(&neuron.record)?) {
            numbers.window(&sequence.tokens);
        }
        let hook = (plan.hook)(neuron.layer)
            .ok_or_else(|| ExchangeError::invalid(&neuron.record, "its layer is no hook point"))?;
        places.insert(UnitId { hook, index: neuron.neuron }, neuron);
        progress(None);
    }
    let mut hooks: BTreeMap<HookPoint, u32> = BTreeMap::new();
    for unit in places.keys() {
        let units = hooks.entry(unit.hook).or_default();
        *units = (*units).max(unit.index + 1);
    }
    let units: u64 = hooks.values().map(|units| u64::from(*units)).sum();
    let run = ForeignRun {
        model: plan.model.to_owned(),
        corpus: format!("published records in {}", plan.source.display()),
        token_texts: std::mem::take(&mut numbers.texts),
        windows: std::mem::take(&mut numbers.windows),
        hooks: hooks.into_iter().collect(),
    };
    write_foreign(plan.atlas, &run, |unit| -> Result<_, ExchangeError> {
        let record = places.get(&unit).map(|neuron| read_record(&neuron.record)).transpose()?;
        Ok(record.map(|record| unit_of(&record, &numbers)))
    })?;
    let mut imported = Imported { neurons: published.len() as u64, ..Imported::default() };
    imported.missing = units - imported.neurons;
    let atlas = Atlas::open_writable(plan.atlas)?;
    for (unit, neuron) in places {
        if let Some(path) = &neuron.explanations {
            let results = read_explanations(path)?;
            put_explanations(&atlas, unit, results.scored_explanations, &numbers, &mut imported)?;
        }
        let is_related = related::keep(plan.source, plan.atlas, neuron.layer, neuron.neuron)?;
        imported.related += u64::from(is_related);
        progress(None);
    }
    Ok(imported)
}

/// A record's sequences in the order of an atlas.
fn sequences(record: &NeuronRecord) -> Vec<(ExcerptKind, &ActivationRecord)> {
    let top = record.most_positive_activation_records.iter().map(|sequence| (ExcerptKind::Top, sequence));
    let quantiles = record.random_sample_by_quantile.iter().flatten().take(INTERVALS).enumerate();
    let quantiles = quantiles.flat_map(|(interval, sequences)| {
        sequences.iter().map(move |sequence| (ExcerptKind::Quantile { interval: interval as u8 }, sequence))
    });
    let random = record.random_sample.iter().map(|sequence| (ExcerptKind::Random, sequence));
    top.chain(quantiles).chain(random).collect()
}

fn unit_of(record: &NeuronRecord, numbers: &Numbering) -> ForeignUnit {
    let excerpts = sequences(record).into_iter().filter_map(|(kind, sequence)| {
        let window = numbers.known_window(&sequence.tokens)?;
        Some((kind, window, sequence.activations.iter().map(|value| *value as f32).collect()))
    });
    let known = |value: Option<f64>| value.filter(|value| value.is_finite());
    ForeignUnit {
        mean: known(record.mean),
        variance: known(record.variance),
        skewness: known(record.skewness),
        kurtosis: known(record.kurtosis),
        excerpts: excerpts.collect(),
    }
}

fn put_explanations(
    atlas: &Atlas,
    unit: UnitId,
    explanations: Vec<ScoredExplanation>,
    numbers: &Numbering,
    imported: &mut Imported,
) -> Result<(), ExchangeError> {
    let excerpts = atlas.excerpts(unit)?;
    let maximum = excerpts.iter().map(|excerpt| excerpt.max).fold(0.0, f32::max);
    let (mut stored, mut scores, mut simulations) = (Vec::new(), Vec::new(), Vec::new());
    for (place, scored) in explanations.into_iter().enumerate() {
        let explainer = if place == 0 { EXPLAINER.to_owned() } else { format!("{EXPLAINER}:{}", place + 1) };
        let (mut split, mut tokens) = (Split::Valid, 0);
        for sequence in &scored.scored_simulation.scored_sequence_simulations {
            let window = numbers.known_window(&sequence.simulation.tokens);
            tokens += sequence.simulation.tokens.len() as u64;
            let Some(excerpt) = excerpts.iter().find(|excerpt| Some(excerpt.window) == window) else {
                imported.unmatched += 1;
                continue;
            };
            split = excerpt.split;
            let distributions = distributions::read(&sequence.simulation, maximum);
            imported.without_distributions += u64::from(distributions.is_err());
            simulations.push(Simulation {
                unit,
                explainer: explainer.clone(),
                scorer: SIMULATOR.to_owned(),
                window: excerpt.window,
                activations: predicted(&sequence.simulation, maximum),
                distributions: distributions.unwrap_or_default(),
            });
        }
        let published = &scored.scored_simulation;
        let values = [
            ("correlation", published.ev_correlation_score),
            ("r_squared", published.rsquared_score),
            ("absolute_deviation_explained", published.absolute_dev_explained_score),
        ];
        let row = |(metric, value): (&str, Option<f64>)| Score {
            unit,
            explainer: explainer.clone(),
            scorer: SIMULATOR.to_owned(),
            metric: metric.to_owned(),
            sample: "top_and_random".to_owned(),
            split,
            value: value.filter(|value| value.is_finite()),
            low: None,
            high: None,
            tokens,
            remark: Some(if value.is_some() { "as published" } else { "not published" }.to_owned()),
        };
        scores.extend(values.map(row));
        let body = serde_json::json!({ "published": true });
        stored.push(Explanation { unit, explainer, text: scored.explanation, body, seconds: None });
    }
    imported.explanations += stored.len() as u64;
    atlas.put_explanations(&stored)?;
    atlas.put_scores(&scores, &simulations)?;
    Ok(())
}

/// A simulation in the unit's own scale: published ones from 0 to 10 are undone as they were made, by the maximum.
fn predicted(simulation: &SequenceSimulation, maximum: f32) -> Vec<f32> {
    let scale = match simulation.activation_scale {
        ActivationScale::NeuronActivations => 1.0,
        ActivationScale::SimulatedNormalizedActivations => maximum / 10.0,
    };
    simulation.expected_activations.iter().map(|value| *value as f32 * scale).collect()
}
