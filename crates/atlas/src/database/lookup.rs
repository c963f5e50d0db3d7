//! Point look-ups: windows by number.

use glossator_model::UnitId;
use rusqlite::{Connection, OptionalExtension, params};

use super::Database;
use crate::error::{AtPath, AtlasError};
use crate::tables::windows::WindowRow;

impl Database {
    /// The windows with these numbers, in the order asked for; each must have `context` tokens.
    pub(crate) fn windows(&self, numbers: &[u32], context: usize) -> Result<Vec<WindowRow>, AtlasError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT document, start, tokens FROM windows WHERE window = ?1")
            .at(&self.path)?;
        let mut windows = Vec::with_capacity(numbers.len());
        for window in numbers {
            let found = statement.query_row([window], |row| {
                let tokens = row.get_ref(2)?.as_blob()?.as_chunks::<4>().0.iter();
                let tokens = tokens.map(|bytes| u32::from_le_bytes(*bytes)).collect();
                Ok(WindowRow { window: *window, document: row.get(0)?, offset: row.get(1)?, tokens })
            });
            let found = found.optional().at(&self.path)?;
            let found = found.ok_or_else(|| self.broken(format!("window {window} is missing")))?;
            if found.tokens.len() != context {
                let message = format!("window {window} has {} tokens, not {context}", found.tokens.len());
                return Err(self.broken(message));
            }
            windows.push(found);
        }
        Ok(windows)
    }

    /// The numbers of all stored windows, rising.
    pub(crate) fn window_numbers(&self) -> Result<Vec<u32>, AtlasError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT window FROM windows ORDER BY window").at(&self.path)?;
        let rows = statement.query_map([], |row| row.get(0));
        rows.and_then(Iterator::collect).at(&self.path)
    }
}

/// The row number of a unit.
pub(super) fn unit_row(connection: &Connection, unit: UnitId) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT u.id FROM units u JOIN hooks h USING (hook) WHERE h.name = ?1 AND u.idx = ?2",
        )?
        .query_row(params![unit.hook.to_string(), unit.index], |row| row.get(0))
        .optional()
}
