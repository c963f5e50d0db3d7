//! `token_means/{hook}.parquet`: what explainers may know about tokens. One row per unit: `unit` u32,
//! `mean` f32 over all counted tokens outside the unit's scoring excerpts, `means` fixed-size list of
//! f32, one per column of `tokens.parquet`, undefined where the token occurs nowhere else.

use std::path::{Path, PathBuf};

use arrow_array::types::{Float32Type, UInt32Type};
use arrow_schema::{DataType, Field, SchemaRef};

use super::writing::{numbers, optional_fixed_lists};
use super::{Table, TableWriter, fixed_list, schema};
use crate::error::AtlasError;

/// Units per row group.
const GROUP: usize = 16;

/// One unit's means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenMeansRow {
    pub(crate) unit: u32,
    pub(crate) mean: f32,
    pub(crate) means: Vec<Option<f32>>,
}

fn columns(kept: usize) -> SchemaRef {
    schema(vec![
        Field::new("unit", DataType::UInt32, false),
        Field::new("mean", DataType::Float32, false),
        fixed_list("means", DataType::Float32, true, kept),
    ])
}

/// Writes the means of a hook point, unit after unit.
pub(crate) struct TokenMeansWriter {
    path: PathBuf,
    writer: TableWriter,
    kept: usize,
    pending: Vec<TokenMeansRow>,
}

impl TokenMeansWriter {
    /// Starts the table at `path` for `kept` tokens.
    pub(crate) fn create(path: &Path, kept: usize) -> Result<Self, AtlasError> {
        let writer = TableWriter::create(path, columns(kept), &["means"])?;
        Ok(Self { path: path.to_owned(), writer, kept, pending: Vec::new() })
    }

    /// Appends the next unit.
    pub(crate) fn write(&mut self, row: TokenMeansRow) -> Result<(), AtlasError> {
        self.pending.push(row);
        if self.pending.len() == GROUP { self.flush() } else { Ok(()) }
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
        let means = rows.iter().flat_map(|row| row.means.iter().copied());
        self.writer.write(vec![
            numbers::<UInt32Type>(rows.iter().map(|row| row.unit)),
            numbers::<Float32Type>(rows.iter().map(|row| row.mean)),
            optional_fixed_lists(&self.path, means, self.kept)?,
        ])
    }
}

/// Opens the means of a hook point.
pub(crate) fn open(path: &Path, kept: usize) -> Result<Table, AtlasError> {
    Table::open(path, &columns(kept))
}

/// The means of a unit.
pub(crate) fn read(table: &Table, unit: u32) -> Result<Option<TokenMeansRow>, AtlasError> {
    let Some(group) = table.find("unit", unit) else { return Ok(None) };
    let batch = table.group(group)?;
    let units = table.numbers::<UInt32Type>(&batch, "unit")?;
    let Some(row) = units.iter().position(|candidate| *candidate == unit) else { return Ok(None) };
    let mean = table.numbers::<Float32Type>(&batch, "mean")?[row];
    Ok(Some(TokenMeansRow { unit, mean, means: table.optional_list::<Float32Type>(&batch, "means", row)? }))
}

/// The mean of a unit over all tokens, without those per token.
pub(crate) fn read_mean(table: &Table, unit: u32) -> Result<Option<f32>, AtlasError> {
    let Some(group) = table.find("unit", unit) else { return Ok(None) };
    let batch = table.columns(group, &["unit", "mean"])?;
    let units = table.numbers::<UInt32Type>(&batch, "unit")?;
    let means = table.numbers::<Float32Type>(&batch, "mean")?;
    Ok(units.iter().position(|candidate| *candidate == unit).map(|row| means[row]))
}
