//! `windows.parquet`: the windows that excerpts refer to. `window` u32 ascending, `document` (where it
//! comes from), `offset` u32 of its first token there, `tokens` fixed-size list of u32. For bulk use;
//! the same rows are in `atlas.sqlite` for point look-ups.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, StringArray};
use arrow_schema::{DataType, Field, SchemaRef};

use super::writing::{fixed_lists, numbers};
use super::{TableWriter, fixed_list, schema};
use crate::error::AtlasError;

/// Rows per row group.
const GROUP: usize = 4096;

/// A window of the selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WindowRow {
    /// Its number.
    pub(crate) window: u32,
    /// Where it comes from.
    pub(crate) document: String,
    /// Position of its first token there.
    pub(crate) offset: u32,
    /// Its tokens.
    pub(crate) tokens: Vec<u32>,
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
