//! The tables of a ledger.
//!
//! `requests` holds one row for each request that was ever sent: `asked` while it is under way, then `answered` or
//! `failed`. `answer` is the outcome in JSON, from 256 bytes on compressed with zstd (the first byte tells: `{` or not).
//! Money is in nanodollars, time in seconds since 1970. `batches` holds what was sent to a Batch API.

use std::path::Path;

use rusqlite::Connection;

use crate::error::{AtPath, LlmError};

/// Version of the tables.
const VERSION: u32 = 1;
/// "glos": tells ledgers from other SQLite files.
const APPLICATION: i32 = 0x676c_6f73;

const TABLES: &str = "
BEGIN;
CREATE TABLE requests (
    fingerprint BLOB PRIMARY KEY, model TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('asked', 'answered', 'failed')),
    attempts INTEGER NOT NULL, failure TEXT, answer BLOB,
    prompt_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0, cost INTEGER, time INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE models (name TEXT PRIMARY KEY, capabilities TEXT NOT NULL, probe TEXT, time INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE batches (
    token TEXT PRIMARY KEY, endpoint TEXT NOT NULL, id TEXT,
    state TEXT NOT NULL CHECK (state IN ('submitting', 'submitted', 'collected')), time INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE batch_requests (
    token TEXT NOT NULL REFERENCES batches ON DELETE CASCADE, fingerprint BLOB NOT NULL,
    PRIMARY KEY (token, fingerprint)) STRICT, WITHOUT ROWID;
";

/// Makes the tables of a new file, or checks those that are there.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), LlmError> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).at(path)?;
    if tables > 0 {
        return check(connection, path);
    }
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;");
    connection.execute_batch(&format!("{TABLES}{marks}")).at(path)
}

/// Refuses other files and other versions.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), LlmError> {
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).at(path)?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).at(path)?;
    let message = if application != APPLICATION {
        "this is a database, but not a ledger".to_owned()
    } else if version != VERSION {
        format!("the ledger has version {version}, this glossator reads version {VERSION}: use a new file")
    } else {
        return Ok(());
    };
    Err(LlmError::LedgerInvalid { path: path.to_owned(), message })
}
