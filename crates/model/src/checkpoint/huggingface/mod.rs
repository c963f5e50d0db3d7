//! A Hugging Face model directory: `config.json`, `tokenizer.json` and safetensors files.

mod config;
mod families;
mod safetensors;

use std::path::Path;

pub(super) use config::Configuration;
pub(super) use safetensors::SafetensorsDirectory;

use super::fields::Fields;
use crate::error::ModelError;

/// Reads `config.json` of a directory.
pub(super) fn configuration(directory: &Path) -> Result<Configuration, ModelError> {
    let path = directory.join("config.json");
    if !path.is_file() {
        return Err(ModelError::Format {
            path: directory.to_owned(),
            message: "there is no config.json: give a Hugging Face model directory or a .gguf file".into(),
        });
    }
    Configuration::read(&Fields::open(&path)?)
}
