//! Checkpoints and shards: a recorder's state in a file, with what it was made for and how far it got.
//!
//! `GLSHARD2`, length u64 and JSON of the header, number u64 of windows and the windows, the state, XXH3
//! checksum u64 of all before it. A checkpoint has no windows, as the run that goes on has its corpus.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::recorder::Recorder;
use super::settings::RecordSettings;
use super::state_file::{self, StateReader, StateWriter};
use crate::error::{AtPath, AtlasError};
use crate::files;
use crate::tables::windows::WindowRow;

const MAGIC: [u8; 8] = *b"GLSHARD2";
/// Largest header that is read.
const MAX_HEADER: u64 = 256 << 20;

/// How far a recording got, and which part of the selection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardProgress {
    /// Which shard, from 0.
    pub shard: u64,
    /// Of how many.
    pub shards: u64,
    /// Windows per batch; batches go to the shards in turn.
    pub batch_windows: u64,
    /// Batches of the shard that are recorded.
    pub batches: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    settings: RecordSettings,
    progress: ShardProgress,
    run_file: String,
}

/// A part of a recording: its state, and the windows it saw.
pub struct Shard {
    /// The recorded state.
    pub recorder: Recorder,
    /// Which part it is.
    pub progress: ShardProgress,
    /// The windows it saw, ascending; empty in a checkpoint.
    pub windows: Vec<WindowRow>,
    /// The run file of the atlas, for whoever writes it.
    pub run_file: String,
}

impl Shard {
    /// A part that has only begun.
    pub fn new(recorder: Recorder, progress: ShardProgress) -> Self {
        Self { recorder, progress, windows: Vec::new(), run_file: String::new() }
    }

    /// Writes the part to a file, atomically.
    pub fn save(&mut self, path: &Path) -> Result<(), AtlasError> {
        let partial = files::temporary(path);
        let file = File::create(&partial).at(&partial)?;
        let mut to = StateWriter::new(&partial, BufWriter::with_capacity(1 << 20, file));
        let header = Header {
            settings: self.recorder.settings().clone(),
            progress: self.progress,
            run_file: self.run_file.clone(),
        };
        let header = serde_json::to_vec(&header).at(&partial)?;
        to.bytes(&MAGIC)?;
        to.bytes(&(header.len() as u64).to_le_bytes())?;
        to.bytes(&header)?;
        to.bytes(&(self.windows.len() as u64).to_le_bytes())?;
        for window in &self.windows {
            to.all(&[window.window, window.offset, window.document.len() as u32], u32::to_le_bytes)?;
            to.bytes(window.document.as_bytes())?;
            to.all(&window.tokens, u32::to_le_bytes)?;
        }
        state_file::write(&mut self.recorder, &mut to)?;
        to.finish()?;
        files::publish(&partial, path)
    }

    /// Reads a part back.
    pub fn load(path: &Path) -> Result<Self, AtlasError> {
        let file = File::open(path).at(path)?;
        let length = file.metadata().at(path)?.len();
        let mut from = StateReader::new(path, BufReader::with_capacity(1 << 20, file));
        let Header { settings, progress, run_file } = read_header(&mut from, length)?;
        settings.check()?;
        let count = u64::from_le_bytes(from.array()?);
        let windows = read_windows(&mut from, count, &settings)?;
        if state_file::least_bytes(&settings) > length {
            return Err(from.broken("it is too short for its settings"));
        }
        let recorder = state_file::read(settings, &mut from)?;
        from.finish()?;
        Ok(Self { recorder, progress, windows, run_file })
    }

    /// Reads a checkpoint and checks that it belongs to a run with these settings.
    pub fn resume(path: &Path, settings: &RecordSettings, start: ShardProgress) -> Result<Self, AtlasError> {
        let shard = Self::load(path)?;
        check_equal(path, &shard, settings)?;
        if (ShardProgress { batches: 0, ..shard.progress }) != start {
            let [found, expected] = [shard.progress, start].map(|progress| format!("{progress:?}"));
            return Err(AtlasError::Mismatch {
                path: path.to_owned(),
                field: "shard".to_owned(),
                found,
                expected,
            });
        }
        Ok(shard)
    }
}

/// Joins the parts of a recording into one, as if it had been recorded at once.
pub fn merge(paths: &[PathBuf]) -> Result<Shard, AtlasError> {
    let [first, rest @ ..] = paths else {
        return Err(AtlasError::IncompleteShards { message: "none was given".to_owned() });
    };
    let mut merged = Shard::load(first)?;
    let mut seen = BTreeSet::from([merged.progress.shard]);
    for path in rest {
        let shard = Shard::load(path)?;
        check_equal(path, &shard, merged.recorder.settings())?;
        let same_cut = (shard.progress.shards, shard.progress.batch_windows)
            == (merged.progress.shards, merged.progress.batch_windows);
        if !same_cut || !seen.insert(shard.progress.shard) {
            let message = format!("{} is not another part of the same division", path.display());
            return Err(AtlasError::IncompleteShards { message });
        }
        let theirs: BTreeSet<u32> = shard.windows.iter().map(|window| window.window).collect();
        merged.recorder.merge(shard.recorder, |window| theirs.contains(&window));
        merged.windows.extend(shard.windows);
    }
    merged.windows.sort_by_key(|window| window.window);
    let complete = merged.windows.iter().enumerate().all(|(number, window)| number as u32 == window.window);
    let selected = merged.recorder.settings().run.windows;
    let (listed, recorded) = (merged.windows.len() as u64, merged.recorder.recorded());
    if !complete || listed != selected || recorded != selected {
        let message = format!(
            "{} of {} given, with {recorded} of {selected} windows",
            seen.len(),
            merged.progress.shards
        );
        return Err(AtlasError::IncompleteShards { message });
    }
    Ok(merged)
}

fn check_equal(path: &Path, shard: &Shard, settings: &RecordSettings) -> Result<(), AtlasError> {
    match shard.recorder.settings().difference(settings) {
        None => Ok(()),
        Some((field, found, expected)) => {
            Err(AtlasError::Mismatch { path: path.to_owned(), field, found, expected })
        }
    }
}

fn read_header(from: &mut StateReader<'_, impl Read>, length: u64) -> Result<Header, AtlasError> {
    if from.array()? != MAGIC {
        return Err(from.broken("it is no shard or checkpoint of this version"));
    }
    let size = u64::from_le_bytes(from.array()?);
    if size > length.min(MAX_HEADER) {
        return Err(from.broken("its header is longer than the file"));
    }
    let header = from.bytes(size)?;
    serde_json::from_slice(&header).at(from.path)
}

fn read_windows(
    from: &mut StateReader<'_, impl Read>,
    count: u64,
    settings: &RecordSettings,
) -> Result<Vec<WindowRow>, AtlasError> {
    if count > settings.run.windows {
        return Err(from.broken("it has more windows than the selection"));
    }
    let mut windows = Vec::new();
    for _ in 0..count {
        let [window, offset, name] = [from.array()?, from.array()?, from.array()?].map(u32::from_le_bytes);
        let document = String::from_utf8(from.bytes(name.into())?)
            .map_err(|_| from.broken("the name of a document is no text"))?;
        let tokens = from.bytes(u64::from(settings.run.context) * 4)?;
        let tokens = tokens.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        windows.push(WindowRow { window, document, offset, tokens });
    }
    Ok(windows)
}
