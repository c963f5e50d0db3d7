//! Files are written under another name and renamed when they are whole; what is read is bounded.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use glossator_model::UnitId;
use serde::Serialize;

use crate::error::ExchangeError;

/// The largest file that is read: a published neuron takes some 200 KB.
const MAX_BYTES: u64 = 256 << 20;

/// Makes `directory`, which must be empty or not there yet.
pub(crate) fn create_empty(directory: &Path) -> Result<(), ExchangeError> {
    fs::create_dir_all(directory).map_err(ExchangeError::io(directory))?;
    let mut entries = fs::read_dir(directory).map_err(ExchangeError::io(directory))?;
    if entries.next().is_some() {
        return Err(ExchangeError::Occupied { path: directory.to_owned() });
    }
    Ok(())
}

/// Makes `directory` for an export of `units`; an export of none is refused before anything is made.
pub(crate) fn create_for(units: &[UnitId], directory: &Path) -> Result<(), ExchangeError> {
    if units.is_empty() {
        return Err(ExchangeError::NoUnits);
    }
    create_empty(directory)
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Writes a file whole, with the directories above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ExchangeError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(ExchangeError::io(parent))?;
    }
    let partial = partial(path);
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).map_err(ExchangeError::io(path))
}

/// Writes a value as JSON on one line.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ExchangeError> {
    let mut json =
        serde_json::to_vec(value).map_err(|error| ExchangeError::invalid(path, error.to_string()))?;
    json.push(b'\n');
    write(path, &json)
}

/// A gzip-compressed file with one JSON value a line.
pub(crate) struct JsonLines {
    path: PathBuf,
    partial: PathBuf,
    writer: GzEncoder<BufWriter<File>>,
}

impl JsonLines {
    /// Starts the file, with the directories above it.
    pub(crate) fn create(path: &Path) -> Result<Self, ExchangeError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ExchangeError::io(parent))?;
        }
        let partial = partial(path);
        let file = File::create(&partial).map_err(ExchangeError::io(&partial))?;
        let writer = GzEncoder::new(BufWriter::new(file), Compression::default());
        Ok(Self { path: path.to_owned(), partial, writer })
    }

    /// Appends a line.
    pub(crate) fn write(&mut self, value: &impl Serialize) -> Result<(), ExchangeError> {
        let invalid = |error: serde_json::Error| ExchangeError::invalid(&self.path, error.to_string());
        let line = serde_json::to_vec(value).map_err(invalid)?;
        self.writer
            .write_all(&line)
            .and_then(|()| self.writer.write_all(b"\n"))
            .map_err(ExchangeError::io(&self.partial))
    }

    /// Completes the file and gives it its name.
    pub(crate) fn finish(self) -> Result<(), ExchangeError> {
        let Self { path, partial, writer } = self;
        let flushed = writer.finish().and_then(|mut file| file.flush());
        flushed.and_then(|()| fs::rename(&partial, &path)).map_err(ExchangeError::io(&path))
    }
}

/// The whole of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ExchangeError> {
    let file = File::open(path).map_err(ExchangeError::io(path))?;
    let length = file.metadata().map_err(ExchangeError::io(path))?.len();
    if length > MAX_BYTES {
        return Err(ExchangeError::invalid(
            path,
            format!("{length} bytes, more than the {MAX_BYTES} allowed"),
        ));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(ExchangeError::io(path))?;
    Ok(bytes)
}

/// The entries of a directory whose names are a number before `suffix`, by number. No directory has no entries.
pub(crate) fn numbered(directory: &Path, suffix: &str) -> Result<Vec<(u32, PathBuf)>, ExchangeError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ExchangeError::io(directory)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(ExchangeError::io(directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(number) = name.and_then(|name| name.strip_suffix(suffix)?.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}
