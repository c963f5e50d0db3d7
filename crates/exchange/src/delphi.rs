//! Writes what delphi keeps of a run, as far as an atlas knows it.
//!
//! ```text
//! run_config.json
//! explanations/{hook}_latent{i}.txt          a JSON string
//! scores/simulation/{hook}_latent{i}.txt     a list, one entry a scored excerpt
//! latents/{hook}/config.json, {first}_{last}.safetensors
//! ```
//! delphi's cache holds every activation of a corpus; an atlas holds excerpts. The cache written here therefore holds
//! the excerpts' windows and nothing else: its maxima and examples are right, its firing counts are not, and
//! `config.json` says so (`from_excerpts`). Per shard: `locations` u32 `[n, 3]` (sequence, position, latent − first),
//! `activations` f32 `[n]`, `tokens` i64 `[sequences, context]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use glossator_atlas::{Atlas, ExcerptKind, Explanation, Split};
use glossator_model::{HookPoint, UnitId};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::error::ExchangeError;
use crate::files;

/// delphi keeps activations beyond this.
const KEPT: f32 = 1e-5;

/// Writes `units` below `directory`, which must be empty or not there yet, with their best explanations by
/// `explainer`, or by whatever explains them best. `progress` is called after each unit.
pub fn write(
    atlas: &Atlas,
    units: &[UnitId],
    explainer: Option<&str>,
    directory: &Path,
    progress: &dyn Fn(),
) -> Result<(), ExchangeError> {
    files::create_for(units, directory)?;
    let mut hooks: BTreeMap<HookPoint, Vec<UnitId>> = BTreeMap::new();
    for &unit in units {
        hooks.entry(unit.hook).or_default().push(unit);
    }
    let run = &atlas.manifest().run;
    let names: Vec<String> = hooks.keys().map(ToString::to_string).collect();
    let config = json!({ "model": run.model, "hookpoints": names, "seed": run.seed, "from_excerpts": true });
    files::write_json(&directory.join("run_config.json"), &config)?;
    for (hook, units) in hooks {
        let mut cache = Cache::default();
        for &unit in &units {
            let name = format!("{hook}_latent{}.txt", unit.index);
            if let Some(explanation) = best(atlas, unit, explainer)? {
                files::write_json(&directory.join("explanations").join(&name), &explanation.text)?;
                let scores = scores(atlas, unit, &explanation)?;
                if !scores.is_empty() {
                    files::write_json(&directory.join("scores/simulation").join(&name), &scores)?;
                }
            }
            cache.add(atlas, unit)?;
            progress();
        }
        cache.write(atlas, hook, &directory.join("latents").join(hook.to_string()))?;
    }
    Ok(())
}

/// The explanation by `explainer`, or the one with the best headline.
fn best(atlas: &Atlas, unit: UnitId, explainer: Option<&str>) -> Result<Option<Explanation>, ExchangeError> {
    let mut explanations = atlas.explanations(unit)?;
    if let Some(explainer) = explainer {
        explanations.retain(|explanation| explanation.explainer == explainer);
        return Ok(explanations.pop());
    }
    let scores = atlas.scores(unit)?;
    let (metric, sample) = glossator_atlas::HEADLINE;
    let headline = |explanation: &Explanation| {
        let own = scores.iter().filter(|score| {
            score.explainer == explanation.explainer && score.metric == metric && score.sample == sample
        });
        own.filter_map(|score| score.value).fold(f64::NEG_INFINITY, f64::max)
    };
    Ok(explanations.into_iter().reduce(|a, b| if headline(&b) > headline(&a) { b } else { a }))
}

