//! Checksums of files, by which an atlas knows its model and its dictionaries again.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use xxhash_rust::xxh3::Xxh3;

/// XXH3 over the content of the model's files, one after the other.
pub(crate) fn checksum(files: &[PathBuf]) -> anyhow::Result<String> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        loop {
            match file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))? {
                0 => break,
                length => hash.update(&buffer[..length]),
            }
        }
    }
    Ok(format!("{:016x}", hash.digest()))
}
