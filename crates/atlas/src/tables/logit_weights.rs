//! `logit_weights/{hook}.parquet`: the tokens that each unit's output direction raises and lowers most.
//! One row per unit: `unit` u32; lists `top_tokens` u32 and `top_weights` f32, largest first;
//! `bottom_tokens` and `bottom_weights`, smallest first.

use std::path::Path;

use arrow_array::types::{Float32Type, UInt32Type};
use arrow_schema::{DataType, Field, SchemaRef};

use super::writing::{lists, numbers};
use super::{Table, TableWriter, list, schema};
use crate::error::AtlasError;
use crate::record::TokenWeight;

/// Units per row group.
const GROUP: usize = 256;

/// One unit's strongest tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LogitWeightsRow {
    pub(crate) top: Vec<TokenWeight>,
    pub(crate) bottom: Vec<TokenWeight>,
}

fn columns() -> SchemaRef {
    schema(vec![
        Field::new("unit", DataType::UInt32, false),
        list("top_tokens", DataType::UInt32),
        list("top_weights", DataType::Float32),
        list("bottom_tokens", DataType::UInt32),
        list("bottom_weights", DataType::Float32),
    ])
}

/// Writes the rows of units 0, 1, 2, …
pub(crate) fn write(path: &Path, rows: &[LogitWeightsRow]) -> Result<(), AtlasError> {
    let mut writer = TableWriter::create(path, columns(), &[])?;
    for (group, rows) in rows.chunks(GROUP).enumerate() {
        let first = (group * GROUP) as u32;
        let tokens = |side: fn(&LogitWeightsRow) -> &Vec<TokenWeight>| {
            lists::<UInt32Type, _>(rows.iter().map(move |row| side(row).iter().map(|weight| weight.token)))
        };
        let weights = |side: fn(&LogitWeightsRow) -> &Vec<TokenWeight>| {
            lists::<Float32Type, _>(rows.iter().map(move |row| side(row).iter().map(|weight| weight.weight)))
        };
        writer.write(vec![
            numbers::<UInt32Type>(first..first + rows.len() as u32),
            tokens(|row| &row.top),
            weights(|row| &row.top),
            tokens(|row| &row.bottom),
            weights(|row| &row.bottom),
        ])?;
    }
    writer.finish()
}

/// Opens the rows of a hook point.
pub(crate) fn open(path: &Path) -> Result<Table, AtlasError> {
    Table::open(path, &columns())
}

/// The row of a unit.
pub(crate) fn read(table: &Table, unit: u32) -> Result<LogitWeightsRow, AtlasError> {
    let Some(group) = table.find("unit", unit) else { return Ok(LogitWeightsRow::default()) };
    let batch = table.group(group)?;
    let units = table.numbers::<UInt32Type>(&batch, "unit")?;
    let Some(row) = units.iter().position(|candidate| *candidate == unit) else {
        return Ok(LogitWeightsRow::default());
    };
    let side = |tokens: &str, weights: &str| {
        let tokens = table.list::<UInt32Type>(&batch, tokens, row)?;
        let weights = table.list::<Float32Type>(&batch, weights, row)?;
        if tokens.len() != weights.len() {
            return Err(table.broken("token and weight lists differ in length"));
        }
        Ok(tokens.into_iter().zip(weights).map(|(token, weight)| TokenWeight { token, weight }).collect())
    };
    Ok(LogitWeightsRow {
        top: side("top_tokens", "top_weights")?,
        bottom: side("bottom_tokens", "bottom_weights")?,
    })
}
