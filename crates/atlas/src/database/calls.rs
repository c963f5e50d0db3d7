//! The ledger of what language models were asked, unit by unit: requests, tokens, failures, money and time.

use std::collections::BTreeMap;

use glossator_model::UnitId;
use rusqlite::{Connection, Row, params};

use super::ledger::{begin, split};
use super::lookup::unit_row;
use super::{Database, natural};
use crate::error::{AtPath, AtlasError};
use crate::explanation::Calls;

impl Database {
    /// Stores calls, replacing those of the same unit, explainer, scorer and split.
    pub(crate) fn put_calls(&self, calls: &[Calls]) -> Result<(), AtlasError> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection).at(&self.path)?;
        for calls in calls {
            let unit = self.known_unit(&transaction, calls.unit)?;
            put(&transaction, unit, calls).at(&self.path)?;
        }
        transaction.commit().at(&self.path)
    }

    /// What was asked about a unit, by explainer and scorer.
    pub(crate) fn calls(&self, unit: UnitId) -> Result<Vec<Calls>, AtlasError> {
        let connection = self.lock();
        let Some(id) = unit_row(&connection, unit).at(&self.path)? else { return Ok(Vec::new()) };
        let mut statement = connection
            .prepare_cached(
                "SELECT explainer, scorer, split, requests, prompt_tokens, completion_tokens, failures, cost, seconds
                 FROM calls WHERE unit = ?1 ORDER BY explainer, scorer, split",
            )
            .at(&self.path)?;
        let rows = statement.query_map([id], |row| {
            let scorer: String = row.get(1)?;
            let scorer = if scorer.is_empty() { None } else { Some((scorer, split(row, 2)?)) };
            let calls = Calls {
                unit,
                explainer: row.get(0)?,
                scorer,
                requests: natural(row, 3)?,
                prompt_tokens: natural(row, 4)?,
                completion_tokens: natural(row, 5)?,
                failures: BTreeMap::new(),
                cost: cost(row, 7)?,
                seconds: row.get(8)?,
            };
            Ok((calls, row.get::<_, String>(6)?))
        });
        let rows: Vec<_> = rows.and_then(Iterator::collect).at(&self.path)?;
        let with_failures = |(calls, failures): (Calls, String)| {
            Ok(Calls { failures: serde_json::from_str(&failures).at(&self.path)?, ..calls })
        };
        rows.into_iter().map(with_failures).collect()
    }
}

/// A cost that may not be known.
pub(super) fn cost(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    row.get::<_, Option<i64>>(column)?.map(|_| natural(row, column)).transpose()
}

fn put(connection: &Connection, unit: i64, calls: &Calls) -> rusqlite::Result<()> {
    let (scorer, split) = match &calls.scorer {
        Some((scorer, split)) => (scorer.as_str(), split.to_string()),
        None => ("", String::new()),
    };
    // A map of text to numbers always has a JSON form.
    let failures = serde_json::to_string(&calls.failures).unwrap_or_default();
    connection
        .prepare_cached("INSERT OR REPLACE INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            unit,
            calls.explainer,
            scorer,
            split,
            calls.requests as i64,
            calls.prompt_tokens as i64,
            calls.completion_tokens as i64,
            failures,
            calls.cost.map(|cost| cost as i64),
            calls.seconds,
        ])?;
    Ok(())
}
