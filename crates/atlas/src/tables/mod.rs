//! The Parquet files of an atlas: one module per table, plain column types, zstd, small row groups.
//!
//! A row group holds few units, so that one unit is read by decoding one row group; it is found by the
//! minimum and maximum of the `unit` column in the footer. Columns of measured floats are split into
//! byte streams before compression.

pub(crate) mod excerpts;
pub(crate) mod logit_weights;
pub(crate) mod neighbours;
pub(crate) mod neurons;
mod reading;
pub(crate) mod token_means;
pub(crate) mod tokens;
pub(crate) mod units;
pub(crate) mod windows;
mod writing;

pub(crate) use reading::Table;
pub(crate) use writing::TableWriter;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// A list column of `item`.
fn list(name: &str, item: DataType) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("item", item, false))), false)
}

/// A column of lists of `length` numbers.
fn fixed_list(name: &str, item: DataType, item_nullable: bool, length: usize) -> Field {
    let item = Arc::new(Field::new("item", item, item_nullable));
    Field::new(name, DataType::FixedSizeList(item, length as i32), false)
}

/// A schema of these columns.
fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}
