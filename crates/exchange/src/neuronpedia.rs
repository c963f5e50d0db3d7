//! Writes what Neuronpedia imports: the tables of its own export.
//!
//! ```text
//! {model}/{layer}-{set}/release.jsonl, model.jsonl, sourceset.jsonl, source.jsonl
//! {model}/{layer}-{set}/features/batch-{n}.jsonl.gz       1,024 units each
//! {model}/{layer}-{set}/activations/batch-{n}.jsonl.gz    the excerpts of the same units
//! {model}/{layer}-{set}/explanations/batch-{n}.jsonl.gz   their explanations
//! ```
//! The set is named after the hook point without its block (`mlp-hook_post`). Excerpts of the top list have `binMin` −1, as
//! SAEDashboard marks them; those of a quantile interval have its edges and its share; random ones have no bin.
//! What an atlas does not know (decoder alignment, correlations, a vector to steer with) is empty or null.

use std::collections::BTreeMap;
use std::path::Path;

use glossator_atlas::{Atlas, Excerpt, ExcerptKind, Explanation, UnitRecord};
use glossator_model::UnitId;
use serde_json::{Value, json};

use crate::error::ExchangeError;
use crate::files::{self, JsonLines};
use crate::group::{Group, groups};

/// Units in a batch file.
const BATCH: usize = 1024;
/// Neighbours that a feature row names.
const NEIGHBOURS: usize = 10;

/// Names that an atlas does not have.
#[derive(Clone, Debug)]
pub struct Names {
    /// Neuronpedia's name of the model, such as `gpt2-small`.
    pub model: String,
    /// The release, such as `smollm2-neurons`.
    pub release: String,
    /// Neuronpedia's identity of the author.
    pub author: String,
}

/// One source: the units of one kind in one layer.
struct Source<'a> {
    atlas: &'a Atlas,
    names: &'a Names,
    /// `{layer}-{set}`.
    id: String,
    set: String,
}

/// Writes `units` below `directory`, which must be empty or not there yet. `progress` is called after each unit.
pub fn write(
    atlas: &Atlas,
    units: &[UnitId],
    names: &Names,
    directory: &Path,
    progress: &dyn Fn(),
) -> Result<(), ExchangeError> {
    files::create_for(units, directory)?;
    for Group { site, units } in groups(units) {
        let set = site.replace('.', "-");
        let mut layers: BTreeMap<u32, Vec<UnitId>> = BTreeMap::new();
        for (layer, unit) in units {
            layers.entry(layer).or_default().push(unit);
        }
        for (layer, units) in layers {
            let source = Source { atlas, names, id: format!("{layer}-{set}"), set: set.clone() };
            let path = directory.join(file_name(&names.model)).join(&source.id);
            source.write_heads(&path)?;
            for (batch, units) in units.chunks(BATCH).enumerate() {
                source.write_batch(&path, batch, units, progress)?;
            }
        }
    }
    Ok(())
}

/// A name that can be one folder.
fn file_name(name: &str) -> String {
    let plain = |letter: char| if letter.is_alphanumeric() || "-_".contains(letter) { letter } else { '-' };
    name.chars().map(plain).collect()
}

