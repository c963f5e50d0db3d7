//! Files of every format: errors that name them, JSON, and writing them whole or not at all.

use std::ffi::OsString;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::DictionaryError;

/// Configurations are small; a larger one is no configuration.
const LARGEST_CONFIG: u64 = 16 << 20;

pub(super) fn io_error(path: &Path, source: std::io::Error) -> DictionaryError {
    DictionaryError::Io { path: path.to_owned(), source }
}

pub(super) fn malformed(path: &Path, message: &str) -> DictionaryError {
    DictionaryError::Format { path: path.to_owned(), message: message.to_owned() }
}

pub(super) fn unsupported(subject: &str, message: &str) -> DictionaryError {
    DictionaryError::Unsupported { subject: subject.to_owned(), message: message.to_owned() }
}

/// The bytes of a file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, DictionaryError> {
    std::fs::read(path).map_err(|source| io_error(path, source))
}

/// The text of a small file.
pub(super) fn read_small(path: &Path) -> Result<Vec<u8>, DictionaryError> {
    let size = std::fs::metadata(path).map_err(|source| io_error(path, source))?.len();
    if size > LARGEST_CONFIG {
        return Err(malformed(path, &format!("{size} bytes are too many for a configuration")));
    }
    read_file(path)
}

/// A configuration, with the fields that are wanted and as it stands.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<(T, serde_json::Value), DictionaryError> {
    let text = read_small(path)?;
    let not_json = |error: serde_json::Error| malformed(path, &format!("not the expected JSON: {error}"));
    Ok((serde_json::from_slice(&text).map_err(not_json)?, serde_json::from_slice(&text).map_err(not_json)?))
}

/// Writes a file under a temporary name first, so that it is there whole or not at all.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), DictionaryError> {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|source| io_error(path, source))
}

/// Writes a JSON file.
pub(super) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), DictionaryError> {
    write_file(path, format!("{value:#}\n").as_bytes())
}

/// Makes a directory, unless it is there.
pub(super) fn make_directory(path: &Path) -> Result<(), DictionaryError> {
    std::fs::create_dir_all(path).map_err(|source| io_error(path, source))
}
