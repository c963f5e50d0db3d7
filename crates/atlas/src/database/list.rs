//! Lists of units: filter, full-text search, order, pages.

use glossator_model::UnitId;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::overview::headlines;
use super::{Database, natural};
use crate::error::{AtPath, AtlasError};
use crate::query::{ListQuery, Sort, UnitPage, UnitSummary};

impl Database {
    /// The units that match a query.
    pub(crate) fn list(&self, query: &ListQuery) -> Result<UnitPage, AtlasError> {
        let (filter, values) = conditions(query);
        let connection = self.lock();
        let total = connection
            .prepare_cached(&format!("SELECT count(*) FROM units u WHERE {filter}"))
            .and_then(|mut statement| statement.query_row(params_from_iter(&values), |row| natural(row, 0)))
            .at(&self.path)?;
        let mut units = Vec::new();
        for id in page(&connection, query, &filter, values).at(&self.path)? {
            let found = summary(&connection, id).at(&self.path)?;
            units.push(found.ok_or_else(|| self.broken("a unit has an impossible name"))?);
        }
        Ok(UnitPage { total, units })
    }
}

/// The row numbers of a page. Rows are wide, so only the indices are walked here and the page's rows fetched later.
fn page(
    connection: &Connection,
    query: &ListQuery,
    filter: &str,
    values: Vec<Value>,
) -> rusqlite::Result<Vec<i64>> {
    let limit = match query.limit {
        0 => ListQuery::DEFAULT_LIMIT,
        limit => limit.min(ListQuery::MAX_LIMIT),
    };
    let mut bound = Vec::new();
    let join = match (&query.sort, &query.score_of) {
        (Sort::Score, Some(explainer)) => {
            bound.push(Value::from(explainer.clone()));
            "LEFT JOIN explanations s ON s.unit = u.id AND s.explainer = ?"
        }
        _ => "",
    };
    bound.extend(values);
    bound.push(Value::from(i64::from(limit)));
    bound.push(Value::from(i64::from(query.offset)));
    let order = order(query, undefined(connection)?);
    connection
        .prepare_cached(&format!(
            "SELECT u.id FROM units u {join} WHERE {filter} ORDER BY {order} LIMIT ? OFFSET ?"
        ))?
        .query_map(params_from_iter(&bound), |row| row.get(0))?
        .collect()
}

/// The conditions of a query as SQL with placeholders, and what is bound to them.
fn conditions(query: &ListQuery) -> (String, Vec<Value>) {
    let mut filter = vec!["1"];
    let mut values = Vec::new();
    if let Some(hook) = query.hook {
        filter.push("u.hook = (SELECT hook FROM hooks WHERE name = ?)");
        values.push(Value::from(hook.to_string()));
    }
    if let Some(density) = query.min_density {
        filter.push("u.density >= ?");
        values.push(Value::from(density));
    }
    if let Some(density) = query.max_density {
        filter.push("u.density <= ?");
        values.push(Value::from(density));
    }
    if let Some(explainer) = &query.explainer {
        // An explainer may have few units of many: its list is walked, not all units.
        filter.push("u.id IN (SELECT unit FROM explanations WHERE explainer = ?)");
        values.push(Value::from(explainer.clone()));
    }
    if query.explained {
        filter.push("u.explanation IS NOT NULL");
    }
    if let Some(search) = query.search.as_deref().map(str::trim).filter(|search| !search.is_empty()) {
        if let Ok(unit) = search.parse::<UnitId>() {
            filter.push("u.hook = (SELECT hook FROM hooks WHERE name = ?) AND u.idx = ?");
            values.push(Value::from(unit.hook.to_string()));
            values.push(Value::from(i64::from(unit.index)));
        } else if let Some(words) = phrase(search) {
            filter.push("u.id IN (SELECT rowid FROM unit_search WHERE unit_search MATCH ?)");
            values.push(Value::from(words));
        } else {
            // Nothing but punctuation, which the index does not hold: look into the token texts.
            filter.push("instr(u.tokens, ?) > 0");
            let quoted = serde_json::Value::from(search).to_string();
            values.push(Value::from(quoted.trim_matches('"').to_owned()));
        }
    }
    (filter.join(" AND "), values)
}

/// What was typed as an FTS5 query that has no operators: every word a quoted prefix, all required.
fn phrase(search: &str) -> Option<String> {
    let words: Vec<String> = search
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| format!("\"{}\"*", word.replace(['"', '\0'], " ")))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Whether some unit has no mean, variance and density: only in an atlas of records that were made elsewhere.
fn undefined(connection: &Connection) -> rusqlite::Result<bool> {
    let any = "SELECT EXISTS (SELECT 1 FROM units WHERE density IS NULL)";
    connection.prepare_cached(any)?.query_row([], |row| row.get(0))
}

/// The order as SQL; every part of it is ours.
fn order(query: &ListQuery, undefined: bool) -> String {
    let direction = if query.descending { "DESC" } else { "ASC" };
    let column = match query.sort {
        Sort::Unit => return format!("u.id {direction}"),
        // Where nothing is undefined there is no need of `NULLS LAST`, which would keep SQLite from using the index.
        Sort::Max => return format!("u.max {direction}, u.id"),
        Sort::Density if !undefined => return format!("u.density {direction}, u.id"),
        Sort::Mean if !undefined => return format!("u.mean {direction}, u.id"),
        Sort::Variance if !undefined => return format!("u.variance {direction}, u.id"),
        Sort::Density => "u.density",
        Sort::Mean => "u.mean",
        Sort::Variance => "u.variance",
        Sort::Score if query.score_of.is_some() => "s.score",
        Sort::Score => "u.score",
        Sort::Skewness => "u.skewness",
        Sort::Kurtosis => "u.kurtosis",
    };
    format!("{column} {direction} NULLS LAST, u.id")
}

/// A line of the list, or nothing where the unit's name cannot be read.
fn summary(connection: &Connection, id: i64) -> rusqlite::Result<Option<UnitSummary>> {
    let mut statement = connection.prepare_cached(
        "SELECT h.name, u.idx, u.mean, u.density, u.max, u.tokens
         FROM units u JOIN hooks h USING (hook) WHERE u.id = ?1",
    )?;
    let read = |row: &Row<'_>| {
        let Ok(hook) = row.get_ref(0)?.as_str()?.parse() else { return Ok(None) };
        Ok(Some(UnitSummary {
            unit: UnitId { hook, index: row.get(1)? },
            // Undefined in atlases of records that were made elsewhere.
            mean: row.get::<_, Option<f64>>(2)?.unwrap_or(f64::NAN),
            density: row.get::<_, Option<f64>>(3)?.unwrap_or(f64::NAN),
            max: row.get(4)?,
            tokens: serde_json::from_str(row.get_ref(5)?.as_str()?).unwrap_or_default(),
            explanations: Vec::new(),
        }))
    };
    let Some(mut summary) = statement.query_row([id], read)? else { return Ok(None) };
    summary.explanations = headlines(connection, id, summary.unit)?;
    Ok(Some(summary))
}
