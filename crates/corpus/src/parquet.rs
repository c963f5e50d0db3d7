//! Parquet: the text is a column of byte arrays (`string`, `large_string` and `binary` are all stored so).
//!
//! Row groups and pages are read one after the other; only one page of one column is in memory at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::decompress;
use crate::discover::SourceFile;
use crate::error::CorpusError;
use crate::passage;
use crate::reader::Delivery;
use crate::report::{Findings, InvalidUtf8};

/// Values decoded at a time.
const ROWS: usize = 256;

/// Reads the texts of the column `column`; nulls are skipped.
pub(crate) fn read(
    file: &SourceFile,
    column: &str,
    findings: &mut Findings,
    delivery: &mut Delivery<'_>,
) -> Result<(), CorpusError> {
    let opened = decompress::open_file(file)?;
    let size = opened.metadata().map_err(|error| CorpusError::io(&file.path, error))?.len();
    let reader = guarded(&file.path, || SerializedFileReader::new(opened))?;
    let index = text_column(&file.path, reader.metadata(), column)?;
    let mut row = 0;
    for group in 0..reader.num_row_groups() {
        check_extent(reader.metadata().row_group(group).column(index), size)
            .map_err(|reason| CorpusError::parquet(&file.path, reason))?;
        let columns = guarded(&file.path, || reader.get_row_group(group)?.get_column_reader(index))?;
        let ColumnReader::ByteArrayColumnReader(mut values) = columns else {
            return Err(CorpusError::parquet(&file.path, format!("the column `{column}` holds no text")));
        };
        while let Some(texts) = guarded(&file.path, || next_rows(&mut values, reader.metadata(), index))? {
            for text in texts {
                if let Some(text) = text {
                    let text = passage::decode(text.data(), |at| {
                        let offset = at as u64;
                        findings.invalid_utf8(InvalidUtf8 {
                            path: file.path.clone(),
                            row: Some(row),
                            offset,
                        });
                    });
                    if delivery.text(&text)?.is_break() {
                        return Ok(());
                    }
                }
                row += 1;
            }
        }
    }
    Ok(())
}

/// The decoder trusts some lengths of the file and panics where they lie; that is one more kind of damaged file.
fn guarded<T>(path: &Path, decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, CorpusError> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(result) => result.map_err(|error| CorpusError::parquet(path, error.to_string())),
        Err(_) => Err(CorpusError::parquet(path, "damaged Parquet data: the decoder failed")),
    }
}

/// The next rows of a row group, `None` for a null; `None` at its end.
fn next_rows(
    values: &mut ColumnReaderImpl<ByteArrayType>,
    metadata: &ParquetMetaData,
    index: usize,
) -> Result<Option<Vec<Option<ByteArray>>>, ParquetError> {
    let present = metadata.file_metadata().schema_descr().column(index).max_def_level();
    let (mut levels, mut texts) = (Vec::new(), Vec::new());
    let (rows, _, _) = values.read_records(ROWS, Some(&mut levels), None, &mut texts)?;
    if rows == 0 {
        return Ok(None);
    }
    // A required column has no definition levels.
    levels.resize(rows, present);
    let mut texts = texts.into_iter();
    Ok(Some(levels.into_iter().map(|level| if level == present { texts.next() } else { None }).collect()))
}

/// The index of the leaf column with this name, if it can hold one text a row.
fn text_column(path: &Path, metadata: &ParquetMetaData, name: &str) -> Result<usize, CorpusError> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let holds_text = |c: &ColumnDescriptor| c.physical_type() == Type::BYTE_ARRAY && c.max_rep_level() == 0;
    let found = columns.iter().position(|column| column.path().string() == name);
    if let Some(index) = found.filter(|&index| holds_text(&columns[index])) {
        return Ok(index);
    }
    let texts: Vec<String> =
        columns.iter().filter(|column| holds_text(column)).map(|column| column.path().string()).collect();
    let what = if found.is_some() { "holds no text" } else { "does not exist" };
    let reason = if texts.is_empty() {
        format!("the column `{name}` {what}, and no other column holds text")
    } else {
        format!("the column `{name}` {what}; text columns: {} (--text-field chooses one)", texts.join(", "))
    };
    Err(CorpusError::parquet(path, reason))
}

/// Refuses offsets and sizes that cannot be true before the decoder takes memory for them.
fn check_extent(column: &ColumnChunkMetaData, file_size: u64) -> Result<(), String> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let (packed, size) = (column.compressed_size(), column.uncompressed_size());
    let end = u64::try_from(start).ok().zip(u64::try_from(packed).ok()).and_then(|(a, b)| a.checked_add(b));
    if end.is_none_or(|end| end > file_size) || column.num_values() < 0 || size < 0 {
        return Err(format!(
            "damaged: a column chunk of {packed} bytes at offset {start} does not fit into {file_size} bytes"
        ));
    }
    Ok(())
}
