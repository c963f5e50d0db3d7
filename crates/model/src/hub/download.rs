//! One file from the hub into the cache: resumed where it was cut, checked, then renamed into place.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::cache::{Cache, describe};
use super::client::{Client, Remote};
use super::{Repository, Result};
use crate::location::Progress;

/// How often a broken connection is taken up again without any progress in between.
const ATTEMPTS: u32 = 4;

/// Downloads a file and returns its blob.
pub(super) fn file(
    client: &Client,
    cache: &Cache,
    repository: &Repository,
    commit: &str,
    name: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf> {
    let remote = client.inspect(repository, commit, name)?;
    let blob = cache.blob(&repository.name, &remote.etag);
    if blob.is_file() {
        return Ok(blob);
    }
    let partial = blob.with_extension("incomplete");
    let parent = blob.parent().unwrap_or(cache.root());
    std::fs::create_dir_all(parent).map_err(|error| describe(parent, &error))?;
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&partial);
    let mut file = file.map_err(|error| describe(&partial, &error))?;
    // Two processes that want the same file take turns; the second finds it done.
    file.lock().map_err(|error| describe(&partial, &error))?;
    if blob.is_file() {
        return Ok(blob);
    }
    complete(client, &remote, name, &mut file, &partial, progress)?;
    if let Err(message) = check(&remote, name, &mut file, &partial) {
        // What is wrong stays wrong: the next attempt starts afresh.
        let _ = std::fs::remove_file(&partial);
        return Err(message);
    }
    std::fs::rename(&partial, &blob).map_err(|error| describe(&blob, &error))?;
    Ok(blob)
}

/// Appends to the partial file until it is as long as the remote one.
fn complete(
    client: &Client,
    remote: &Remote,
    name: &str,
    file: &mut File,
    partial: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<()> {
    let io = |error: std::io::Error| describe(partial, &error);
    let mut failures = 0;
    loop {
        let mut have = file.seek(SeekFrom::End(0)).map_err(io)?;
        if have > remote.size {
            file.set_len(0).map_err(io)?;
            have = 0;
        }
        if have == remote.size {
            return Ok(());
        }
        let started = have;
        let result = append(client, remote, file, &mut have, &mut |done| {
            progress(Progress { file: name, done, total: remote.size });
        });
        failures = if have > started { 0 } else { failures + 1 };
        match result {
            Err(message) if failures >= ATTEMPTS => {
                return Err(format!(
                    "{name}: {message}; {have} of {} bytes are kept, run again to resume",
                    remote.size
                ));
            }
            Err(message) => tracing::warn!("{name}: {message}; trying again"),
            Ok(()) if failures >= ATTEMPTS => return Err(format!("{name}: the hub sends no data")),
            Ok(()) => {}
        }
    }
}

/// One request: appends what arrives. `have` is the length of the file, also after an error.
fn append(
    client: &Client,
    remote: &Remote,
    file: &mut File,
    have: &mut u64,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let answer = client.download(remote, *have)?;
    if answer.status() != 206 && *have > 0 {
        // The server starts from the beginning, or knows no such range.
        file.set_len(0).and_then(|()| file.rewind()).map_err(|error| error.to_string())?;
        *have = 0;
        if !answer.status().is_success() {
            return Ok(());
        }
    }
    let mut body = answer.into_body().into_with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match body.read(&mut buffer).map_err(|error| format!("the connection broke: {error}"))? {
            0 => return Ok(()),
            count if *have + count as u64 > remote.size => {
                return Err("the hub sends more than it announced".into());
            }
            count => {
                file.write_all(&buffer[..count]).map_err(|error| error.to_string())?;
                *have += count as u64;
                progress(*have);
            }
        }
    }
}

/// Compares the contents with the SHA-256 that names them; small files are named otherwise.
fn check(remote: &Remote, name: &str, file: &mut File, partial: &Path) -> Result<()> {
    let io = |error: std::io::Error| describe(partial, &error);
    file.sync_all().map_err(io)?;
    let is_sha256 = remote.etag.len() == 64 && remote.etag.chars().all(|c| c.is_ascii_hexdigit());
    if !is_sha256 {
        return Ok(());
    }
    file.rewind().map_err(io)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let mut found = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(found, "{byte:02x}");
    }
    if found.eq_ignore_ascii_case(&remote.etag) {
        return Ok(());
    }
    Err(format!(
        "{name}: the checksum is {found} instead of {}; it was deleted, run again to download it",
        remote.etag
    ))
}
