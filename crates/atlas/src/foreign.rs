//! An atlas of records that were made elsewhere: texts, excerpts and moments, without the recording behind them.
//!
//! What such records do not say stays undefined: density, histogram, token means, logit weights and neighbours. A unit
//! of a hook point without a record has no evidence at all, and 0 tokens.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use glossator_model::{HookPoint, UnitId};

use crate::database::{self, UnitEntry};
use crate::error::{AtPath, AtlasError};
use crate::excerpt::ExcerptKind;
use crate::files;
use crate::finalising::Splits;
use crate::manifest::{HookSummary, Manifest, RunSummary, SCHEMA_VERSION, Stage};
use crate::record::UnitStatistics;
use crate::stages;
use crate::tables::excerpts::{ExcerptRow, ExcerptWriter};
use crate::tables::token_means::{TokenMeansRow, TokenMeansWriter};
use crate::tables::tokens::TokenRow;
use crate::tables::units::{UnitRow, UnitWriter};
use crate::tables::windows::{WindowRow, WindowWriter};
use crate::tables::{self};

/// Tokens with a column of means. Lists of fixed length cannot be empty in Parquet: there is one, in which nothing is
/// known.
const KNOWN_TOKENS: usize = 1;

/// What all units share.
#[derive(Clone, Debug, Default)]
pub struct ForeignRun {
    /// The subject model's name.
    pub model: String,
    /// Where the records come from, for people.
    pub corpus: String,
    /// The texts of the tokens, by their numbers in [`ForeignRun::windows`].
    pub token_texts: Vec<String>,
    /// `[window][position]` tokens, all windows of the same length.
    pub windows: Vec<Vec<u32>>,
    /// The hook points, in order of execution, with the number of units of each.
    pub hooks: Vec<(HookPoint, u32)>,
}

/// What is known of a unit.
#[derive(Clone, Debug)]
pub struct ForeignUnit {
    /// Moments, if they are known; the extremes are those of the excerpts.
    pub mean: Option<f64>,
    /// Variance.
    pub variance: Option<f64>,
    /// Third standardised moment.
    pub skewness: Option<f64>,
    /// Fourth standardised moment.
    pub kurtosis: Option<f64>,
    /// Excerpts in order of kind (top, quantile by interval, random) and rank: kind, window, activations.
    pub excerpts: Vec<(ExcerptKind, u32, Vec<f32>)>,
}

/// Writes an atlas of `run` into `directory`; `units` are read as they are needed, one hook point after the other.
///
/// # Errors
/// Windows of different lengths, excerpts of windows that are not there, and whatever `units` fails with.
pub fn write_foreign<E: From<AtlasError>>(
    directory: &Path,
    run: &ForeignRun,
    mut units: impl FnMut(UnitId) -> Result<Option<ForeignUnit>, E>,
) -> Result<(), E> {
    let context = context(run)?;
    fs::create_dir_all(directory).at(directory)?;
    write_vocabulary(directory, run)?;
    let windows = || {
        run.windows.iter().enumerate().map(|(number, tokens)| WindowRow {
            window: number as u32,
            document: run.corpus.clone(),
            offset: 0,
            tokens: tokens.clone(),
        })
    };
    let mut writer = WindowWriter::create(&directory.join(files::WINDOWS), context)?;
    for window in windows() {
        writer.write(window)?;
    }
    writer.finish()?;
    let mut unit_writer = UnitWriter::create(&directory.join(files::UNITS))?;
    let mut entries = Vec::new();
    for &(hook, count) in &run.hooks {
        let file = |folder| files::hook_file(directory, folder, hook);
        let mut excerpts = ExcerptWriter::create(&file(files::EXCERPTS), context)?;
        let mut means = TokenMeansWriter::create(&file(files::TOKEN_MEANS), KNOWN_TOKENS)?;
        let mut rows = Vec::with_capacity(count as usize);
        for index in 0..count {
            let unit = UnitId { hook, index };
            let (row, unit_excerpts) = unit_rows(unit, units(unit)?, run)?;
            excerpts.write(unit_excerpts)?;
            let mean = row.statistics.mean as f32;
            means.write(TokenMeansRow { unit: index, mean, means: vec![None; KNOWN_TOKENS] })?;
            entries.push(UnitEntry { statistics: row.statistics, tokens: Vec::new() });
            rows.push(row);
        }
        excerpts.finish()?;
        means.finish()?;
        unit_writer.write(&rows)?;
    }
    unit_writer.finish()?;
    let manifest = manifest(run, context);
    database::create(&directory.join(files::DATABASE), &manifest.hooks, entries, windows().map(Ok))?;
    Ok(manifest.write(directory)?)
}

