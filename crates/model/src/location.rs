//! Where a model is: a path on this machine, or `hf:org/name[@revision]`, or one file of such a repository,
//! `hf:org/name/file.gguf[@revision]`.

use std::path::{Path, PathBuf};

use crate::error::ModelError;
use crate::hub::{Hub, Repository};

/// How far the download of one file has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file's name in the repository.
    pub file: &'a str,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

/// Turns what the user wrote into a directory or a `.gguf` file on this machine, downloading into the Hugging Face
/// cache what is not there yet.
///
/// # Errors
/// A path that does not exist; a repository, revision or file that does not exist or may not be read; a broken
/// connection; a file whose checksum differs; anything missing while `HF_HUB_OFFLINE` is set.
pub fn resolve(location: &str) -> Result<PathBuf, ModelError> {
    resolve_with(location, &mut |_| {})
}

/// As [`resolve`], telling `progress` about every part that arrives.
pub fn resolve_with(location: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf, ModelError> {
    match location.strip_prefix("hf:") {
        Some(repository) => {
            let repository = Repository::parse(repository).map_err(|message| error(location, &message))?;
            let fail = |message: String| error(location, &message);
            Hub::from_environment().and_then(|hub| hub.fetch(&repository, progress)).map_err(fail)
        }
        None if Path::new(location).exists() => Ok(PathBuf::from(location)),
        None => {
            let looks_like_repository = location.split('/').count() == 2
                && Repository::parse(location).is_ok()
                && !location.starts_with('.');
            let hint = if looks_like_repository {
                format!("; for the Hugging Face repository write hf:{location}")
            } else {
                String::new()
            };
            Err(error(location, &format!("no such file or directory{hint}")))
        }
    }
}

fn error(location: &str, message: &str) -> ModelError {
    ModelError::Location { location: location.to_owned(), message: message.to_owned() }
}
