//! `atlas.sqlite`: point look-ups, lists, search, and the ledgers of explanations and scores.
//!
//! The tables are made once when the atlas is finalised; explainers and scorers add to theirs. Foreign
//! text is only ever bound, never spliced into SQL.

mod calls;
mod comparison;
mod create;
mod ledger;
mod list;
mod lookup;
mod overview;

pub(crate) use create::{UnitEntry, create};

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use crate::error::{AtPath, AtlasError};
use crate::manifest::SCHEMA_VERSION;

/// Longest wait for another process that is writing. Explainers and scorers write for about a second at a time.
const BUSY: Duration = Duration::from_secs(10);

/// The open database. One connection behind a lock: look-ups take microseconds.
pub(crate) struct Database {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Database {
    /// Opens the database of an atlas; `write` also for adding explanations and scores.
    pub(crate) fn open(path: &Path, write: bool) -> Result<Self, AtlasError> {
        std::fs::metadata(path).at(path)?;
        let (connection, version) = match connect(path, write) {
            // A writer was killed: whoever may write takes back what it had not finished.
            Err(error) if !write && error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
                drop(connect(path, true).at(path)?);
                connect(path, false)
            }
            // Readers of an atlas without them need the missing columns too.
            Ok((connection, version))
                if version == SCHEMA_VERSION && !create::is_whole(&connection).at(path)? =>
            {
                drop(connection);
                create::complete(&mut connect(path, true).at(path)?.0).at(path)?;
                connect(path, write)
            }
            connected => connected,
        }
        .at(path)?;
        if version != SCHEMA_VERSION {
            let message = format!("its schema version is {version}, not {SCHEMA_VERSION}");
            return Err(AtlasError::invalid(path, message));
        }
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self, message: impl Into<String>) -> AtlasError {
        AtlasError::invalid(&self.path, message)
    }
}

/// A connection, and the schema version of the database.
fn connect(path: &Path, write: bool) -> rusqlite::Result<(Connection, u32)> {
    let access = if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    // An atlas may come from a stranger: its schema must not run functions, and its rows stay small.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Explainers and scorers look one row up at a time: with the statistics at hand, SQLite would plan a prepared query
    // anew for every value it is given. The lists of readers do gain from that.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, write)?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((connection, version))
}

/// Floats as a blob: little endian, one after the other.
fn to_blob(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Floats of a blob, or nothing where its length is no multiple of 4.
fn from_blob(blob: &[u8]) -> Option<Vec<f32>> {
    let (values, rest) = blob.as_chunks::<4>();
    rest.is_empty().then(|| values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// A column that counts something.
fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
