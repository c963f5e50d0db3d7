//! `tokens.parquet`: the vocabulary. `token` u32 ascending from 0, `text` as displayed, `count` u64
//! occurrences in the selection, `column` u32: the token's place in the lists of `token_means`, if it
//! has one.

use std::path::Path;

use arrow_array::ArrayRef;
use arrow_array::StringArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_schema::{DataType, Field, SchemaRef};

use super::writing::{numbers, optional_numbers};
use super::{Table, TableWriter, schema};
use crate::error::AtlasError;

/// Largest vocabulary that is read.
const MAX_TOKENS: usize = 1 << 22;
/// Rows per row group.
const GROUP: usize = 1 << 16;

/// One token of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// As displayed.
    pub(crate) text: String,
    /// Occurrences in the selection, at counted positions.
    pub(crate) count: u64,
    /// Place in the lists of `token_means`.
    pub(crate) column: Option<u32>,
}

fn columns() -> SchemaRef {
    schema(vec![
        Field::new("token", DataType::UInt32, false),
        Field::new("text", DataType::Utf8, false),
        Field::new("count", DataType::UInt64, false),
        Field::new("column", DataType::UInt32, true),
    ])
}

/// Writes the vocabulary; row `i` is token `i`.
pub(crate) fn write(path: &Path, rows: &[TokenRow]) -> Result<(), AtlasError> {
    let mut writer = TableWriter::create(path, columns(), &[])?;
    for (group, rows) in rows.chunks(GROUP).enumerate() {
        let first = (group * GROUP) as u32;
        let texts: ArrayRef =
            std::sync::Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.text)));
        writer.write(vec![
            numbers::<UInt32Type>(first..first + rows.len() as u32),
            texts,
            numbers::<UInt64Type>(rows.iter().map(|row| row.count)),
            optional_numbers::<UInt32Type>(rows.iter().map(|row| row.column)),
        ])?;
    }
    writer.finish()
}

/// Reads the vocabulary.
pub(crate) fn read(path: &Path) -> Result<Vec<TokenRow>, AtlasError> {
    let table = Table::open(path, &columns())?;
    let mut rows = Vec::new();
    for group in 0..table.groups() {
        let batch = table.group(group)?;
        let ids = table.numbers::<UInt32Type>(&batch, "token")?;
        let texts = table.texts(&batch, "text")?;
        let counts = table.numbers::<UInt64Type>(&batch, "count")?;
        let places = table.optional_numbers::<UInt32Type>(&batch, "column")?;
        for (((id, text), count), column) in ids.into_iter().zip(texts).zip(counts).zip(places) {
            if id as usize != rows.len() || rows.len() >= MAX_TOKENS {
                return Err(table.broken("`token` does not count up from 0"));
            }
            rows.push(TokenRow { text, count, column });
        }
    }
    Ok(rows)
}
