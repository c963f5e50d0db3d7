//! `units.parquet`: one row per unit, hook point after hook point in order of execution.
//!
//! `hook`, `unit` u32; `tokens` u64, `mean`, `variance`, `skewness`, `kurtosis`, `density` f64 (the two
//! standardised moments undefined for constant units), `min`, `max` f32, `max_window`, `max_position`
//! u32; `histogram_low`, `histogram_high` f32 and `histogram_count` u64 lists of the non-empty buckets;
//! `interval_low`, `interval_high` f32 and `interval_windows` u64 lists of the quantile intervals;
//! `top_tokens` u32, `top_means` f32, `top_counts` u32 lists and the same for `bottom_`.
//! Row groups hold 256 units and never two hook points.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Float32Type, Float64Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, SchemaRef};
use glossator_model::UnitId;

use super::writing::{lists, numbers, optional_numbers};
use super::{Table, TableWriter, list, schema};
use crate::error::AtlasError;
use crate::excerpt::QUANTILES;
use crate::record::{HistogramBucket, QuantileInterval, TokenMean, UnitStatistics};

/// Units per row group.
const GROUP: usize = 256;

/// The row of a unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnitRow {
    pub(crate) unit: UnitId,
    pub(crate) statistics: UnitStatistics,
    pub(crate) histogram: Vec<HistogramBucket>,
    pub(crate) intervals: Vec<QuantileInterval>,
    pub(crate) top_tokens: Vec<TokenMean>,
    pub(crate) bottom_tokens: Vec<TokenMean>,
}

fn columns() -> SchemaRef {
    use DataType::{Float32, Float64, UInt32, UInt64};
    schema(vec![
        Field::new("hook", DataType::Utf8, false),
        Field::new("unit", UInt32, false),
        Field::new("tokens", UInt64, false),
        Field::new("mean", Float64, false),
        Field::new("variance", Float64, false),
        Field::new("skewness", Float64, true),
        Field::new("kurtosis", Float64, true),
        Field::new("density", Float64, false),
        Field::new("min", Float32, false),
        Field::new("max", Float32, false),
        Field::new("max_window", UInt32, false),
        Field::new("max_position", UInt32, false),
        list("histogram_low", Float32),
        list("histogram_high", Float32),
        list("histogram_count", UInt64),
        list("interval_low", Float32),
        list("interval_high", Float32),
        list("interval_windows", UInt64),
        list("top_tokens", UInt32),
        list("top_means", Float32),
        list("top_counts", UInt32),
        list("bottom_tokens", UInt32),
        list("bottom_means", Float32),
        list("bottom_counts", UInt32),
    ])
}

/// Writes the units of hook point after hook point.
pub(crate) struct UnitWriter(TableWriter);

impl UnitWriter {
    /// Starts the table at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, AtlasError> {
        Ok(Self(TableWriter::create(path, columns(), &[])?))
    }

    /// Appends all units of a hook point, from 0 on.
    pub(crate) fn write(&mut self, rows: &[UnitRow]) -> Result<(), AtlasError> {
        for rows in rows.chunks(GROUP) {
            let mut columns = vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.unit.hook.to_string())))
                    as ArrayRef,
                numbers::<UInt32Type>(rows.iter().map(|row| row.unit.index)),
            ];
            columns.extend(statistics_columns(rows));
            columns.extend(list_columns(rows));
            self.0.write(columns)?;
        }
        Ok(())
    }

    /// Completes the table.
    pub(crate) fn finish(self) -> Result<(), AtlasError> {
        self.0.finish()
    }
}

fn statistics_columns(rows: &[UnitRow]) -> [ArrayRef; 10] {
    let all = || rows.iter().map(|row| &row.statistics);
    [
        numbers::<UInt64Type>(all().map(|s| s.tokens)),
        numbers::<Float64Type>(all().map(|s| s.mean)),
        numbers::<Float64Type>(all().map(|s| s.variance)),
        optional_numbers::<Float64Type>(all().map(|s| s.skewness)),
        optional_numbers::<Float64Type>(all().map(|s| s.kurtosis)),
        numbers::<Float64Type>(all().map(|s| s.density)),
        numbers::<Float32Type>(all().map(|s| s.min)),
        numbers::<Float32Type>(all().map(|s| s.max)),
        numbers::<UInt32Type>(all().map(|s| s.max_window)),
        numbers::<UInt32Type>(all().map(|s| s.max_position)),
    ]
}

fn list_columns(rows: &[UnitRow]) -> [ArrayRef; 12] {
    type Tokens = fn(&UnitRow) -> &Vec<TokenMean>;
    let histogram = |edge: fn(&HistogramBucket) -> f32| {
        lists::<Float32Type, _>(rows.iter().map(move |row| row.histogram.iter().map(edge)))
    };
    let intervals = |edge: fn(&QuantileInterval) -> f32| {
        lists::<Float32Type, _>(rows.iter().map(move |row| row.intervals.iter().map(edge)))
    };
    let ids =
        |side: Tokens| lists::<UInt32Type, _>(rows.iter().map(move |row| side(row).iter().map(|t| t.token)));
    let means =
        |side: Tokens| lists::<Float32Type, _>(rows.iter().map(move |row| side(row).iter().map(|t| t.mean)));
    let counts =
        |side: Tokens| lists::<UInt32Type, _>(rows.iter().map(move |row| side(row).iter().map(|t| t.count)));
    let (top, bottom): (Tokens, Tokens) = (|row| &row.top_tokens, |row| &row.bottom_tokens);
    [
        histogram(|bucket| bucket.low),
        histogram(|bucket| bucket.high),
        lists::<UInt64Type, _>(rows.iter().map(|row| row.histogram.iter().map(|bucket| bucket.count))),
        intervals(|interval| interval.low),
        intervals(|interval| interval.high),
        lists::<UInt64Type, _>(rows.iter().map(|row| row.intervals.iter().map(|interval| interval.windows))),
        ids(top),
        means(top),
        counts(top),
        ids(bottom),
        means(bottom),
        counts(bottom),
    ]
}

