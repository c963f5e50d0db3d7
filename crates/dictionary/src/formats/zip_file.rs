//! Zip files from strangers.
//!
//! A zip file's directory can claim anything: entries that overlap, so that a small file holds much, and sizes that
//! nothing could unpack to. Both are refused before an entry is read.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;

use super::files::{io_error, malformed};
use crate::error::DictionaryError;

/// Deflate cannot shrink anything further than this.
const LARGEST_RATIO: u64 = 1032;

/// Opens a zip file whose entries do not overlap and do not claim more than the file can hold.
pub(super) fn open(path: &Path, file: File) -> Result<ZipArchive<BufReader<File>>, DictionaryError> {
    let size = file.metadata().map_err(|source| io_error(path, source))?.len();
    let failed = |error: zip::result::ZipError| {
        malformed(path, &format!("not a whole zip file ({error}); fetch it again"))
    };
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(failed)?;
    let mut total: u64 = 0;
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(failed)?;
        total = total.saturating_add(entry.compressed_size());
        if entry.size() / LARGEST_RATIO > entry.compressed_size() {
            let message = format!(
                "entry `{}` claims {} bytes from {}: a zip bomb",
                entry_name(&entry, path)?,
                entry.size(),
                entry.compressed_size()
            );
            return Err(malformed(path, &message));
        }
    }
    if total > size {
        return Err(malformed(
            path,
            &format!("its entries claim {total} bytes, but it has {size}: they overlap"),
        ));
    }
    Ok(zip)
}

/// The name of an entry.
pub(super) fn entry_name<R: Read>(entry: &ZipFile<'_, R>, path: &Path) -> Result<String, DictionaryError> {
    entry.name().map(Cow::into_owned).map_err(|error| malformed(path, &error.to_string()))
}