impl Source<'_> {
    fn write_heads(&self, directory: &Path) -> Result<(), ExchangeError> {
        let Names { model, release, author } = self.names;
        let run = &self.atlas.manifest().run;
        let heads = [
            (
                "release",
                json!({ "name": release, "description": run.corpus, "creatorName": author, "urls": [] }),
            ),
            ("model", json!({ "id": model, "displayName": run.model, "creatorId": author })),
            (
                "sourceset",
                json!({ "modelId": model, "name": self.set, "description": self.set, "type": self.set,
                        "creatorName": author, "creatorId": author, "releaseName": release }),
            ),
            (
                "source",
                json!({ "id": self.id, "modelId": model, "setName": self.set, "creatorId": author,
                        "num_prompts": run.windows, "num_tokens_in_prompt": run.context, "dataset": run.corpus }),
            ),
        ];
        for (name, row) in heads {
            files::write_json(&directory.join(format!("{name}.jsonl")), &row)?;
        }
        Ok(())
    }

    fn write_batch(
        &self,
        directory: &Path,
        batch: usize,
        units: &[UnitId],
        progress: &dyn Fn(),
    ) -> Result<(), ExchangeError> {
        let create =
            |table: &str| JsonLines::create(&directory.join(format!("{table}/batch-{batch}.jsonl.gz")));
        let (mut features, mut activations, mut explanations) =
            (create("features")?, create("activations")?, create("explanations")?);
        for &unit in units {
            let record = self.atlas.unit(unit)?;
            features.write(&self.feature(&record))?;
            for (place, excerpt) in record.excerpts.iter().enumerate() {
                activations.write(&self.activation(&record, place, excerpt))?;
            }
            for explanation in self.atlas.explanations(unit)? {
                explanations.write(&self.explanation(&explanation))?;
            }
            progress();
        }
        features.finish()?;
        activations.finish()?;
        explanations.finish()
    }

    fn text(&self, token: u32) -> &str {
        self.atlas.vocabulary().text(token)
    }

    fn feature(&self, record: &UnitRecord) -> Value {
        let statistics = &record.statistics;
        let hook = record.unit.hook.to_string();
        let logits = |weights: &[glossator_atlas::TokenWeight]| -> (Vec<&str>, Vec<f32>) {
            (
                weights.iter().map(|weight| self.text(weight.token)).collect(),
                weights.iter().map(|w| w.weight).collect(),
            )
        };
        let (pos_str, pos_values) = logits(&record.top_logits);
        let (neg_str, neg_values) = logits(&record.bottom_logits);
        let similar =
            record.neighbours.iter().filter(|other| other.unit.hook == record.unit.hook).take(NEIGHBOURS);
        let similar: Vec<_> = similar.collect();
        let positive = || record.histogram.iter().filter(|bucket| bucket.low >= 0.0);
        json!({
            "modelId": self.names.model,
            "layer": self.id,
            "index": record.unit.index.to_string(),
            "sourceSetName": self.set,
            "creatorId": self.names.author,
            "maxActApprox": statistics.max,
            "frac_nonzero": finite(statistics.density),
            "hasVector": false,
            "vector": [],
            "vectorLabel": null,
            "vectorDefaultSteerStrength": null,
            "hookName": hook,
            "topkCosSimIndices": similar.iter().map(|other| other.unit.index).collect::<Vec<_>>(),
            "topkCosSimValues": similar.iter().map(|other| other.cosine).collect::<Vec<_>>(),
            "neuron_alignment_indices": [],
            "neuron_alignment_values": [],
            "neuron_alignment_l1": [],
            "correlated_neurons_indices": [],
            "correlated_neurons_pearson": [],
            "correlated_neurons_l1": [],
            "decoder_weights_dist": [],
            "neg_str": neg_str,
            "neg_values": neg_values,
            "pos_str": pos_str,
            "pos_values": pos_values,
            "freq_hist_data_bar_heights": positive().map(|bucket| bucket.count).collect::<Vec<_>>(),
            "freq_hist_data_bar_values": positive().map(|bucket| bucket.low).collect::<Vec<_>>(),
            "logits_hist_data_bar_heights": [],
            "logits_hist_data_bar_values": [],
        })
    }

    fn activation(&self, record: &UnitRecord, place: usize, excerpt: &Excerpt) -> Value {
        let unit = record.unit;
        let (bin_min, bin_max, share) = match excerpt.kind {
            ExcerptKind::Top => (Some(-1.0), Some(-1.0), None),
            ExcerptKind::Quantile { interval } => match record.intervals.get(usize::from(interval)) {
                Some(interval) => (Some(interval.low), Some(interval.high), Some(interval.share)),
                None => (None, None, None),
            },
            ExcerptKind::Random => (None, None, None),
        };
        let position = excerpt.activations.iter().position(|value| *value == excerpt.max);
        let least = excerpt.activations.iter().copied().fold(f32::INFINITY, f32::min);
        json!({
            "id": format!("{}-{}-{}-{place}", self.names.model, self.id, unit.index),
            "modelId": self.names.model,
            "layer": self.id,
            "index": unit.index.to_string(),
            "creatorId": self.names.author,
            "tokens": excerpt.tokens.iter().map(|&token| self.text(token)).collect::<Vec<_>>(),
            "values": excerpt.activations,
            "maxValue": excerpt.max,
            "maxValueTokenIndex": position,
            "minValue": least,
            "dataIndex": excerpt.window.to_string(),
            "dataSource": excerpt.document,
            "dfaValues": [],
            "dfaTargetIndex": null,
            "dfaMaxValue": null,
            "lossValues": [],
            "logitContributions": null,
            "binMin": bin_min,
            "binMax": bin_max,
            "binContains": share,
            "qualifyingTokenIndex": position,
        })
    }

    fn explanation(&self, explanation: &Explanation) -> Value {
        let Explanation { unit, explainer, text, .. } = explanation;
        json!({
            "id": format!("{}-{}-{}-{explainer}", self.names.model, self.id, unit.index),
            "modelId": self.names.model,
            "layer": self.id,
            "index": unit.index.to_string(),
            "description": text,
            "authorId": self.names.author,
            "typeName": explainer,
            "explanationModelName": explanation.body.get("model").and_then(Value::as_str),
            "embedding": null,
        })
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