/// Opens the units.
pub(crate) fn open(path: &Path) -> Result<Table, AtlasError> {
    Table::open(path, &columns())
}

/// The row of a unit; `units_before` are the unit counts of the hook points before its own.
pub(crate) fn read(table: &Table, unit: UnitId, units_before: &[u32]) -> Result<UnitRow, AtlasError> {
    let skipped: usize = units_before.iter().map(|units| (*units as usize).div_ceil(GROUP)).sum();
    let group = skipped + unit.index as usize / GROUP;
    if group >= table.groups() {
        return Err(table.broken("fewer row groups than the manifest has units"));
    }
    let misplaced = || table.broken(&format!("the row of {unit} is not where it should be"));
    let batch = table.group(group)?;
    let row = unit.index as usize % GROUP;
    // Only this row is converted.
    let batch = if row < batch.num_rows() { batch.slice(row, 1) } else { return Err(misplaced()) };
    let row = 0;
    let hooks = table.texts(&batch, "hook")?;
    let indices = table.numbers::<UInt32Type>(&batch, "unit")?;
    if hooks[row] != unit.hook.to_string() || indices[row] != unit.index {
        return Err(misplaced());
    }
    let statistics = read_statistics(table, &batch, row)?;
    Ok(UnitRow {
        unit,
        statistics,
        histogram: read_histogram(table, &batch, row)?,
        intervals: read_intervals(table, &batch, row)?,
        top_tokens: read_tokens(table, &batch, row, ["top_tokens", "top_means", "top_counts"])?,
        bottom_tokens: read_tokens(table, &batch, row, ["bottom_tokens", "bottom_means", "bottom_counts"])?,
    })
}

fn read_statistics(table: &Table, batch: &RecordBatch, row: usize) -> Result<UnitStatistics, AtlasError> {
    let double = |name: &str| Ok::<_, AtlasError>(table.numbers::<Float64Type>(batch, name)?[row]);
    let optional = |name: &str| Ok::<_, AtlasError>(table.optional_numbers::<Float64Type>(batch, name)?[row]);
    let single = |name: &str| Ok::<_, AtlasError>(table.numbers::<Float32Type>(batch, name)?[row]);
    let index = |name: &str| Ok::<_, AtlasError>(table.numbers::<UInt32Type>(batch, name)?[row]);
    Ok(UnitStatistics {
        tokens: table.numbers::<UInt64Type>(batch, "tokens")?[row],
        mean: double("mean")?,
        variance: double("variance")?,
        skewness: optional("skewness")?,
        kurtosis: optional("kurtosis")?,
        density: double("density")?,
        min: single("min")?,
        max: single("max")?,
        max_window: index("max_window")?,
        max_position: index("max_position")?,
    })
}

fn read_histogram(
    table: &Table,
    batch: &RecordBatch,
    row: usize,
) -> Result<Vec<HistogramBucket>, AtlasError> {
    let low = table.list::<Float32Type>(batch, "histogram_low", row)?;
    let high = table.list::<Float32Type>(batch, "histogram_high", row)?;
    let counts = table.list::<UInt64Type>(batch, "histogram_count", row)?;
    if low.len() != high.len() || low.len() != counts.len() {
        return Err(table.broken("the histogram lists of a unit differ in length"));
    }
    let buckets = low.into_iter().zip(high).zip(counts);
    Ok(buckets.map(|((low, high), count)| HistogramBucket { low, high, count }).collect())
}

fn read_intervals(
    table: &Table,
    batch: &RecordBatch,
    row: usize,
) -> Result<Vec<QuantileInterval>, AtlasError> {
    let low = table.list::<Float32Type>(batch, "interval_low", row)?;
    let high = table.list::<Float32Type>(batch, "interval_high", row)?;
    let windows = table.list::<UInt64Type>(batch, "interval_windows", row)?;
    if low.len() != high.len() || low.len() != windows.len() || low.len() >= QUANTILES.len() {
        return Err(table.broken("the interval lists of a unit have wrong lengths"));
    }
    let total: u64 = windows.iter().fold(0, |sum, windows| sum.saturating_add(*windows));
    let intervals = low.into_iter().zip(high).zip(windows).enumerate();
    Ok(intervals
        .map(|(index, ((low, high), windows))| QuantileInterval {
            from_quantile: QUANTILES[index],
            to_quantile: QUANTILES[index + 1],
            low,
            high,
            windows,
            share: windows as f64 / total.max(1) as f64,
        })
        .collect())
}

fn read_tokens(
    table: &Table,
    batch: &RecordBatch,
    row: usize,
    [tokens, means, counts]: [&str; 3],
) -> Result<Vec<TokenMean>, AtlasError> {
    let tokens = table.list::<UInt32Type>(batch, tokens, row)?;
    let means = table.list::<Float32Type>(batch, means, row)?;
    let counts = table.list::<UInt32Type>(batch, counts, row)?;
    if tokens.len() != means.len() || tokens.len() != counts.len() {
        return Err(table.broken("the token lists of a unit differ in length"));
    }
    let rows = tokens.into_iter().zip(means).zip(counts);
    Ok(rows.map(|((token, mean), count)| TokenMean { token, mean, count }).collect())
}
