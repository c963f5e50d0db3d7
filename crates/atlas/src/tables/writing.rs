//! Writes a Parquet table, one row group per batch, under a temporary name until it is complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{ArrowPrimitiveType, Float32Type};
use arrow_array::{ArrayRef, FixedSizeListArray, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, Field, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{AtPath, AtlasError};
use crate::files;

/// An unfinished Parquet file.
pub(crate) struct TableWriter {
    path: PathBuf,
    partial: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
}

impl TableWriter {
    /// Starts the table at `path`; `measured` names the fixed-size-list columns of floats.
    pub(crate) fn create(path: &Path, schema: SchemaRef, measured: &[&str]) -> Result<Self, AtlasError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).at(parent)?;
        }
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("glossator {}", env!("CARGO_PKG_VERSION")))
            .set_max_row_group_row_count(None)
            .set_statistics_enabled(EnabledStatistics::Chunk);
        for name in measured {
            let column = ColumnPath::new(vec![(*name).into(), "list".into(), "item".into()]);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
                .set_column_encoding(column, Encoding::BYTE_STREAM_SPLIT);
        }
        let partial = files::temporary(path);
        let file = File::create(&partial).at(&partial)?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties.build())).at(&partial)?;
        Ok(Self { path: path.to_owned(), partial, schema, writer })
    }

    /// Appends a row group of these columns, in the order of the schema.
    pub(crate) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), AtlasError> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| AtlasError::invalid(&self.path, error.to_string()))?;
        self.writer.write(&batch).and_then(|()| self.writer.flush()).at(&self.partial)
    }

    /// Completes the table and gives it its name.
    pub(crate) fn finish(self) -> Result<(), AtlasError> {
        self.writer.close().at(&self.partial)?;
        files::publish(&self.partial, &self.path)
    }
}

/// A column of numbers.
pub(super) fn numbers<T: ArrowPrimitiveType>(values: impl IntoIterator<Item = T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values))
}

/// A column of numbers, some of them undefined.
pub(super) fn optional_numbers<T: ArrowPrimitiveType>(
    values: impl IntoIterator<Item = Option<T::Native>>,
) -> ArrayRef {
    let mut builder = PrimitiveBuilder::<T>::new();
    values.into_iter().for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

/// A column of lists of numbers.
pub(super) fn lists<T: ArrowPrimitiveType, L: IntoIterator<Item = T::Native>>(
    rows: impl IntoIterator<Item = L>,
) -> ArrayRef {
    let item = Field::new("item", T::DATA_TYPE, false);
    let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new()).with_field(item);
    for row in rows {
        row.into_iter().for_each(|value| builder.values().append_value(value));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// A column of lists of texts.
pub(super) fn text_lists<L: IntoIterator<Item = String>>(rows: impl IntoIterator<Item = L>) -> ArrayRef {
    let mut builder =
        ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, false));
    for row in rows {
        row.into_iter().for_each(|value| builder.values().append_value(value));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// A column of lists of `length` numbers, given one after the other.
pub(super) fn fixed_lists<T: ArrowPrimitiveType>(
    path: &Path,
    values: Vec<T::Native>,
    length: usize,
) -> Result<ArrayRef, AtlasError>
where
    PrimitiveArray<T>: From<Vec<T::Native>>,
{
    let item = Arc::new(Field::new("item", T::DATA_TYPE, false));
    let values = Arc::new(PrimitiveArray::<T>::from(values));
    let array = FixedSizeListArray::try_new(item, length as i32, values, None);
    Ok(Arc::new(array.map_err(|error| AtlasError::invalid(path, error.to_string()))?))
}

/// A column of lists of `length` floats, given one after the other, some of them undefined.
pub(super) fn optional_fixed_lists(
    path: &Path,
    values: impl Iterator<Item = Option<f32>>,
    length: usize,
) -> Result<ArrayRef, AtlasError> {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let values = optional_numbers::<Float32Type>(values);
    let array = FixedSizeListArray::try_new(item, length as i32, values, None);
    Ok(Arc::new(array.map_err(|error| AtlasError::invalid(path, error.to_string()))?))
}
