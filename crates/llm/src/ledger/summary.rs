//! What a ledger holds, in numbers.

use std::collections::BTreeMap;

use rusqlite::Row;
use serde::Serialize;

use super::Ledger;
use crate::answer::Usage;
use crate::error::{AtPath, LlmError};
use crate::prices::Money;

/// The requests to one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The model.
    pub model: String,
    /// Requests with an answer.
    pub answered: u64,
    /// Requests without one, by the kind of failure.
    pub failed: BTreeMap<String, u64>,
    /// Requests that were under way when a process ended, or are now; they are asked again.
    pub uncertain: u64,
    /// Attempts in all.
    pub attempts: u64,
    /// Tokens in all.
    pub usage: Usage,
    /// What answers cost whose price was known.
    pub cost: Money,
    /// Answers whose price was not known.
    pub without_price: u64,
}

impl Ledger {
    /// Counts requests, tokens and money of every model.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn summary(&self) -> Result<Vec<Summary>, LlmError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare(
                "SELECT model, state, failure, count(*), sum(attempts), sum(prompt_tokens), sum(cached_tokens),
                        sum(completion_tokens), coalesce(sum(cost), 0), count(*) - count(cost)
                 FROM requests GROUP BY model, state, failure ORDER BY model",
            )
            .at(&self.path)?;
        let mut models: Vec<Summary> = Vec::new();
        let mut rows = statement.query([]).at(&self.path)?;
        while let Some(row) = rows.next().at(&self.path)? {
            let model: String = row.get(0).at(&self.path)?;
            if models.last().is_none_or(|last| last.model != model) {
                models.push(Summary { model, ..Summary::default() });
            }
            if let Some(last) = models.last_mut() {
                add(last, row).at(&self.path)?;
            }
        }
        Ok(models)
    }
}

fn add(summary: &mut Summary, row: &Row<'_>) -> rusqlite::Result<()> {
    let count = |column| row.get::<_, i64>(column).map(|value| value.max(0) as u64);
    let (state, number): (String, u64) = (row.get(1)?, count(3)?);
    match (state.as_str(), row.get::<_, Option<String>>(2)?) {
        ("answered", _) => {
            summary.answered += number;
            summary.without_price += count(9)?;
        }
        ("failed", kind) => *summary.failed.entry(kind.unwrap_or_default()).or_default() += number,
        _ => summary.uncertain += number,
    }
    summary.attempts += count(4)?;
    summary.usage +=
        Usage { prompt_tokens: count(5)?, cached_tokens: count(6)?, completion_tokens: count(7)? };
    summary.cost += Money::from_nanodollars(row.get(8)?);
    Ok(())
}