fn context(run: &ForeignRun) -> Result<usize, AtlasError> {
    let context = run.windows.first().map_or(0, Vec::len);
    let refused = |message: String| AtlasError::Settings { message };
    if context == 0 {
        return Err(refused("there is no sequence with tokens".to_owned()));
    }
    if let Some(other) = run.windows.iter().find(|window| window.len() != context) {
        return Err(refused(format!(
            "sequences have {context} and {} tokens: all must be equally long",
            other.len()
        )));
    }
    Ok(context)
}

fn write_vocabulary(directory: &Path, run: &ForeignRun) -> Result<(), AtlasError> {
    let column = |token: usize| (token < KNOWN_TOKENS).then_some(token as u32);
    let row =
        |(token, text): (usize, &String)| TokenRow { text: text.clone(), count: 0, column: column(token) };
    let rows: Vec<TokenRow> = run.token_texts.iter().enumerate().map(row).collect();
    tables::tokens::write(&directory.join(files::TOKENS), &rows)
}

fn unit_rows(
    unit: UnitId,
    known: Option<ForeignUnit>,
    run: &ForeignRun,
) -> Result<(UnitRow, Vec<ExcerptRow>), AtlasError> {
    let unknown = f64::NAN;
    let mut statistics =
        UnitStatistics { mean: unknown, variance: unknown, density: unknown, ..UnitStatistics::default() };
    let mut rows = Vec::new();
    if let Some(known) = known {
        statistics.mean = known.mean.unwrap_or(unknown);
        statistics.variance = known.variance.unwrap_or(unknown);
        statistics.skewness = known.skewness;
        statistics.kurtosis = known.kurtosis;
        rows = excerpt_rows(unit, known.excerpts, run)?;
        extremes(&mut statistics, &rows);
    }
    let (histogram, intervals) = (Vec::new(), Vec::new());
    let (top_tokens, bottom_tokens) = (Vec::new(), Vec::new());
    Ok((UnitRow { unit, statistics, histogram, intervals, top_tokens, bottom_tokens }, rows))
}

fn excerpt_rows(
    unit: UnitId,
    excerpts: Vec<(ExcerptKind, u32, Vec<f32>)>,
    run: &ForeignRun,
) -> Result<Vec<ExcerptRow>, AtlasError> {
    let of = |wanted: ExcerptKind| -> Vec<u32> {
        excerpts.iter().filter(|(kind, ..)| *kind == wanted).map(|(_, window, _)| *window).collect()
    };
    let splits = Splits::new(of(ExcerptKind::Top).into_iter(), &of(ExcerptKind::Random));
    let mut ranks: BTreeMap<ExcerptKind, u32> = BTreeMap::new();
    let mut rows = Vec::with_capacity(excerpts.len());
    for (kind, window, activations) in excerpts {
        let tokens = run.windows.get(window as usize).map(Vec::len);
        if tokens != Some(activations.len()) {
            let message = format!("an excerpt of {unit} does not fit window {window}");
            return Err(AtlasError::Settings { message });
        }
        let rank = ranks.entry(kind).or_default();
        let max = activations.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        rows.push(ExcerptRow {
            unit: unit.index,
            kind,
            rank: *rank,
            split: splits.of(window),
            window,
            max,
            activations,
        });
        *rank += 1;
    }
    Ok(rows)
}

/// The extremes over what is there: of all excerpts, the first with the largest activation.
fn extremes(statistics: &mut UnitStatistics, rows: &[ExcerptRow]) {
    let Some(best) = rows.iter().reduce(|best, row| if row.max > best.max { row } else { best }) else {
        return;
    };
    let values = || rows.iter().flat_map(|row| row.activations.iter().copied());
    statistics.max = best.max;
    statistics.min = values().fold(f32::INFINITY, f32::min);
    statistics.max_window = best.window;
    let position = best.activations.iter().position(|value| *value == best.max);
    statistics.max_position = position.unwrap_or(0) as u32;
}

fn manifest(run: &ForeignRun, context: usize) -> Manifest {
    let hook =
        |&(hook, units): &(HookPoint, u32)| HookSummary { hook, units, directions: false, neurons: None };
    Manifest {
        schema_version: SCHEMA_VERSION,
        glossator: env!("CARGO_PKG_VERSION").to_owned(),
        run: RunSummary {
            model: run.model.clone(),
            vocab_size: run.token_texts.len() as u32,
            corpus: run.corpus.clone(),
            precision: "unknown".to_owned(),
            context: context as u32,
            windows: run.windows.len() as u64,
            ..RunSummary::default()
        },
        hooks: run.hooks.iter().map(hook).collect(),
        stages: stages::ALL
            .iter()
            .map(|stage| ((*stage).to_owned(), Stage { finished: 0, seconds: 0.0 }))
            .collect(),
    }
}
