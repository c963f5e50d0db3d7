//! The room on a disk, looked at before hours are spent on what will not fit.

use std::path::Path;

use anyhow::ensure;

const GIB: f64 = (1 << 30) as f64;

/// Refuses to begin files of `needed` bytes in `directory`, which need not exist yet, where the disk has less room.
/// Where the room is not known nothing is refused.
pub(super) fn ensure_room(directory: &Path, needed: u64) -> anyhow::Result<()> {
    let Some(free) = free_bytes(directory) else { return Ok(()) };
    ensure!(
        needed <= free,
        "{} needs {:.2} GiB more, and its disk has {:.2} GiB left: give another --cache, or read fewer tokens",
        directory.display(),
        needed as f64 / GIB,
        free as f64 / GIB
    );
    Ok(())
}

/// What a user may still write on the disk of a directory, or of the one that it will be in.
#[cfg(unix)]
fn free_bytes(directory: &Path) -> Option<u64> {
    let there = directory.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_no_disk_holds_is_refused_before_anything_is_written() {
        let scratch = tempfile::tempdir().unwrap();
        let cache = scratch.path().join("runs/cache");
        ensure_room(&cache, 1).unwrap();
        let refused = ensure_room(&cache, u64::MAX).unwrap_err().to_string();
        assert!(
            refused.contains("needs 17179869184.00 GiB more") && refused.contains("--cache"),
            "{refused}"
        );
        ensure_room(Path::new("a directory that is not there"), 1).unwrap();
        assert!(!cache.exists());
    }
}
