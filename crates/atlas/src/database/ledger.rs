//! The ledgers that explainers and scorers write: explanations, scores, simulations.
//!
//! Each unit's entries go in as one transaction, so that a killed run leaves whole units only.

use std::collections::{BTreeMap, BTreeSet};

use glossator_model::UnitId;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::lookup::unit_row;
use super::{Database, from_blob, natural, to_blob};
use crate::distributions::Distributions;
use crate::error::{AtPath, AtlasError};
use crate::excerpt::Split;
use crate::explanation::{Explanation, HEADLINE, PREDICTION, SIMULATION, Score, Simulation};

/// Most bytes of simulated activations that are read for one window, and of their distributions.
const MAX_BLOBS: [i64; 2] = [4 << 20, 40 << 20];

/// Scorer, window, the activations if they can be read, and the bytes of the distributions.
type SimulationRow = (String, u32, Option<Vec<f32>>, Option<Vec<u8>>);

impl Database {
    /// Stores explanations, replacing those of the same unit and explainer together with their scores.
    pub(crate) fn put_explanations(&self, explanations: &[Explanation]) -> Result<(), AtlasError> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection).at(&self.path)?;
        for explanation in explanations {
            let unit = self.known_unit(&transaction, explanation.unit)?;
            put_explanation(&transaction, unit, explanation).at(&self.path)?;
            refresh_scores(&transaction, unit).at(&self.path)?;
            refresh_search(&transaction, unit).at(&self.path)?;
        }
        transaction.commit().at(&self.path)
    }

    /// Stores scores and the simulations they came from; the explanations must be there.
    pub(crate) fn put_scores(&self, scores: &[Score], simulations: &[Simulation]) -> Result<(), AtlasError> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection).at(&self.path)?;
        // Rows come unit by unit: each explanation is looked up once, not for every row.
        let mut known = BTreeMap::new();
        for score in scores {
            let explanation =
                self.known_explanation(&transaction, score.unit, &score.explainer, &mut known)?;
            put_score(&transaction, explanation, score).at(&self.path)?;
        }
        let units: BTreeSet<i64> = known.values().map(|(unit, _)| *unit).collect();
        for simulation in simulations {
            let explanation =
                self.known_explanation(&transaction, simulation.unit, &simulation.explainer, &mut known)?;
            put_simulation(&transaction, explanation, simulation).at(&self.path)?;
        }
        for unit in units {
            refresh_scores(&transaction, unit).at(&self.path)?;
        }
        transaction.commit().at(&self.path)
    }

    /// The explanations of a unit, by explainer; with `explainer` only the one by it.
    pub(crate) fn explanations(
        &self,
        unit: UnitId,
        explainer: Option<&str>,
    ) -> Result<Vec<Explanation>, AtlasError> {
        let connection = self.lock();
        let Some(id) = unit_row(&connection, unit).at(&self.path)? else { return Ok(Vec::new()) };
        let mut statement = connection
            .prepare_cached(
                "SELECT explainer, text, body, seconds FROM explanations
                 WHERE unit = ?1 AND (?2 IS NULL OR explainer = ?2) ORDER BY explainer",
            )
            .at(&self.path)?;
        let rows = statement.query_map(params![id, explainer], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?))
        });
        let rows: Vec<_> = rows.and_then(Iterator::collect).at(&self.path)?;
        drop(statement);
        // Bodies are long: they are read while others may look something up.
        drop(connection);
        rows.into_iter()
            .map(|(explainer, text, body, seconds)| {
                let body = serde_json::from_str(&body).at(&self.path)?;
                Ok(Explanation { unit, explainer, text, body, seconds })
            })
            .collect()
    }

    /// The value of one scorer's metric on one sample and split, for the units of a hook point whose explanation by `explainer`
    /// has that score.
    pub(crate) fn score_values(
        &self,
        hook: &str,
        explainer: &str,
        [scorer, metric, sample, split]: [&str; 4],
    ) -> Result<BTreeMap<u32, Option<f64>>, AtlasError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT u.idx, s.value FROM hooks h JOIN units u USING (hook)
                 JOIN explanations e ON e.unit = u.id AND e.explainer = ?2
                 JOIN scores s ON s.explanation = e.id
                     AND s.scorer = ?3 AND s.metric = ?4 AND s.sample = ?5 AND s.split = ?6
                 WHERE h.name = ?1",
            )
            .at(&self.path)?;
        let rows = statement.query_map(params![hook, explainer, scorer, metric, sample, split], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        rows.and_then(Iterator::collect).at(&self.path)
    }

    /// The scores of a unit's explanations.
    pub(crate) fn scores(&self, unit: UnitId) -> Result<Vec<Score>, AtlasError> {
        let connection = self.lock();
        let Some(id) = unit_row(&connection, unit).at(&self.path)? else { return Ok(Vec::new()) };
        let mut statement = connection
            .prepare_cached(
                "SELECT explainer, scorer, metric, sample, split, value, low, high, tokens, remark
                 FROM scores JOIN explanations ON id = explanation WHERE unit = ?1
                 ORDER BY explainer, scorer, metric, sample, split",
            )
            .at(&self.path)?;
        let rows = statement.query_map([id], |row| score(unit, row)).and_then(Iterator::collect);
        rows.at(&self.path)
    }

    /// The simulations of a unit's explanation by one explainer, by scorer and window.
    pub(crate) fn simulations(&self, unit: UnitId, explainer: &str) -> Result<Vec<Simulation>, AtlasError> {
        let connection = self.lock();
        let Some(id) = unit_row(&connection, unit).at(&self.path)? else { return Ok(Vec::new()) };
        let mut statement = connection
            .prepare_cached(
                "SELECT scorer, window, activations, distributions
                 FROM simulations JOIN explanations ON id = explanation
                 WHERE unit = ?1 AND explainer = ?2 AND length(activations) <= ?3
                 AND coalesce(length(distributions), 0) <= ?4 ORDER BY scorer, window",
            )
            .at(&self.path)?;
        let [activations, distributions] = MAX_BLOBS;
        let rows = statement.query_map(params![id, explainer, activations, distributions], |row| {
            Ok((row.get(0)?, row.get(1)?, from_blob(row.get_ref(2)?.as_blob()?), row.get(3)?))
        });
        let rows: Vec<SimulationRow> = rows.and_then(Iterator::collect).at(&self.path)?;
        rows.into_iter()
            .map(|(scorer, window, activations, distributions)| {
                let broken =
                    |what| self.broken(format!("{what} of {unit} in window {window} cannot be read"));
                let activations = activations.ok_or_else(|| broken("the simulation"))?;
                let read = |bytes: Vec<u8>| {
                    let read = Distributions::from_bytes(&bytes);
                    let whole = read.filter(|read| read.len() == activations.len());
                    whole.ok_or_else(|| broken("the distributions of a simulation"))
                };
                let distributions = distributions.map(read).transpose()?;
                let explainer = explainer.to_owned();
                Ok(Simulation { unit, explainer, scorer, window, activations, distributions })
            })
            .collect()
    }

    /// Indices of the units of a hook point that an explainer has explained (`scored`: and that have scores by
    /// this scorer on this split).
    pub(crate) fn done(
        &self,
        hook: &str,
        explainer: &str,
        scored: Option<(&str, Split)>,
    ) -> Result<BTreeSet<u32>, AtlasError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT idx FROM explanations e JOIN units u ON u.id = e.unit JOIN hooks h USING (hook)
                 WHERE h.name = ?1 AND e.explainer = ?2
                 AND (?3 IS NULL OR EXISTS
                     (SELECT 1 FROM scores WHERE explanation = e.id AND scorer = ?3 AND split = ?4))",
            )
            .at(&self.path)?;
        let (scorer, split) = scored.map(|(scorer, split)| (scorer, split.to_string())).unzip();
        let rows = statement.query_map(params![hook, explainer, scorer, split], |row| row.get(0));
        rows.and_then(Iterator::collect).at(&self.path)
    }

    pub(super) fn known_unit(&self, connection: &Connection, unit: UnitId) -> Result<i64, AtlasError> {
        let found = unit_row(connection, unit).at(&self.path)?;
        found.ok_or_else(|| AtlasError::UnknownUnit {
            unit: unit.to_string(),
            advice: "explanations belong to recorded units".to_owned(),
        })
    }

    /// The row number of an explanation; `known` are those looked up already, with their units'.
    fn known_explanation<'a>(
        &self,
        connection: &Connection,
        unit: UnitId,
        explainer: &'a str,
        known: &mut BTreeMap<(UnitId, &'a str), (i64, i64)>,
    ) -> Result<i64, AtlasError> {
        if let Some((_, id)) = known.get(&(unit, explainer)) {
            return Ok(*id);
        }
        let row = self.known_unit(connection, unit)?;
        let id = connection
            .prepare_cached("SELECT id FROM explanations WHERE unit = ?1 AND explainer = ?2")
            .and_then(|mut statement| {
                statement.query_row(params![row, explainer], |row| row.get(0)).optional()
            })
            .at(&self.path)?;
        let id =
            id.ok_or_else(|| self.broken(format!("{unit} has no explanation by `{explainer}` to score")))?;
        known.insert((unit, explainer), (row, id));
        Ok(id)
    }
}