/// One entry for each scored excerpt.
fn scores(atlas: &Atlas, unit: UnitId, explanation: &Explanation) -> Result<Vec<Value>, ExchangeError> {
    let simulations = atlas.simulations(unit, &explanation.explainer)?;
    let mut entries = Vec::new();
    for excerpt in atlas.excerpts_in(unit, &[Split::Test, Split::Valid])? {
        let simulation = simulations.iter().find(|simulation| simulation.window == excerpt.window);
        let Some(simulation) = simulation else { continue };
        entries.push(json!({
            "str_tokens": excerpt.tokens.iter().map(|&token| atlas.vocabulary().text(token)).collect::<Vec<_>>(),
            "activations": excerpt.activations,
            "predicted_activations": simulation.activations,
            "activating": excerpt.max > KEPT,
            "distance": if excerpt.kind == ExcerptKind::Random { -1 } else { 0 },
        }));
    }
    Ok(entries)
}

/// The activations of a hook point's units on the windows of their excerpts.
#[derive(Default)]
struct Cache {
    /// Tokens by window.
    windows: BTreeMap<u32, Vec<u32>>,
    /// Window, position, latent; activation.
    values: Vec<([u32; 3], f32)>,
    first: Option<u32>,
    last: u32,
}

impl Cache {
    fn add(&mut self, atlas: &Atlas, unit: UnitId) -> Result<(), ExchangeError> {
        self.first = Some(self.first.map_or(unit.index, |first| first.min(unit.index)));
        self.last = self.last.max(unit.index);
        let mut seen = BTreeSet::new();
        for excerpt in atlas.excerpts(unit)? {
            if !seen.insert(excerpt.window) {
                continue;
            }
            let values = excerpt.activations.iter().enumerate().filter(|(_, value)| value.abs() > KEPT);
            self.values.extend(
                values.map(|(position, value)| ([excerpt.window, position as u32, unit.index], *value)),
            );
            self.windows.entry(excerpt.window).or_insert(excerpt.tokens);
        }
        Ok(())
    }

    fn write(mut self, atlas: &Atlas, hook: HookPoint, directory: &Path) -> Result<(), ExchangeError> {
        let first = self.first.unwrap_or(0);
        let rows: BTreeMap<u32, u32> =
            self.windows.keys().enumerate().map(|(row, window)| (*window, row as u32)).collect();
        for (location, _) in &mut self.values {
            location[0] = rows[&location[0]];
            location[2] -= first;
        }
        self.values.sort_by_key(|(location, _)| *location);
        let context = atlas.manifest().run.context as usize;
        let path = directory.join(format!("{first}_{}.safetensors", self.last));
        files::write(&path, &self.safetensors(&path, context)?)?;
        let run = &atlas.manifest().run;
        let config = json!({
            "model_name": run.model, "dataset_repo": run.corpus, "cache_ctx_len": context,
            "n_tokens": self.windows.len() * context, "n_splits": 1, "hookpoint": hook.to_string(), "from_excerpts": true,
        });
        files::write_json(&directory.join("config.json"), &config)
    }

    fn safetensors(&self, path: &Path, context: usize) -> Result<Vec<u8>, ExchangeError> {
        let values: Vec<u8> = self.values.iter().flat_map(|(_, value)| value.to_le_bytes()).collect();
        let locations: Vec<u8> =
            self.values.iter().flat_map(|(location, _)| *location).flat_map(u32::to_le_bytes).collect();
        let tokens: Vec<u8> =
            self.windows.values().flatten().flat_map(|token| i64::from(*token).to_le_bytes()).collect();
        let tensors = [
            ("activations", Dtype::F32, vec![self.values.len()], &values),
            ("locations", Dtype::U32, vec![self.values.len(), 3], &locations),
            ("tokens", Dtype::I64, vec![self.windows.len(), context], &tokens),
        ];
        let invalid = |error: safetensors::SafeTensorError| ExchangeError::invalid(path, error.to_string());
        let views: Vec<(&str, TensorView<'_>)> = tensors
            .into_iter()
            .map(|(name, format, shape, bytes)| Ok((name, TensorView::new(format, shape, bytes)?)))
            .collect::<Result<_, _>>()
            .map_err(invalid)?;
        safetensors::serialize(views, None).map_err(invalid)
    }
}
