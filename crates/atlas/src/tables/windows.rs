//! `windows.parquet`: the windows that excerpts refer to. `window` u32 ascending, `document` (where it
//! comes from), `offset` u32 of its first token there, `tokens` fixed-size list of u32. For bulk use;
//! the same rows are in `atlas.sqlite` for point look-ups.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, StringArray};
use arrow_schema::{DataType, Field, SchemaRef};

use super::writing::{fixed_lists, numbers};
use super::{Table, TableWriter, fixed_list, schema};
use crate::error::AtlasError;

/// Rows per row group.
const GROUP: usize = 4096;

/// A window of the selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Its number.
    pub window: u32,
    /// Where it comes from.
    pub document: String,
    /// Position of its first token there.
    pub offset: u32,
    /// Its tokens.
    pub tokens: Vec<u32>,
}

fn columns(context: usize) -> SchemaRef {
    schema(vec![
        Field::new("window", DataType::UInt32, false),
        Field::new("document", DataType::Utf8, false),
        Field::new("offset", DataType::UInt32, false),
        fixed_list("tokens", DataType::UInt32, false, context),
    ])
}

/// Writes windows of `context` tokens.
pub(crate) struct WindowWriter {
    path: std::path::PathBuf,
    writer: TableWriter,
    context: usize,
    pending: Vec<WindowRow>,
}

impl WindowWriter {
    /// Starts the table at `path`.
    pub(crate) fn create(path: &Path, context: usize) -> Result<Self, AtlasError> {
        let writer = TableWriter::create(path, columns(context), &[])?;
        Ok(Self { path: path.to_owned(), writer, context, pending: Vec::new() })
    }

    /// Appends a window.
    pub(crate) fn write(&mut self, row: WindowRow) -> Result<(), AtlasError> {
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
        let documents: ArrayRef =
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.document)));
        let tokens = rows.iter().flat_map(|row| row.tokens.iter().copied()).collect();
        self.writer.write(vec![
            numbers::<UInt32Type>(rows.iter().map(|row| row.window)),
            documents,
            numbers::<UInt32Type>(rows.iter().map(|row| row.offset)),
            fixed_lists::<UInt32Type>(&self.path, tokens, self.context)?,
        ])
    }
}

/// All windows, row group by row group.
pub(crate) fn read(
    path: &Path,
    context: usize,
) -> Result<impl Iterator<Item = Result<WindowRow, AtlasError>> + use<>, AtlasError> {
    let table = Table::open(path, &columns(context))?;
    let groups = (0..table.groups()).map(move |group| read_group(&table, group));
    Ok(groups.flat_map(|rows| match rows {
        Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    }))
}

fn read_group(table: &Table, group: usize) -> Result<Vec<WindowRow>, AtlasError> {
    let batch = table.group(group)?;
    let windows = table.numbers::<UInt32Type>(&batch, "window")?;
    let documents = table.texts(&batch, "document")?;
    let offsets = table.numbers::<UInt32Type>(&batch, "offset")?;
    let rows = windows.into_iter().zip(documents).zip(offsets).enumerate();
    rows.map(|(row, ((window, document), offset))| {
        let tokens = table.list::<UInt32Type>(&batch, "tokens", row)?;
        Ok(WindowRow { window, document, offset, tokens })
    })
    .collect()
}