/// Begins to write. Waiting for another writer happens here, before anything was read.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn put_explanation(connection: &Connection, unit: i64, explanation: &Explanation) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM explanations WHERE unit = ?1 AND explainer = ?2")?
        .execute(params![unit, explanation.explainer])?;
    // What was asked to score the one that goes; what was asked to make the new one is stored before it.
    connection
        .prepare_cached("DELETE FROM calls WHERE unit = ?1 AND explainer = ?2 AND scorer <> ''")?
        .execute(params![unit, explanation.explainer])?;
    connection
        .prepare_cached(
            "INSERT INTO explanations (unit, explainer, text, body, seconds) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            unit,
            explanation.explainer,
            explanation.text,
            explanation.body.to_string(),
            explanation.seconds
        ])?;
    Ok(())
}

fn put_score(connection: &Connection, explanation: i64, score: &Score) -> rusqlite::Result<()> {
    // SQLite would store an undefined float as NULL silently; here it is made explicit.
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    connection
        .prepare_cached("INSERT OR REPLACE INTO scores VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            explanation,
            score.scorer,
            score.metric,
            score.sample,
            score.split.to_string(),
            finite(score.value),
            finite(score.low),
            finite(score.high),
            score.tokens as i64,
            score.remark
        ])?;
    Ok(())
}

