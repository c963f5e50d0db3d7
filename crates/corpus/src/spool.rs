//! Temporary copies of what can be read only once (standard input, pipes) or only from the front (packed Parquet).
//!
//! The copy has no name in the file system, so that nothing is left behind however the process ends.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::decompress::ByteStream;
use crate::discover::SourceFile;
use crate::error::CorpusError;
use crate::format::Compression;

const CHUNK: usize = 1 << 20;

/// Copies a stream as it is; also says how it is compressed, from its first bytes.
pub(crate) fn copy(path: &Path, mut stream: impl Read) -> Result<(File, Compression), CorpusError> {
    let mut file = create()?;
    let mut start = Vec::new();
    let copied = stream
        .by_ref()
        .take(4)
        .read_to_end(&mut start)
        .and_then(|_| file.write_all(&start))
        .and_then(|()| std::io::copy(&mut stream, &mut file));
    copied.map_err(|error| CorpusError::io(path, error))?;
    Ok((file, Compression::of_bytes(&start)))
}

/// Decompresses a file.
pub(crate) fn unpack(source: &SourceFile) -> Result<File, CorpusError> {
    let mut stream = ByteStream::open(source)?;
    let mut file = create()?;
    let mut chunk = Vec::with_capacity(CHUNK);
    while stream.read(&mut chunk, CHUNK)? > 0 {
        file.write_all(&chunk).map_err(|error| CorpusError::io(&std::env::temp_dir(), error))?;
        chunk.clear();
    }
    Ok(file)
}

fn create() -> Result<File, CorpusError> {
    tempfile::tempfile().map_err(|error| CorpusError::io(&std::env::temp_dir(), error))
}
