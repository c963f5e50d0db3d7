//! The ledger: every request by its fingerprint, what came of it, and what it cost. One SQLite file.
//!
//! What is guaranteed: an outcome is on disk before its asker sees it, and a request whose outcome is kept is never sent
//! again. A process that is killed at any moment loses at most the answers of the calls that were under way; exactly these
//! are asked again, and [`Summary::uncertain`] counts them, because their provider may have billed them.
//!
//! One process writes at a time: it holds a lock on `FILE.lock`, which the system takes back when the process ends,
//! however it ends. Others can read meanwhile.

mod answers;
mod batches;
mod entries;
mod models;
mod schema;
mod summary;

pub(crate) use batches::BatchRow;
pub use entries::Entry;
pub use summary::Summary;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags};

use crate::error::{AtPath, LlmError};

/// Longest wait for a reader that copies the log back into the file.
const BUSY: Duration = Duration::from_secs(10);

/// An open ledger. One connection behind a lock: entries take microseconds, requests seconds.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Held by the process that writes.
    _lock: Option<File>,
}

impl Ledger {
    /// Opens a ledger for writing, making it if it is not there.
    ///
    /// # Errors
    /// If another process has it open for writing, or the file is no ledger of this version.
    pub fn open(path: &Path) -> Result<Self, LlmError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).at(directory)?;
        }
        let lock = lock(path)?;
        let connection = Connection::open(path).at(path)?;
        connection.busy_timeout(BUSY).at(path)?;
        connection.pragma_update(None, "journal_mode", "WAL").at(path)?;
        // An answer that was paid survives a loss of power too.
        connection.pragma_update(None, "synchronous", "FULL").at(path)?;
        schema::prepare(&connection, path)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), _lock: Some(lock) })
    }

    /// Opens a ledger for reading, also while another process writes to it.
    ///
    /// # Errors
    /// If the file is not there or no ledger of this version.
    pub fn open_reading(path: &Path) -> Result<Self, LlmError> {
        std::fs::metadata(path).at(path)?;
        // Reading a file in WAL mode writes to its index, so the connection may write; queries do not.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).at(path)?;
        connection.busy_timeout(BUSY).at(path)?;
        connection.pragma_update(None, "query_only", true).at(path)?;
        connection.pragma_update(None, "trusted_schema", false).at(path)?;
        schema::check(&connection, path)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), _lock: None })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the place of the one process that writes.
fn lock(path: &Path) -> Result<File, LlmError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let beside = path.with_file_name(name);
    let file = File::options().create(true).truncate(false).write(true).open(&beside).at(&beside)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LlmError::LedgerBusy { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(LlmError::Io { path: beside, source }),
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests;
