//! What has been explained and how well, at a glance: headline scores, counts, best texts.

use std::collections::BTreeMap;

use glossator_model::UnitId;
use rusqlite::{Connection, OptionalExtension, params};

use super::ledger::{score, simulates};
use super::lookup::unit_row;
use super::{Database, natural};
use crate::error::{AtPath, AtlasError};
use crate::explanation::HEADLINE;
use crate::query::{ExplainerProgress, Headline, Progress};

impl Database {
    /// Counts of explained units and mean headline scores.
    pub(crate) fn progress(&self) -> Result<Progress, AtlasError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                // The units of a hook point are numbered one after the other, so ranges of an index are counted.
                "SELECT h.name, e.explainer, count(*) FROM hooks h JOIN explanations e ON e.unit BETWEEN
                    (SELECT id FROM units u WHERE u.hook = h.hook ORDER BY idx LIMIT 1)
                    AND (SELECT id FROM units u WHERE u.hook = h.hook ORDER BY idx DESC LIMIT 1)
                 GROUP BY h.hook, e.explainer",
            )
            .at(&self.path)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, natural(row, 2)?)));
        let rows: Vec<(String, String, u64)> = rows.and_then(Iterator::collect).at(&self.path)?;
        let mut explained: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (name, explainer, units) in rows {
            let hook = name.parse().map_err(|_| self.broken("a hook point has an impossible name"))?;
            explained.entry(hook).or_default().insert(explainer, units);
        }
        let mut statement = connection
            .prepare_cached(
                "SELECT explainer, count(*), count(score), avg(score) FROM explanations
                 GROUP BY explainer ORDER BY explainer",
            )
            .at(&self.path)?;
        let rows = statement.query_map([], |row| {
            let (units, scored) = (natural(row, 1)?, natural(row, 2)?);
            Ok(ExplainerProgress { name: row.get(0)?, units, scored, mean_score: row.get(3)? })
        });
        Ok(Progress { explained, explainers: rows.and_then(Iterator::collect).at(&self.path)? })
    }

    /// The text of each unit's best explanation.
    pub(crate) fn best_texts(&self, units: &[UnitId]) -> Result<Vec<Option<String>>, AtlasError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT e.text FROM units u JOIN explanations e ON e.id = u.explanation WHERE u.id = ?1",
            )
            .at(&self.path)?;
        let mut texts = Vec::with_capacity(units.len());
        for &unit in units {
            let id = unit_row(&connection, unit).at(&self.path)?;
            texts.push(statement.query_row([id], |row| row.get(0)).optional().at(&self.path)?);
        }
        Ok(texts)
    }
}

/// A unit's explanations by explainer, each with its headline score.
pub(super) fn headlines(connection: &Connection, id: i64, unit: UnitId) -> rusqlite::Result<Vec<Headline>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT e.explainer, s.scorer, s.metric, s.sample, s.split, s.value, s.low, s.high, s.tokens, s.remark,
             e.text
         FROM explanations e
         LEFT JOIN scores s ON s.explanation = e.id AND {} AND s.metric = ?2 AND s.sample = ?3
         WHERE e.unit = ?1 ORDER BY e.explainer, s.value IS NULL, s.split = 'test' DESC, s.split, s.scorer",
        simulates()
    ))?;
    let rows = statement.query_map(params![id, HEADLINE.0, HEADLINE.1], |row| {
        let scored = row.get::<_, Option<String>>(1)?.is_some();
        let score = if scored { Some(score(unit, row)?) } else { None };
        Ok(Headline { explainer: row.get(0)?, text: row.get(10)?, score })
    })?;
    let mut headlines: Vec<Headline> = rows.collect::<rusqlite::Result<_>>()?;
    headlines.dedup_by(|later, earlier| later.explainer == earlier.explainer);
    Ok(headlines)
}
