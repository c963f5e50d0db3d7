//! `manifest.json`: what an atlas is, what it was made from, and which stages are done.
//!
//! It is rewritten atomically after every stage. Timestamps live here and nowhere else, so that all
//! other files of two equal runs are equal.

use std::collections::BTreeMap;
use std::path::Path;

use glossator_model::{BlockSite, HookPoint};
use serde::{Deserialize, Serialize};

use crate::error::{AtPath, AtlasError};
use crate::files;
use crate::recording::RecordSettings;

/// The version of everything on disk. It changes whenever an older reader would misread.
pub const SCHEMA_VERSION: u32 = 2;

/// The largest manifest that is read.
const MAX_BYTES: u64 = 64 << 20;

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of the program that wrote the atlas.
    pub glossator: String,
    /// What was recorded.
    pub run: RunSummary,
    /// The hook points, in order of execution.
    pub hooks: Vec<HookSummary>,
    /// Finished stages by name.
    pub stages: BTreeMap<String, Stage>,
}

/// What was recorded, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The subject model's name.
    pub model: String,
    /// Where the model was loaded from, as given: a path or `hf:org/name`.
    #[serde(default)]
    pub model_location: String,
    /// Checksum over the model's files.
    pub model_checksum: String,
    /// Arithmetic of the forward pass: `f32` or `bf16`.
    pub precision: String,
    /// Tokens of the model's vocabulary.
    pub vocab_size: u32,
    /// Description of the corpus for people.
    pub corpus: String,
    /// Checksum over the selected windows, tokens and order included.
    pub selection_checksum: String,
    /// Tokens per window.
    pub context: u32,
    /// Windows recorded.
    pub windows: u64,
    /// Tokens recorded that count (see `ignored_positions`).
    pub tokens: u64,
    /// Positions at the start of every window that count in no statistic, maximum or token mean: a begin-of-sequence
    /// token, and others where models park attention. Excerpts still show them.
    pub ignored_positions: u32,
    /// The begin-of-sequence token in front of every window, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bos: Option<u32>,
    /// The seed of every choice.
    pub seed: u64,
    /// The dictionaries that were spliced into the model, in order of execution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dictionaries: Vec<DictionarySummary>,
}

/// A sparse dictionary whose features were recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DictionarySummary {
    /// The hook point of its features.
    pub hook: HookPoint,
    /// Where it was loaded from, as given.
    pub location: String,
    /// Checksum over its files.
    pub checksum: String,
}

/// A hook point of an atlas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookSummary {
    /// The hook point.
    pub hook: HookPoint,
    /// Its units.
    pub units: u32,
    /// Whether its units have an output direction, and so logit weights and neighbours.
    pub directions: bool,
    /// For features: the recorded neurons whose correlation and alignment with them are kept, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neurons: Option<HookPoint>,
}

impl HookSummary {
    /// The neurons that the features of a dictionary may be made of: those of the MLP that last wrote to the place that it
    /// reads, or that it reads itself.
    pub fn neurons_of(features: HookPoint) -> Option<HookPoint> {
        use BlockSite as S;
        let (layer, site) = (features.base().layer()?, features.base().site()?);
        match site {
            _ if !features.is_features() => None,
            S::MlpPost | S::MlpOut | S::ResidPost => Some(HookPoint::mlp_post(layer)),
            S::ResidPre | S::ResidMid => layer.checked_sub(1).map(HookPoint::mlp_post),
            _ => None,
        }
    }
}

/// A finished stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Seconds since 1970 when it finished.
    pub finished: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Manifest {
    /// Of a recording, without stages yet.
    pub(crate) fn new(settings: &RecordSettings) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            glossator: env!("CARGO_PKG_VERSION").to_owned(),
            run: settings.run.clone(),
            hooks: settings.hooks.clone(),
            stages: BTreeMap::new(),
        }
    }

    /// Reads and checks the manifest of the atlas at `directory`.
    pub fn read(directory: &Path) -> Result<Self, AtlasError> {
        let path = directory.join(files::MANIFEST);
        if !path.exists() {
            return Err(AtlasError::NotAnAtlas { path: directory.to_owned() });
        }
        let bytes = files::read_bounded(&path, MAX_BYTES)?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).at(&path)?;
        let found = value.get("schema_version").and_then(serde_json::Value::as_u64);
        let found = found.ok_or_else(|| AtlasError::invalid(&path, "`schema_version` is missing"))?;
        if found != u64::from(SCHEMA_VERSION) {
            let advice =
                if found < u64::from(SCHEMA_VERSION) { "record it again" } else { "use a newer glossator" };
            return Err(AtlasError::SchemaVersion { path, found, supported: SCHEMA_VERSION, advice });
        }
        let manifest: Self = serde_json::from_value(value).at(&path)?;
        manifest.check(&path)?;
        Ok(manifest)
    }

    /// Writes the manifest of the atlas at `directory`, atomically.
    pub fn write(&self, directory: &Path) -> Result<(), AtlasError> {
        let path = directory.join(files::MANIFEST);
        let mut json = serde_json::to_vec_pretty(self).at(&path)?;
        json.push(b'\n');
        files::write_atomically(&path, &json)
    }

    /// The entry of a hook point.
    pub fn hook(&self, hook: HookPoint) -> Option<&HookSummary> {
        self.hooks.iter().find(|summary| summary.hook == hook)
    }

    fn check(&self, path: &Path) -> Result<(), AtlasError> {
        if self.run.context == 0 || self.run.context > 1 << 20 {
            return Err(AtlasError::invalid(path, format!("`run.context` is {}", self.run.context)));
        }
        if self.run.ignored_positions >= self.run.context {
            return Err(AtlasError::invalid(path, "`run.ignored_positions` covers the whole window"));
        }
        if self.hooks.windows(2).any(|pair| pair[0].hook >= pair[1].hook) {
            return Err(AtlasError::invalid(path, "`hooks` is not in order of execution"));
        }
        Ok(())
    }
}
