//! The committed goldens of `reference/goldens/NAME`.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses its part")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use glossator_model::{Model, Precision};
use safetensors::SafeTensors;

/// One tiny model per family and feature.
pub const FAMILIES: [&str; 11] = [
    "gpt2",
    "neox_parallel",
    "neox_sequential",
    "llama",
    "llama_tied",
    "llama_yarn",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
];

/// A tiny model and what transformers computed with it.
pub struct Golden {
    pub model: Model,
    pub sequences: Vec<Vec<u32>>,
    pub interventions: BTreeMap<String, String>,
    pub prompt: Vec<u32>,
    pub greedy: Vec<u32>,
    tensors: Vec<u8>,
}

impl Golden {
    /// Opens a golden with its model in f32.
    pub fn open(name: &str) -> Self {
        Self::open_as(name, Precision::F32)
    }

    /// Opens a golden with its model in a precision.
    pub fn open_as(name: &str, precision: Precision) -> Self {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens").join(name);
        let facts = std::fs::read(directory.join("goldens.json")).unwrap();
        let facts: serde_json::Value = serde_json::from_slice(&facts).unwrap();
        let field = |name: &str| facts[name].clone();
        Self {
            model: Model::load(directory.to_str().unwrap(), precision).unwrap(),
            sequences: serde_json::from_value(field("sequences")).unwrap(),
            interventions: serde_json::from_value(field("interventions")).unwrap(),
            prompt: serde_json::from_value(field("prompt")).unwrap(),
            greedy: serde_json::from_value(field("greedy")).unwrap(),
            tensors: std::fs::read(directory.join("goldens.safetensors")).unwrap(),
        }
    }

    /// The names of all golden tensors.
    pub fn names(&self) -> impl Iterator<Item = String> {
        SafeTensors::deserialize(&self.tensors)
            .unwrap()
            .names()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// The values of a golden tensor.
    pub fn tensor(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }
}

/// The demo model's file.
pub fn demo_model() -> PathBuf {
    let directory = std::env::var_os("GLOSSATOR_DEMO_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.cache/demo"), PathBuf::from);
    let path = directory.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is not there: `make demo-model` fetches it", path.display());
    path
}

/// ‖found − expected‖ / ‖expected‖ within a tolerance; infinities must stand in the same places.
pub fn assert_close(family: &str, name: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{family} {name}: length");
    let (mut difference, mut reference) = (0.0, 0.0);
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        if expected.is_finite() {
            difference += f64::from(found - expected).powi(2);
            reference += f64::from(*expected).powi(2);
        } else {
            assert_eq!(found.to_bits(), expected.to_bits(), "{family} {name}[{index}]: {found}");
        }
    }
    let error = (difference / reference).sqrt();
    assert!(error <= tolerance, "{family} {name}: relative error {error:.2e}");
}
