//! The decompressed bytes of a file, front to back, with bounds on what a line or a packed file may take.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::discover::SourceFile;
use crate::error::CorpusError;
use crate::format::Compression;

/// Any packed file may grow to this many bytes …
const ALWAYS_ALLOWED: u64 = 256 << 20;
/// … and beyond it to this multiple of its size; repetitive logs reach about 50.
const LARGEST_RATIO: u64 = 500;

const BUFFER: usize = 256 << 10;

/// A file as a stream of decompressed bytes; its errors name the file.
pub(crate) struct ByteStream {
    path: PathBuf,
    compression: Compression,
    bytes: Box<dyn BufRead + Send>,
    packed: u64,
    offset: u64,
    limit: u64,
}

impl ByteStream {
    /// Opens a file at its beginning.
    pub(crate) fn open(source: &SourceFile) -> Result<Self, CorpusError> {
        let io = |error| CorpusError::io(&source.path, error);
        let file = open_file(source)?;
        let packed = file.metadata().map_err(io)?.len();
        let raw = BufReader::with_capacity(BUFFER, file);
        let (bytes, limit): (Box<dyn BufRead + Send>, u64) = match source.compression {
            Compression::None => (Box::new(raw), u64::MAX),
            Compression::Gzip => {
                (Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(raw))), limit(packed))
            }
            Compression::Zstd => {
                let decoder = zstd::Decoder::with_buffer(raw).map_err(io)?;
                (Box::new(BufReader::with_capacity(BUFFER, decoder)), limit(packed))
            }
        };
        Ok(Self {
            path: source.path.clone(),
            compression: source.compression,
            bytes,
            packed,
            offset: 0,
            limit,
        })
    }

    /// The file's name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Decompressed bytes read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends up to `count` bytes; fewer only at the end of the file.
    pub(crate) fn read(&mut self, into: &mut Vec<u8>, count: usize) -> Result<usize, CorpusError> {
        let result = self.bytes.by_ref().take(count as u64).read_to_end(into);
        self.account(result)
    }

    /// Appends bytes up to and with the next line feed, but at most `most`; 0 at the end of the file.
    pub(crate) fn read_line(&mut self, into: &mut Vec<u8>, most: u64) -> Result<usize, CorpusError> {
        let result = self.bytes.by_ref().take(most).read_until(b'\n', into);
        self.account(result)
    }

    fn account(&mut self, result: std::io::Result<usize>) -> Result<usize, CorpusError> {
        let count = result.map_err(|error| self.failed(error))?;
        self.offset += count as u64;
        if self.offset > self.limit {
            let (compressed, limit) = (self.packed, self.limit);
            return Err(CorpusError::Inflates { path: self.path.clone(), compressed, limit });
        }
        Ok(count)
    }

    fn failed(&self, source: std::io::Error) -> CorpusError {
        match self.compression {
            Compression::None => CorpusError::io(&self.path, source),
            Compression::Gzip | Compression::Zstd => CorpusError::Compression {
                path: self.path.clone(),
                compression: self.compression.name(),
                source,
            },
        }
    }
}

fn limit(packed: u64) -> u64 {
    packed.saturating_mul(LARGEST_RATIO).max(ALWAYS_ALLOWED)
}

/// The file itself, or its spooled copy, at the beginning.
pub(crate) fn open_file(source: &SourceFile) -> Result<File, CorpusError> {
    let file = match &source.spool {
        None => File::open(&source.path),
        Some(copy) => copy.try_clone().and_then(|mut file| file.rewind().map(|()| file)),
    };
    file.map_err(|error| CorpusError::io(&source.path, error))
}
