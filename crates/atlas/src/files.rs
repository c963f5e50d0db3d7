//! Names of the files in an atlas, and how files are read and written: bounded, and atomically.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use glossator_model::HookPoint;

use crate::error::{AtPath, AtlasError};

/// The manifest.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Point look-ups, search and ledgers.
pub(crate) const DATABASE: &str = "atlas.sqlite";
/// The vocabulary with its counts in the selection.
pub(crate) const TOKENS: &str = "tokens.parquet";
/// The windows that excerpts refer to.
pub(crate) const WINDOWS: &str = "windows.parquet";
/// One row per unit.
pub(crate) const UNITS: &str = "units.parquet";

/// Directories with one Parquet file per hook point.
pub(crate) const EXCERPTS: &str = "excerpts";
/// Mean activation per token.
pub(crate) const TOKEN_MEANS: &str = "token_means";
/// Tokens that a unit raises and lowers.
pub(crate) const LOGIT_WEIGHTS: &str = "logit_weights";
/// Units with similar output directions.
pub(crate) const NEIGHBOURS: &str = "neighbours";

/// Neurons that features are correlated with.
pub(crate) const CORRELATED_NEURONS: &str = "correlated_neurons";
/// Neurons that features are aligned with.
pub(crate) const ALIGNED_NEURONS: &str = "aligned_neurons";

/// `{directory}/{folder}/{hook}.parquet`.
pub(crate) fn hook_file(directory: &Path, folder: &str, hook: HookPoint) -> PathBuf {
    directory.join(folder).join(format!("{hook}.parquet"))
}

/// The whole of a file that must not be larger than `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, AtlasError> {
    let file = File::open(path).at(path)?;
    let length = file.metadata().at(path)?.len();
    if length > limit {
        return Err(AtlasError::invalid(path, format!("{length} bytes, more than the {limit} allowed")));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit).read_to_end(&mut bytes).at(path)?;
    Ok(bytes)
}

/// The name under which a file is written before it takes its own.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Gives a finished temporary file its name, durably.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<(), AtlasError> {
    File::open(temporary).and_then(|file| file.sync_all()).at(temporary)?;
    fs::rename(temporary, path).at(path)
}

/// Writes a small file atomically.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), AtlasError> {
    let partial = temporary(path);
    File::create(&partial).and_then(|mut file| file.write_all(bytes)).at(&partial)?;
    publish(&partial, path)
}
