//! `excerpts/{hook}.parquet`: one row per unit and excerpt. `unit` u32 ascending, `kind` (top, quantile,
//! random), `interval` u8 (quantile excerpts only), `rank` u32, `split`, `window` u32, `max` f32,
//! `activations` fixed-size list of f32.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::{Float32Type, UInt8Type, UInt32Type};
use arrow_array::{ArrayRef, StringArray};
use arrow_schema::{DataType, Field, SchemaRef};

use super::writing::{fixed_lists, numbers, optional_numbers};
use super::{Table, TableWriter, fixed_list, schema};
use crate::error::AtlasError;
use crate::excerpt::{ExcerptKind, INTERVALS, Split};

/// Units per row group.
const GROUP: u32 = 16;

/// An excerpt as stored: without the window's tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExcerptRow {
    pub(crate) unit: u32,
    pub(crate) kind: ExcerptKind,
    pub(crate) rank: u32,
    pub(crate) split: Split,
    pub(crate) window: u32,
    pub(crate) max: f32,
    pub(crate) activations: Vec<f32>,
}

fn columns(context: usize) -> SchemaRef {
    schema(vec![
        Field::new("unit", DataType::UInt32, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("interval", DataType::UInt8, true),
        Field::new("rank", DataType::UInt32, false),
        Field::new("split", DataType::Utf8, false),
        Field::new("window", DataType::UInt32, false),
        Field::new("max", DataType::Float32, false),
        fixed_list("activations", DataType::Float32, false, context),
    ])
}

/// Writes the excerpts of a hook point, unit after unit.
pub(crate) struct ExcerptWriter {
    path: PathBuf,
    writer: TableWriter,
    context: usize,
    pending: Vec<ExcerptRow>,
}

impl ExcerptWriter {
    /// Starts the table at `path`.
    pub(crate) fn create(path: &Path, context: usize) -> Result<Self, AtlasError> {
        let writer = TableWriter::create(path, columns(context), &["activations"])?;
        Ok(Self { path: path.to_owned(), writer, context, pending: Vec::new() })
    }

    /// Appends the excerpts of the next unit.
    pub(crate) fn write(&mut self, rows: Vec<ExcerptRow>) -> Result<(), AtlasError> {
        let first = self.pending.first().map(|row| row.unit);
        let next = rows.first().map(|row| row.unit);
        if let (Some(first), Some(next)) = (first, next)
            && next / GROUP != first / GROUP
        {
            self.flush()?;
        }
        self.pending.extend(rows);
        Ok(())
    }

    /// Completes the table.
    pub(crate) fn finish(mut self) -> Result<(), AtlasError> {
        self.flush()?;
        self.writer.finish()
    }

    fn flush(&mut self) -> Result<(), AtlasError> {
        let rows = std::mem::take(&mut self.pending);
        if rows.is_empty() {
            return Ok(());
        }
        let interval = |row: &ExcerptRow| match row.kind {
            ExcerptKind::Quantile { interval } => Some(interval),
            _ => None,
        };
        let text = |texts: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
        let activations = rows.iter().flat_map(|row| row.activations.iter().copied()).collect();
        self.writer.write(vec![
            numbers::<UInt32Type>(rows.iter().map(|row| row.unit)),
            text(rows.iter().map(|row| row.kind.name().to_owned()).collect()),
            optional_numbers::<UInt8Type>(rows.iter().map(interval)),
            numbers::<UInt32Type>(rows.iter().map(|row| row.rank)),
            text(rows.iter().map(|row| row.split.to_string()).collect()),
            numbers::<UInt32Type>(rows.iter().map(|row| row.window)),
            numbers::<Float32Type>(rows.iter().map(|row| row.max)),
            fixed_lists::<Float32Type>(&self.path, activations, self.context)?,
        ])
    }
}

/// Opens the excerpts of a hook point.
pub(crate) fn open(path: &Path, context: usize) -> Result<Table, AtlasError> {
    Table::open(path, &columns(context))
}

/// The excerpts of a unit, in stored order.
pub(crate) fn read(table: &Table, unit: u32) -> Result<Vec<ExcerptRow>, AtlasError> {
    let Some(group) = table.find("unit", unit) else { return Ok(Vec::new()) };
    let batch = table.group(group)?;
    let units = table.numbers::<UInt32Type>(&batch, "unit")?;
    // Only the rows from the unit's first to its last are converted.
    let Some(first) = units.iter().position(|other| *other == unit) else { return Ok(Vec::new()) };
    let last = units.iter().rposition(|other| *other == unit).unwrap_or(first);
    let (batch, units) = (batch.slice(first, last + 1 - first), &units[first..=last]);
    let kinds = table.texts(&batch, "kind")?;
    let intervals = table.optional_numbers::<UInt8Type>(&batch, "interval")?;
    let ranks = table.numbers::<UInt32Type>(&batch, "rank")?;
    let splits = table.texts(&batch, "split")?;
    let windows = table.numbers::<UInt32Type>(&batch, "window")?;
    let maxima = table.numbers::<Float32Type>(&batch, "max")?;
    let rows = (0..units.len()).filter(|row| units[*row] == unit);
    rows.map(|row| {
        let kind = match (kinds[row].as_str(), intervals[row]) {
            ("top", None) => ExcerptKind::Top,
            ("random", None) => ExcerptKind::Random,
            ("quantile", Some(interval)) if usize::from(interval) < INTERVALS => {
                ExcerptKind::Quantile { interval }
            }
            (kind, _) => return Err(table.broken(&format!("`kind` is `{kind}` with a wrong `interval`"))),
        };
        Ok(ExcerptRow {
            unit,
            kind,
            rank: ranks[row],
            split: splits[row].parse().map_err(|error: String| table.broken(&error))?,
            window: windows[row],
            max: maxima[row],
            activations: table.list::<Float32Type>(&batch, "activations", row)?,
        })
    })
    .collect()
}
