//! Reads a Parquet table row group by row group, distrusting everything in its footer.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::statistics::Statistics;

use crate::error::{AtPath, AtlasError};

/// Most rows that a row group of ours has.
const MAX_ROWS: i64 = 1 << 20;
/// Most bytes that a row group of ours decodes to.
const MAX_GROUP_BYTES: i64 = 1 << 30;

/// Row groups that stay decoded: units are mostly read in order, by a few threads.
const RECENT: usize = 4;

/// An open table: its checked footer, and the row groups that were read last. Every read opens the file anew, as
/// clones of a file handle would share one position between threads.
pub(crate) struct Table {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    /// Row groups by number, oldest first.
    recent: Mutex<VecDeque<(usize, RecordBatch)>>,
}

impl Table {
    /// Opens the table at `path` and checks that it has these columns and plausible sizes.
    pub(crate) fn open(path: &Path, schema: &SchemaRef) -> Result<Self, AtlasError> {
        let file = File::open(path).at(path)?;
        let length = file.metadata().at(path)?.len();
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).at(path)?;
        for expected in schema.fields() {
            match metadata.schema().field_with_name(expected.name()) {
                Ok(field) if field.data_type() == expected.data_type() => {}
                Ok(field) => {
                    let (found, wanted) = (field.data_type(), expected.data_type());
                    let message = format!("column `{}` is {found}, not {wanted}", expected.name());
                    return Err(AtlasError::invalid(path, message));
                }
                Err(_) => {
                    let message = format!("column `{}` is missing", expected.name());
                    return Err(AtlasError::invalid(path, message));
                }
            }
        }
        for group in metadata.metadata().row_groups() {
            let stored = u64::try_from(group.compressed_size());
            let plausible = (0..=MAX_ROWS).contains(&group.num_rows())
                && (0..=MAX_GROUP_BYTES).contains(&group.total_byte_size())
                && stored.is_ok_and(|stored| stored <= length);
            if !plausible {
                return Err(AtlasError::invalid(path, "a row group has an impossible size"));
            }
        }
        Ok(Self { path: path.to_owned(), metadata, recent: Mutex::default() })
    }

    /// Number of row groups.
    pub(crate) fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// All rows of a row group.
    pub(crate) fn group(&self, group: usize) -> Result<RecordBatch, AtlasError> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, batch)) = recent().iter().find(|(number, _)| *number == group) {
            return Ok(batch.clone());
        }
        let batch = self.decode(group, ProjectionMask::all())?;
        let mut recent = recent();
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((group, batch.clone()));
        Ok(batch)
    }

    /// All rows of a row group, with these columns only; nothing of it stays decoded.
    pub(crate) fn columns(&self, group: usize, names: &[&str]) -> Result<RecordBatch, AtlasError> {
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        self.decode(group, ProjectionMask::columns(schema, names.iter().copied()))
    }

    fn decode(&self, group: usize, columns: ProjectionMask) -> Result<RecordBatch, AtlasError> {
        let file = File::open(&self.path).at(&self.path)?;
        let rows = self.metadata.metadata().row_group(group).num_rows() as usize;
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(columns)
            .with_batch_size(rows.max(1))
            .build()
            .at(&self.path)?;
        let batch = reader.next().ok_or_else(|| self.broken("a row group is empty"))?;
        batch.map_err(|error| self.broken(&error.to_string()))
    }

    /// The row group whose column `name` of u32 covers `value`, by the footer.
    pub(crate) fn find(&self, name: &str, value: u32) -> Option<usize> {
        let metadata = self.metadata.metadata();
        let columns = metadata.file_metadata().schema_descr().columns();
        let column = columns.iter().position(|column| column.path().string() == name)?;
        (0..self.groups()).find(|group| match metadata.row_group(*group).column(column).statistics() {
            Some(Statistics::Int32(bounds)) => {
                let (Some(low), Some(high)) = (bounds.min_opt(), bounds.max_opt()) else { return false };
                (*low as u32..=*high as u32).contains(&value)
            }
            _ => false,
        })
    }

    /// An error about this file.
    pub(crate) fn broken(&self, message: &str) -> AtlasError {
        AtlasError::invalid(&self.path, message)
    }

    /// A column of a batch.
    fn column<'a>(&self, batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, AtlasError> {
        batch.column_by_name(name).ok_or_else(|| self.broken(&format!("column `{name}` is missing")))
    }

    /// The numbers of a column without undefined values.
    pub(crate) fn numbers<T: ArrowPrimitiveType>(
        &self,
        batch: &RecordBatch,
        name: &str,
    ) -> Result<Vec<T::Native>, AtlasError> {
        primitive::<T>(self.column(batch, name)?).ok_or_else(|| self.undefined(name))
    }

    /// The numbers of a column, undefined values as `None`.
    pub(crate) fn optional_numbers<T: ArrowPrimitiveType>(
        &self,
        batch: &RecordBatch,
        name: &str,
    ) -> Result<Vec<Option<T::Native>>, AtlasError> {
        let column = self.column(batch, name)?;
        Ok(column.as_primitive_opt::<T>().ok_or_else(|| self.undefined(name))?.iter().collect())
    }

    /// The texts of a column.
    pub(crate) fn texts(&self, batch: &RecordBatch, name: &str) -> Result<Vec<String>, AtlasError> {
        texts(self.column(batch, name)?).ok_or_else(|| self.undefined(name))
    }

    /// Row `row` of a list column of numbers.
    pub(crate) fn list<T: ArrowPrimitiveType>(
        &self,
        batch: &RecordBatch,
        name: &str,
        row: usize,
    ) -> Result<Vec<T::Native>, AtlasError> {
        let item = self.item(batch, name, row)?;
        primitive::<T>(&item).ok_or_else(|| self.undefined(name))
    }

    /// Row `row` of a list column of numbers, undefined values as `None`.
    pub(crate) fn optional_list<T: ArrowPrimitiveType>(
        &self,
        batch: &RecordBatch,
        name: &str,
        row: usize,
    ) -> Result<Vec<Option<T::Native>>, AtlasError> {
        let item = self.item(batch, name, row)?;
        Ok(item.as_primitive_opt::<T>().ok_or_else(|| self.undefined(name))?.iter().collect())
    }

    /// Row `row` of a list column of texts.
    pub(crate) fn text_list(
        &self,
        batch: &RecordBatch,
        name: &str,
        row: usize,
    ) -> Result<Vec<String>, AtlasError> {
        texts(&self.item(batch, name, row)?).ok_or_else(|| self.undefined(name))
    }

    fn item(&self, batch: &RecordBatch, name: &str, row: usize) -> Result<ArrayRef, AtlasError> {
        let column = self.column(batch, name)?;
        let item = if let Some(list) = column.as_list_opt::<i32>() {
            (row < list.len()).then(|| list.value(row))
        } else {
            column.as_fixed_size_list_opt().and_then(|list| (row < list.len()).then(|| list.value(row)))
        };
        item.ok_or_else(|| self.undefined(name))
    }

    fn undefined(&self, name: &str) -> AtlasError {
        self.broken(&format!("column `{name}` has undefined values or another type"))
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<Vec<T::Native>> {
    let array = array.as_primitive_opt::<T>()?;
    (array.null_count() == 0).then(|| array.values().to_vec())
}

fn texts(array: &ArrayRef) -> Option<Vec<String>> {
    array.as_string_opt::<i32>()?.iter().map(|text| text.map(str::to_owned)).collect()
}
