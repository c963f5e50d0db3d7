//! The tables of a data set.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use glossator_atlas::{Atlas, ExcerptKind, Explanation, Score, TokenWeight, UnitRecord};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::ExchangeError;

/// Named columns.
type Columns = Vec<(&'static str, ArrayRef)>;

/// A Parquet file under another name until it is whole; the first rows decide its columns.
struct Table {
    path: PathBuf,
    partial: PathBuf,
    writer: Option<ArrowWriter<File>>,
}

impl Table {
    fn create(path: &Path) -> Result<Self, ExchangeError> {
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(ExchangeError::io(path))?;
        Ok(Self { path: path.to_owned(), partial: path.with_extension("parquet.partial"), writer: None })
    }

    fn write(&mut self, columns: Columns) -> Result<(), ExchangeError> {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns)
            .map_err(|error| ExchangeError::invalid(&self.path, error.to_string()))?;
        let failed = ExchangeError::parquet(&self.path);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            unopened => {
                let file = File::create(&self.partial).map_err(ExchangeError::io(&self.partial))?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by(format!("glossator {}", env!("CARGO_PKG_VERSION")))
                    .build();
                unopened
                    .insert(ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(&failed)?)
            }
        };
        writer.write(&batch).map_err(failed)
    }

    fn finish(self) -> Result<(), ExchangeError> {
        let Some(writer) = self.writer else { return Ok(()) };
        writer.close().map_err(ExchangeError::parquet(&self.path))?;
        fs::rename(&self.partial, &self.path).map_err(ExchangeError::io(&self.path))
    }
}

fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn doubles(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    let known = values.into_iter().map(|value| value.filter(|value| value.is_finite()));
    Arc::new(known.collect::<Float64Array>())
}

fn text_lists<'a, L: IntoIterator<Item = &'a str>>(rows: impl IntoIterator<Item = L>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.into_iter().for_each(|text| builder.values().append_value(text));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn number_lists<L: IntoIterator<Item = f32>>(rows: impl IntoIterator<Item = L>) -> ArrayRef {
    let mut builder = ListBuilder::new(Float32Builder::new());
    for row in rows {
        row.into_iter().for_each(|value| builder.values().append_value(value));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// `units.parquet`.
pub(super) struct UnitTable(Table);

impl UnitTable {
    pub(super) fn create(path: &Path) -> Result<Self, ExchangeError> {
        Table::create(path).map(Self)
    }

    pub(super) fn write(&mut self, atlas: &Atlas, records: &[UnitRecord]) -> Result<(), ExchangeError> {
        let statistics = || records.iter().map(|record| &record.statistics);
        let text = |token: u32| atlas.vocabulary().text(token);
        let logits = |side: fn(&UnitRecord) -> &Vec<TokenWeight>| {
            text_lists(
                records.iter().map(move |record| side(record).iter().map(move |weight| text(weight.token))),
            )
        };
        self.0.write(vec![
            ("hook", texts(records.iter().map(|record| record.unit.hook.to_string()))),
            (
                "index",
                Arc::new(UInt32Array::from_iter_values(records.iter().map(|record| record.unit.index))),
            ),
            ("tokens", Arc::new(UInt64Array::from_iter_values(statistics().map(|s| s.tokens)))),
            ("mean", doubles(statistics().map(|s| Some(s.mean)))),
            ("variance", doubles(statistics().map(|s| Some(s.variance)))),
            ("skewness", doubles(statistics().map(|s| s.skewness))),
            ("kurtosis", doubles(statistics().map(|s| s.kurtosis))),
            ("density", doubles(statistics().map(|s| Some(s.density)))),
            ("max", Arc::new(Float32Array::from_iter_values(statistics().map(|s| s.max)))),
            (
                "top_tokens",
                text_lists(records.iter().map(|r| r.top_tokens.iter().map(|mean| text(mean.token)))),
            ),
            (
                "top_token_means",
                number_lists(records.iter().map(|r| r.top_tokens.iter().map(|mean| mean.mean))),
            ),
            ("promoted_tokens", logits(|record| &record.top_logits)),
            ("suppressed_tokens", logits(|record| &record.bottom_logits)),
        ])
    }

    pub(super) fn finish(self) -> Result<(), ExchangeError> {
        self.0.finish()
    }
}

/// `explanations.parquet`.
pub(super) struct ExplanationTable(Table);

impl ExplanationTable {
    pub(super) fn create(path: &Path) -> Result<Self, ExchangeError> {
        Table::create(path).map(Self)
    }

    pub(super) fn write(&mut self, rows: &[Explanation]) -> Result<(), ExchangeError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.0.write(vec![
            ("hook", texts(rows.iter().map(|row| row.unit.hook.to_string()))),
            ("index", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.unit.index)))),
            ("explainer", texts(rows.iter().map(|row| &row.explainer))),
            ("text", texts(rows.iter().map(|row| &row.text))),
            ("body", texts(rows.iter().map(|row| row.body.to_string()))),
            ("seconds", doubles(rows.iter().map(|row| row.seconds))),
        ])
    }

    pub(super) fn finish(self) -> Result<(), ExchangeError> {
        self.0.finish()
    }
}

