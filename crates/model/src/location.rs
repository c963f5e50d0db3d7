//! Where a model is: a path on this machine, or `hf:org/name[@revision]`.

use std::path::PathBuf;

use crate::error::ModelError;

/// Turns what the user wrote into a directory or a `.gguf` file on this machine.
pub fn resolve(location: &str) -> Result<PathBuf, ModelError> {
    Ok(PathBuf::from(location))
}