fn put_simulation(
    connection: &Connection,
    explanation: i64,
    simulation: &Simulation,
) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT OR REPLACE INTO simulations VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(
        params![
            explanation,
            simulation.scorer,
            simulation.window,
            to_blob(&simulation.activations),
            simulation.distributions.as_ref().map(Distributions::to_bytes)
        ],
    )?;
    Ok(())
}

/// A score from the columns explainer, scorer, metric, sample, split, value, low, high, tokens, remark.
pub(super) fn score(unit: UnitId, row: &Row<'_>) -> rusqlite::Result<Score> {
    let split = split(row, 4)?;
    Ok(Score {
        unit,
        explainer: row.get(0)?,
        scorer: row.get(1)?,
        metric: row.get(2)?,
        sample: row.get(3)?,
        split,
        value: row.get(5)?,
        low: row.get(6)?,
        high: row.get(7)?,
        tokens: natural(row, 8)?,
        remark: row.get(9)?,
    })
}

/// A split from a column.
pub(super) fn split(row: &Row<'_>, column: usize) -> rusqlite::Result<Split> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error: String| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

/// The scorers whose scores are headlines, as a condition on `scores s`; the first by name counts.
pub(super) fn simulates() -> String {
    format!("(s.scorer = '{PREDICTION}' OR s.scorer GLOB '{SIMULATION}*')")
}

/// Brings a unit's list entry up to date with its explanations. An explanation's headline score is that on the test
/// split where it is defined, else that on the valid split; the unit shows the best of them.
fn refresh_scores(connection: &Connection, unit: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "UPDATE explanations SET score = (
                SELECT value FROM scores s WHERE explanation = id AND {} AND metric = ?2 AND sample = ?3
                AND value IS NOT NULL ORDER BY split = 'test' DESC, split, scorer LIMIT 1)
             WHERE unit = ?1",
            simulates()
        ))?
        .execute(params![unit, HEADLINE.0, HEADLINE.1])?;
    connection
        .prepare_cached(
            "UPDATE units SET (score, explanation) = (
                SELECT e.score, e.id FROM explanations e WHERE e.unit = ?1
                ORDER BY e.score DESC NULLS LAST, e.explainer LIMIT 1)
             WHERE id = ?1",
        )?
        .execute([unit])?;
    Ok(())
}

/// Brings a unit's search text up to date with its explanations.
fn refresh_search(connection: &Connection, unit: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE unit_search SET explanations =
             (SELECT coalesce(group_concat(text, ' ' ORDER BY explainer), '') FROM explanations WHERE unit = ?1)
             WHERE rowid = ?1",
        )?
        .execute([unit])?;
    Ok(())
}
