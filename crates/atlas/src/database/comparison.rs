//! What reports compare: one score of every unit at a time, and what was asked in all.

use std::collections::BTreeMap;

use glossator_model::{HookPoint, UnitId};
use rusqlite::{Connection, params};

use super::calls::cost;
use super::{Database, natural};
use crate::error::{AtPath, AtlasError};
use crate::excerpt::Split;
use crate::query::{CallTotals, ScoreKind, ScoredUnit};

/// Explainer and scorer, requests and tokens, failures as JSON, cost, seconds.
type Asked = ((String, String), [u64; 3], String, Option<u64>, Option<f64>);

impl Database {
    /// The kinds of score that there are on a split, by explainer.
    pub(crate) fn score_kinds(&self, split: Split) -> Result<Vec<ScoreKind>, AtlasError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT DISTINCT explainer, scorer, metric, sample FROM scores JOIN explanations ON id = explanation
                 WHERE split = ?1 ORDER BY explainer, scorer, metric, sample",
            )
            .at(&self.path)?;
        let rows = statement.query_map([split.to_string()], |row| {
            Ok(ScoreKind {
                explainer: row.get(0)?,
                scorer: row.get(1)?,
                metric: row.get(2)?,
                sample: row.get(3)?,
            })
        });
        rows.and_then(Iterator::collect).at(&self.path)
    }

    /// One kind of score of all units that have it, by hook point and index.
    pub(crate) fn scored_units(&self, kind: &ScoreKind, split: Split) -> Result<Vec<ScoredUnit>, AtlasError> {
        let connection = self.lock();
        let hooks = self.hooks(&connection)?;
        let mut statement = connection
            .prepare_cached(
                "SELECT u.hook, u.idx, u.density, s.value FROM explanations e
                 JOIN scores s ON s.explanation = e.id JOIN units u ON u.id = e.unit
                 WHERE e.explainer = ?1 AND s.scorer = ?2 AND s.metric = ?3 AND s.sample = ?4 AND s.split = ?5
                 ORDER BY u.id",
            )
            .at(&self.path)?;
        let split = split.to_string();
        let rows = statement.query_map(
            params![kind.explainer, kind.scorer, kind.metric, kind.sample, split],
            |row| {
                let hook = hooks.get(&row.get(0)?).copied().ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                Ok(ScoredUnit {
                    unit: UnitId { hook, index: row.get(1)? },
                    density: row.get(2)?,
                    value: row.get(3)?,
                })
            },
        );
        rows.and_then(Iterator::collect).at(&self.path)
    }

    /// The hook points by their row numbers.
    fn hooks(&self, connection: &Connection) -> Result<BTreeMap<i64, HookPoint>, AtlasError> {
        let mut statement = connection.prepare_cached("SELECT hook, name FROM hooks").at(&self.path)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let rows: Vec<(i64, String)> = rows.and_then(Iterator::collect).at(&self.path)?;
        let parsed = |(row, name): (i64, String)| {
            let hook = name.parse().map_err(|_| self.broken("a hook point has an impossible name"))?;
            Ok((row, hook))
        };
        rows.into_iter().map(parsed).collect()
    }

    /// What language models were asked in all, and the time and money that it took, by explainer and scorer.
    pub(crate) fn call_totals(&self, split: Split) -> Result<Vec<CallTotals>, AtlasError> {
        let connection = self.lock();
        let mut totals: BTreeMap<(String, String), CallTotals> = BTreeMap::new();
        let mut statement = connection
            .prepare_cached(
                "SELECT explainer, scorer, requests, prompt_tokens, completion_tokens, failures, cost, seconds FROM calls
                 WHERE split = '' OR split = ?1",
            )
            .at(&self.path)?;
        let mut seconds: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
        let rows = statement.query_map([split.to_string()], |row| {
            let numbers = [natural(row, 2)?, natural(row, 3)?, natural(row, 4)?];
            Ok(((row.get(0)?, row.get(1)?), numbers, row.get(5)?, cost(row, 6)?, row.get(7)?))
        });
        let rows: Vec<Asked> = rows.and_then(Iterator::collect).at(&self.path)?;
        for (whose, [requests, prompt, completion], failures, cost, time) in rows {
            let failures: BTreeMap<String, u64> = serde_json::from_str(&failures).at(&self.path)?;
            let total = totals
                .entry(whose.clone())
                .or_insert_with(|| CallTotals { cost: Some(0), ..CallTotals::default() });
            total.units += 1;
            total.requests += requests;
            total.prompt_tokens += prompt;
            total.completion_tokens += completion;
            total.cost = total.cost.zip(cost).map(|(sum, cost)| sum + cost);
            failures.into_iter().for_each(|(kind, count)| *total.failures.entry(kind).or_default() += count);
            seconds.entry(whose).or_default().extend(time);
        }
        for (whose, times) in seconds.into_iter().filter(|(_, times)| !times.is_empty()) {
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            totals.entry(whose).or_default().seconds_per_unit = Some(mean);
        }
        let mut statement = connection
            .prepare_cached("SELECT explainer, count(*), avg(seconds) FROM explanations GROUP BY explainer")
            .at(&self.path)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, natural(row, 1)?, row.get(2)?)));
        let rows: Vec<(String, u64, Option<f64>)> = rows.and_then(Iterator::collect).at(&self.path)?;
        for (explainer, units, seconds) in rows {
            let total = totals.entry((explainer, String::new())).or_default();
            total.units = total.units.max(units);
            total.seconds_per_unit = seconds;
        }
        let named = |((explainer, scorer), total): ((String, String), CallTotals)| CallTotals {
            explainer,
            scorer: (!scorer.is_empty()).then_some(scorer),
            ..total
        };
        Ok(totals.into_iter().map(named).collect())
    }
}
