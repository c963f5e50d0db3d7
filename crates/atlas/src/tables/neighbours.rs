//! `neighbours/{hook}.parquet`: the units with the most similar output directions, over all recorded
//! hook points. One row per unit: `unit` u32; lists `neighbour_hooks`, `neighbour_units` u32 and
//! `cosines` f32, most similar first.

use std::path::Path;

use arrow_array::types::{Float32Type, UInt32Type};
use arrow_schema::{DataType, Field, SchemaRef};
use glossator_model::UnitId;

use super::writing::{lists, numbers, text_lists};
use super::{Table, TableWriter, list, schema};
use crate::error::AtlasError;
use crate::record::Neighbour;

/// Units per row group.
const GROUP: usize = 256;

fn columns() -> SchemaRef {
    schema(vec![
        Field::new("unit", DataType::UInt32, false),
        list("neighbour_hooks", DataType::Utf8),
        list("neighbour_units", DataType::UInt32),
        list("cosines", DataType::Float32),
    ])
}

/// Writes the neighbours of units 0, 1, 2, …
pub(crate) fn write(path: &Path, rows: &[Vec<Neighbour>]) -> Result<(), AtlasError> {
    let mut writer = TableWriter::create(path, columns(), &[])?;
    for (group, rows) in rows.chunks(GROUP).enumerate() {
        let first = (group * GROUP) as u32;
        writer.write(vec![
            numbers::<UInt32Type>(first..first + rows.len() as u32),
            text_lists(rows.iter().map(|row| row.iter().map(|neighbour| neighbour.unit.hook.to_string()))),
            lists::<UInt32Type, _>(rows.iter().map(|row| row.iter().map(|neighbour| neighbour.unit.index))),
            lists::<Float32Type, _>(rows.iter().map(|row| row.iter().map(|neighbour| neighbour.cosine))),
        ])?;
    }
    writer.finish()
}

/// Opens the neighbours of a hook point.
pub(crate) fn open(path: &Path) -> Result<Table, AtlasError> {
    Table::open(path, &columns())
}

/// The neighbours of a unit.
pub(crate) fn read(table: &Table, unit: u32) -> Result<Vec<Neighbour>, AtlasError> {
    let Some(group) = table.find("unit", unit) else { return Ok(Vec::new()) };
    let batch = table.group(group)?;
    let units = table.numbers::<UInt32Type>(&batch, "unit")?;
    let Some(row) = units.iter().position(|candidate| *candidate == unit) else { return Ok(Vec::new()) };
    let hooks = table.text_list(&batch, "neighbour_hooks", row)?;
    let indices = table.list::<UInt32Type>(&batch, "neighbour_units", row)?;
    let cosines = table.list::<Float32Type>(&batch, "cosines", row)?;
    if hooks.len() != indices.len() || hooks.len() != cosines.len() {
        return Err(table.broken("the lists of a unit differ in length"));
    }
    hooks
        .into_iter()
        .zip(indices)
        .zip(cosines)
        .map(|((hook, index), cosine)| {
            let hook = hook.parse().map_err(|_| table.broken(&format!("`{hook}` is no hook point")))?;
            Ok(Neighbour { unit: UnitId { hook, index }, cosine })
        })
        .collect()
}
