//! `correlated_neurons/{hook}.parquet` and `aligned_neurons/{hook}.parquet`: the neurons that a feature is made of, by the
//! correlation of activations and by the cosine of output directions. One row per unit: `unit` u32; lists `neurons`
//! u32 and `values` f32, the largest sizes first. Which hook point the neurons are of is in the manifest.

use std::path::Path;

use arrow_array::types::{Float32Type, UInt32Type};
use arrow_schema::{DataType, Field, SchemaRef};

use super::writing::{lists, numbers};
use super::{Table, TableWriter, list, schema};
use crate::error::AtlasError;

/// Units per row group.
const GROUP: usize = 256;

fn columns() -> SchemaRef {
    schema(vec![
        Field::new("unit", DataType::UInt32, false),
        list("neurons", DataType::UInt32),
        list("values", DataType::Float32),
    ])
}

/// Writes (neuron, value) of units 0, 1, 2, …
pub(crate) fn write(path: &Path, rows: &[Vec<(u32, f32)>]) -> Result<(), AtlasError> {
    let mut writer = TableWriter::create(path, columns(), &[])?;
    for (group, rows) in rows.chunks(GROUP).enumerate() {
        let first = (group * GROUP) as u32;
        writer.write(vec![
            numbers::<UInt32Type>(first..first + rows.len() as u32),
            lists::<UInt32Type, _>(rows.iter().map(|row| row.iter().map(|(neuron, _)| *neuron))),
            lists::<Float32Type, _>(rows.iter().map(|row| row.iter().map(|(_, value)| *value))),
        ])?;
    }
    writer.finish()
}

/// Opens the table of a hook point.
pub(crate) fn open(path: &Path) -> Result<Table, AtlasError> {
    Table::open(path, &columns())
}

/// (neuron, value) of a unit.
pub(crate) fn read(table: &Table, unit: u32) -> Result<Vec<(u32, f32)>, AtlasError> {
    let Some(group) = table.find("unit", unit) else { return Ok(Vec::new()) };
    let batch = table.group(group)?;
    let units = table.numbers::<UInt32Type>(&batch, "unit")?;
    let Some(row) = units.iter().position(|candidate| *candidate == unit) else { return Ok(Vec::new()) };
    let neurons = table.list::<UInt32Type>(&batch, "neurons", row)?;
    let values = table.list::<Float32Type>(&batch, "values", row)?;
    if neurons.len() != values.len() {
        return Err(table.broken("the lists of a unit differ in length"));
    }
    Ok(neurons.into_iter().zip(values).collect())
}
