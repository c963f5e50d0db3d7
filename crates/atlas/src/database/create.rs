//! Makes the database of a new atlas: the schema, one row per unit and per window, the search index.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, params};

use super::ledger::begin;
use crate::error::{AtPath, AtlasError};
use crate::files;
use crate::manifest::{HookSummary, SCHEMA_VERSION};
use crate::record::UnitStatistics;
use crate::tables::windows::WindowRow;

/// All tables. `unit_search` holds, per unit, its name, its strongest tokens and its explanations.
const SCHEMA: &str = "
CREATE TABLE hooks (hook INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE units (
    id INTEGER PRIMARY KEY, hook INTEGER NOT NULL REFERENCES hooks, idx INTEGER NOT NULL,
    mean REAL, variance REAL, skewness REAL, kurtosis REAL, density REAL,
    max REAL NOT NULL, tokens TEXT NOT NULL, score REAL, explanation INTEGER,
    UNIQUE (hook, idx)) STRICT;
CREATE TABLE windows (
    window INTEGER PRIMARY KEY, document TEXT NOT NULL, start INTEGER NOT NULL, tokens BLOB NOT NULL) STRICT;
CREATE TABLE explanations (
    id INTEGER PRIMARY KEY, unit INTEGER NOT NULL REFERENCES units, explainer TEXT NOT NULL,
    text TEXT NOT NULL, body TEXT NOT NULL, seconds REAL, score REAL, UNIQUE (unit, explainer)) STRICT;
CREATE TABLE scores (
    explanation INTEGER NOT NULL REFERENCES explanations ON DELETE CASCADE,
    scorer TEXT NOT NULL, metric TEXT NOT NULL, sample TEXT NOT NULL, split TEXT NOT NULL,
    value REAL, low REAL, high REAL, tokens INTEGER NOT NULL, remark TEXT,
    PRIMARY KEY (explanation, scorer, metric, sample, split)) STRICT, WITHOUT ROWID;
CREATE TABLE simulations (
    explanation INTEGER NOT NULL REFERENCES explanations ON DELETE CASCADE,
    scorer TEXT NOT NULL, window INTEGER NOT NULL, activations BLOB NOT NULL, distributions BLOB,
    PRIMARY KEY (explanation, scorer, window)) STRICT, WITHOUT ROWID;
CREATE TABLE calls (
    unit INTEGER NOT NULL REFERENCES units, explainer TEXT NOT NULL, scorer TEXT NOT NULL, split TEXT NOT NULL,
    requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    failures TEXT NOT NULL, cost INTEGER, seconds REAL,
    PRIMARY KEY (unit, explainer, scorer, split)) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE unit_search USING fts5(name, tokens, explanations, tokenize = 'unicode61');
";

/// Indices of the list's orders, made after the rows.
const INDICES: &str = "
CREATE INDEX units_score ON units (score);
CREATE INDEX units_density ON units (density);
CREATE INDEX units_max ON units (max);
CREATE INDEX units_mean ON units (mean);
CREATE INDEX units_variance ON units (variance);
CREATE INDEX units_skewness ON units (skewness);
CREATE INDEX units_kurtosis ON units (kurtosis);
CREATE INDEX units_explained ON units (id) WHERE explanation IS NOT NULL;
CREATE INDEX explanations_score ON explanations (explainer, score, unit);
";

/// Columns that atlases of this schema did not have at first: table, column, type.
const ADDED: [[&str; 3]; 3] =
    [["calls", "cost", "INTEGER"], ["calls", "seconds", "REAL"], ["simulations", "distributions", "BLOB"]];

/// What the list knows of a unit.
pub(crate) struct UnitEntry {
    /// Moments and extremes.
    pub(crate) statistics: UnitStatistics,
    /// Texts of its strongest tokens, strongest first.
    pub(crate) tokens: Vec<String>,
}

/// Makes the database at `path`, replacing any other: `units` are those of each hook point in turn.
pub(crate) fn create(
    path: &Path,
    hooks: &[HookSummary],
    units: impl IntoIterator<Item = UnitEntry>,
    windows: impl IntoIterator<Item = Result<WindowRow, AtlasError>>,
) -> Result<(), AtlasError> {
    let partial = files::temporary(path);
    if partial.exists() {
        fs::remove_file(&partial).at(&partial)?;
    }
    let mut connection = Connection::open(&partial).at(&partial)?;
    // The file is renamed only when complete, so it needs no journal of its own.
    connection.pragma_update(None, "journal_mode", "OFF").at(&partial)?;
    connection.pragma_update(None, "synchronous", "OFF").at(&partial)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION).at(&partial)?;
    let transaction = connection.transaction().at(&partial)?;
    transaction.execute_batch(SCHEMA).at(&partial)?;
    insert_units(&transaction, hooks, units).at(&partial)?;
    for window in windows {
        insert_window(&transaction, &window?).at(&partial)?;
    }
    transaction.execute_batch(INDICES).at(&partial)?;
    transaction.commit().at(&partial)?;
    connection.execute_batch("ANALYZE").at(&partial)?;
    connection.close().map_err(|(_, error)| error).at(&partial)?;
    files::publish(&partial, path)
}

/// Whether all columns are there.
pub(super) fn is_whole(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(missing(connection)?.is_empty())
}

/// Adds those that are not; nothing is known of what was stored before.
pub(super) fn complete(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = begin(connection)?;
    for [table, column, kind] in missing(&transaction)? {
        transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
    }
    transaction.commit()
}

/// Those of the added columns that a database does not have.
fn missing(connection: &Connection) -> rusqlite::Result<Vec<[&'static str; 3]>> {
    let mut look = connection.prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2")?;
    let mut missing = Vec::new();
    for [table, column, kind] in ADDED {
        if !look.exists([table, column])? {
            missing.push([table, column, kind]);
        }
    }
    Ok(missing)
}

fn insert_units(
    connection: &Connection,
    hooks: &[HookSummary],
    units: impl IntoIterator<Item = UnitEntry>,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare(
        "INSERT INTO units (id, hook, idx, mean, variance, skewness, kurtosis, density, max, tokens)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let mut index = connection
        .prepare("INSERT INTO unit_search (rowid, name, tokens, explanations) VALUES (?1, ?2, ?3, '')")?;
    let mut units = units.into_iter();
    let mut id = 0_i64;
    for (number, hook) in hooks.iter().enumerate() {
        connection
            .execute("INSERT INTO hooks VALUES (?1, ?2)", params![number as i64, hook.hook.to_string()])?;
        for (idx, unit) in units.by_ref().take(hook.units as usize).enumerate() {
            let s = unit.statistics;
            let tokens = serde_json::Value::from(unit.tokens.clone()).to_string();
            let max = f64::from(s.max);
            insert.execute(params![
                id,
                number as i64,
                idx as i64,
                s.mean,
                s.variance,
                s.skewness,
                s.kurtosis,
                s.density,
                max,
                tokens
            ])?;
            index.execute(params![id, format!("{}:{idx}", hook.hook), unit.tokens.join(" ")])?;
            id += 1;
        }
    }
    Ok(())
}

fn insert_window(connection: &Connection, window: &WindowRow) -> rusqlite::Result<()> {
    let tokens: Vec<u8> = window.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    connection
        .prepare_cached("INSERT INTO windows (window, document, start, tokens) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![window.window, window.document, window.offset, tokens])?;
    Ok(())
}
