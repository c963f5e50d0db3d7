//! The cache directory, laid out as `huggingface_hub` does: `models--org--name/` with `blobs/ETAG` (the contents),
//! `snapshots/COMMIT/FILE` (links to blobs) and `refs/REVISION` (the commit of a branch or tag).

use std::fs;
use std::path::{Path, PathBuf};

use super::Result;

/// The root of the cache.
#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.root.join(format!("models--{}", name.replace('/', "--")))
    }

    /// The snapshot of a revision that the cache knows: a branch or tag seen before, or a commit.
    pub(super) fn snapshot(&self, name: &str, revision: &str) -> Option<PathBuf> {
        let reference = self.repository(name).join("refs").join(revision);
        let commit = fs::read_to_string(reference).ok();
        let commit = commit.as_deref().map_or(revision, str::trim);
        let snapshot = self.snapshot_of_commit(name, commit);
        snapshot.is_dir().then_some(snapshot)
    }

    /// Where the files of a commit are linked.
    pub(super) fn snapshot_of_commit(&self, name: &str, commit: &str) -> PathBuf {
        self.repository(name).join("snapshots").join(commit)
    }

    /// Where contents with this etag are kept.
    pub(super) fn blob(&self, name: &str, etag: &str) -> PathBuf {
        self.repository(name).join("blobs").join(etag)
    }

    /// Makes a blob appear as a file of a snapshot beside it.
    pub(super) fn link(snapshot: &Path, file: &str, blob: &Path) -> Result<()> {
        let link = snapshot.join(file);
        let parent = link.parent().unwrap_or(snapshot);
        fs::create_dir_all(parent).map_err(|error| describe(parent, &error))?;
        // A dangling link of an earlier attempt stands in the way.
        if link.is_symlink() {
            fs::remove_file(&link).map_err(|error| describe(&link, &error))?;
        }
        // Relative, so that the cache can be moved: snapshots/COMMIT/… is at least two levels deep.
        let depth = 2 + file.matches('/').count();
        let name = blob.file_name().unwrap_or_default();
        let target = PathBuf::from("../".repeat(depth)).join("blobs").join(name);
        symlink_or_copy(&target, blob, &link).map_err(|error| describe(&link, &error))
    }

    /// Remembers which commit a branch or tag stood for.
    pub(super) fn remember(&self, name: &str, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        let reference = self.repository(name).join("refs").join(revision);
        let parent = reference.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(|error| describe(parent, &error))?;
        let temporary = reference.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&temporary, commit)
            .and_then(|()| fs::rename(&temporary, &reference))
            .map_err(|error| describe(&reference, &error))
    }
}

#[cfg(unix)]
fn symlink_or_copy(target: &Path, _blob: &Path, link: &Path) -> std::io::Result<()> {
    match std::os::unix::fs::symlink(target, link) {
        // Another process linked the same contents in the meantime.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
fn symlink_or_copy(_target: &Path, blob: &Path, link: &Path) -> std::io::Result<()> {
    fs::copy(blob, link).map(|_| ())
}

/// An error of the operating system about a path.
pub(super) fn describe(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