/// `scores.parquet`.
pub(super) struct ScoreTable(Table);

impl ScoreTable {
    pub(super) fn create(path: &Path) -> Result<Self, ExchangeError> {
        Table::create(path).map(Self)
    }

    pub(super) fn write(&mut self, rows: &[Score]) -> Result<(), ExchangeError> {
        if rows.is_empty() {
            return Ok(());
        }
        let remarks: StringArray = rows.iter().map(|row| row.remark.as_deref()).collect();
        self.0.write(vec![
            ("hook", texts(rows.iter().map(|row| row.unit.hook.to_string()))),
            ("index", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.unit.index)))),
            ("explainer", texts(rows.iter().map(|row| &row.explainer))),
            ("scorer", texts(rows.iter().map(|row| &row.scorer))),
            ("metric", texts(rows.iter().map(|row| &row.metric))),
            ("sample", texts(rows.iter().map(|row| &row.sample))),
            ("split", texts(rows.iter().map(|row| row.split.to_string()))),
            ("value", doubles(rows.iter().map(|row| row.value))),
            ("low", doubles(rows.iter().map(|row| row.low))),
            ("high", doubles(rows.iter().map(|row| row.high))),
            ("tokens", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.tokens)))),
            ("remark", Arc::new(remarks)),
        ])
    }

    pub(super) fn finish(self) -> Result<(), ExchangeError> {
        self.0.finish()
    }
}

/// `excerpts.parquet`.
pub(super) struct ExcerptTable(Table);

impl ExcerptTable {
    pub(super) fn create(path: &Path) -> Result<Self, ExchangeError> {
        Table::create(path).map(Self)
    }

    pub(super) fn write(&mut self, atlas: &Atlas, records: &[UnitRecord]) -> Result<(), ExchangeError> {
        let rows: Vec<_> = records
            .iter()
            .flat_map(|record| record.excerpts.iter().map(move |excerpt| (record.unit, excerpt)))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let text = |token: &u32| atlas.vocabulary().text(*token);
        let interval = |kind: ExcerptKind| match kind {
            ExcerptKind::Quantile { interval } => Some(u32::from(interval)),
            _ => None,
        };
        self.0.write(vec![
            ("hook", texts(rows.iter().map(|(unit, _)| unit.hook.to_string()))),
            ("index", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(unit, _)| unit.index)))),
            ("kind", texts(rows.iter().map(|(_, excerpt)| excerpt.kind.name()))),
            (
                "interval",
                Arc::new(rows.iter().map(|(_, excerpt)| interval(excerpt.kind)).collect::<UInt32Array>()),
            ),
            ("rank", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(_, excerpt)| excerpt.rank)))),
            ("split", texts(rows.iter().map(|(_, excerpt)| excerpt.split.to_string()))),
            ("document", texts(rows.iter().map(|(_, excerpt)| &excerpt.document))),
            ("max", Arc::new(Float32Array::from_iter_values(rows.iter().map(|(_, excerpt)| excerpt.max)))),
            ("tokens", text_lists(rows.iter().map(|(_, excerpt)| excerpt.tokens.iter().map(text)))),
            (
                "activations",
                number_lists(rows.iter().map(|(_, excerpt)| excerpt.activations.iter().copied())),
            ),
        ])
    }

    pub(super) fn finish(self) -> Result<(), ExchangeError> {
        self.0.finish()
    }
}
