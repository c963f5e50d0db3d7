//! The first stage: the tables that follow from the recorded state alone.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use glossator_kernels::statistics::bucket_edges;
use glossator_model::UnitId;
use rayon::prelude::*;

use super::UnitProgress;
use super::intervals::{Filled, intervals};
use super::neurons;
use super::splits::Splits;
use super::token_means::UnitTokens;
use crate::error::{AtPath, AtlasError};
use crate::excerpt::{ExcerptKind, Split};
use crate::files;
use crate::manifest::HookSummary;
use crate::record::{HistogramBucket, UnitStatistics};
use crate::recording::{Block, Recorder};
use crate::tables::excerpts::{ExcerptRow, ExcerptWriter};
use crate::tables::token_means::{TokenMeansRow, TokenMeansWriter};
use crate::tables::tokens::TokenRow;
use crate::tables::units::{UnitRow, UnitWriter};
use crate::tables::windows::{WindowRow, WindowWriter};
use crate::tables::{self};

/// The tokens of a window.
pub(super) type Tokens<'a> = Cow<'a, [u32]>;

/// What the recorded state does not hold itself.
pub struct RecordSource<'a> {
    /// The texts of all tokens, as displayed.
    pub token_texts: &'a [String],
    /// A window of the selection by number.
    pub window: &'a (dyn Fn(u32) -> Option<WindowRow> + Sync),
    /// The tokens of a window by number.
    pub tokens: &'a (dyn Fn(u32) -> Option<Cow<'a, [u32]>> + Sync),
}

/// The rows of one unit.
struct UnitRows {
    unit: UnitRow,
    excerpts: Vec<ExcerptRow>,
    token_means: TokenMeansRow,
}

/// Which windows excerpts refer to, a bit each.
struct Referenced(Vec<AtomicU64>);

impl Referenced {
    fn mark(&self, window: u32) {
        self.0[window as usize / 64].fetch_or(1 << (window % 64), Ordering::Relaxed);
    }

    fn windows(&self) -> impl Iterator<Item = u32> + '_ {
        let marked =
            |window: &u32| self.0[*window as usize / 64].load(Ordering::Relaxed) >> (window % 64) & 1 == 1;
        (0..self.0.len() as u32 * 64).filter(marked)
    }
}

/// Writes all tables of the stage.
pub(super) fn write(
    directory: &Path,
    recorder: &Recorder,
    source: &RecordSource<'_>,
    progress: UnitProgress<'_>,
) -> Result<(), AtlasError> {
    let run = &recorder.settings().run;
    if recorder.recorded() != run.windows {
        let message = format!("{} of {} windows are recorded", recorder.recorded(), run.windows);
        return Err(AtlasError::IncompleteShards { message });
    }
    fs::create_dir_all(directory).at(directory)?;
    write_vocabulary(directory, recorder, source)?;
    let referenced = Referenced((0..run.windows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect());
    let hooks = &recorder.settings().hooks;
    let units: Vec<Vec<UnitRow>> = hooks
        .par_iter()
        .map(|hook| write_hook(directory, hook, recorder, source, &referenced, progress))
        .collect::<Result<_, _>>()?;
    let mut writer = UnitWriter::create(&directory.join(files::UNITS))?;
    units.iter().try_for_each(|rows| writer.write(rows))?;
    writer.finish()?;
    let mut writer = WindowWriter::create(&directory.join(files::WINDOWS), run.context as usize)?;
    for window in referenced.windows() {
        writer.write((source.window)(window).ok_or_else(|| missing(window))?)?;
    }
    writer.finish()
}

fn missing(window: u32) -> AtlasError {
    AtlasError::Settings { message: format!("window {window} is recorded but not in the selection") }
}

fn write_vocabulary(
    directory: &Path,
    recorder: &Recorder,
    source: &RecordSource<'_>,
) -> Result<(), AtlasError> {
    let counts = &recorder.settings().token_counts;
    let row = |(token, text): (usize, &String)| TokenRow {
        text: text.clone(),
        count: counts.get(token).copied().unwrap_or(0),
        column: recorder.column(token as u32).map(|column| column as u32),
    };
    let rows: Vec<TokenRow> = source.token_texts.iter().enumerate().map(row).collect();
    tables::tokens::write(&directory.join(files::TOKENS), &rows)
}

/// Writes the tables of a hook point; its rows of `units.parquet` come back.
fn write_hook(
    directory: &Path,
    hook: &HookSummary,
    recorder: &Recorder,
    source: &RecordSource<'_>,
    referenced: &Referenced,
    progress: UnitProgress<'_>,
) -> Result<Vec<UnitRow>, AtlasError> {
    let settings = recorder.settings();
    let file = |folder| files::hook_file(directory, folder, hook.hook);
    let mut excerpts = ExcerptWriter::create(&file(files::EXCERPTS), settings.run.context as usize)?;
    let mut means = TokenMeansWriter::create(&file(files::TOKEN_MEANS), settings.kept_tokens.len())?;
    let mut units = Vec::with_capacity(hook.units as usize);
    for block in recorder.blocks(hook.hook) {
        let rows = block_rows(block, hook, recorder, source)?;
        progress(rows.len() as u64);
        for row in rows {
            row.excerpts.iter().for_each(|excerpt| referenced.mark(excerpt.window));
            excerpts.write(row.excerpts)?;
            means.write(row.token_means)?;
            units.push(row.unit);
        }
    }
    excerpts.finish()?;
    means.finish()?;
    neurons::write_correlated(directory, hook, recorder)?;
    Ok(units)
}

fn block_rows(
    block: &Mutex<Block>,
    hook: &HookSummary,
    recorder: &Recorder,
    source: &RecordSource<'_>,
) -> Result<Vec<UnitRows>, AtlasError> {
    let mut block = block.lock().unwrap_or_else(PoisonError::into_inner);
    let block = block.settle();
    let kept = recorder.settings().kept_tokens.len();
    // Eight units at a time: their sums of one token share a cache line.
    let chunks: Vec<Vec<UnitRows>> = (0..block.units)
        .collect::<Vec<_>>()
        .par_chunks(8)
        .map(|units| {
            let mut sums: Vec<Vec<f64>> = units.iter().map(|_| Vec::with_capacity(kept)).collect();
            for column in 0..kept {
                let of = |unit: &usize| block.tokens.sum(column, *unit);
                units.iter().zip(&mut sums).for_each(|(unit, sums)| sums.push(of(unit)));
            }
            let rows = units.iter().zip(sums);
            rows.map(|(unit, sums)| unit_rows(block, *unit, hook, recorder, source, sums)).collect()
        })
        .collect::<Result<_, AtlasError>>()?;
    Ok(chunks.into_iter().flatten().collect())
}

fn unit_rows(
    block: &Block,
    unit: usize,
    hook: &HookSummary,
    recorder: &Recorder,
    source: &RecordSource<'_>,
    sums: Vec<f64>,
) -> Result<UnitRows, AtlasError> {
    let id = UnitId { hook: hook.hook, index: (block.first + unit) as u32 };
    let statistics = statistics(block, unit, recorder);
    let filled = intervals(&block.strata()[unit], statistics.max);
    let excerpts = excerpts(block, unit, id.index, recorder, &filled);
    let total = (block.sums.totals(unit)[0], statistics.tokens);
    let mut tokens = UnitTokens::new(sums, recorder, total);
    let mut scoring: Vec<&ExcerptRow> = excerpts.iter().filter(|row| row.split != Split::Train).collect();
    scoring.sort_by_key(|row| row.window);
    scoring.dedup_by_key(|row| row.window);
    for excerpt in scoring {
        let window = (source.tokens)(excerpt.window).ok_or_else(|| missing(excerpt.window))?;
        tokens.subtract(recorder, &window, &excerpt.activations);
    }
    let token_means = tokens.row(id.index);
    let unit = UnitRow {
        unit: id,
        statistics,
        histogram: histogram(block, unit),
        intervals: filled.into_iter().map(|filled| filled.interval).collect(),
        top_tokens: tokens.ends(&token_means, recorder, 1.0),
        bottom_tokens: tokens.ends(&token_means, recorder, -1.0),
    };
    Ok(UnitRows { unit, excerpts, token_means })
}

/// Central moments from the sums of powers. A variance below 1e-12 of the mean square is rounding, and counts
/// as 0: a constant unit, without skewness and kurtosis.
fn statistics(block: &Block, unit: usize, recorder: &Recorder) -> UnitStatistics {
    let run = &recorder.settings().run;
    let count = run.tokens as f64;
    let [mean, square, cube, fourth] = block.sums.totals(unit).map(|sum| sum / count);
    let variance = square - mean * mean;
    let varies = variance > 1e-12 * square;
    let third = cube - 3.0 * mean * square + 2.0 * mean.powi(3);
    let central_fourth = fourth - 4.0 * mean * cube + 6.0 * mean * mean * square - 3.0 * mean.powi(4);
    let extremes = block.extremes[unit];
    UnitStatistics {
        tokens: run.tokens,
        mean,
        variance: if varies { variance } else { 0.0 },
        skewness: varies.then(|| third / variance.powf(1.5)),
        kurtosis: varies.then(|| central_fourth / (variance * variance)),
        density: block.positive[unit] as f64 / count,
        min: extremes.min,
        max: extremes.max,
        max_window: extremes.window,
        max_position: extremes.position,
    }
}

fn histogram(block: &Block, unit: usize) -> Vec<HistogramBucket> {
    let counts = block.histogram(unit).iter().enumerate().filter(|(_, count)| **count > 0);
    counts
        .map(|(bucket, count)| {
            let (low, high) = bucket_edges(bucket);
            let (least, most) = (block.extremes[unit].min, block.extremes[unit].max);
            HistogramBucket {
                low: low.max(least.min(high)),
                high: high.min(most.max(low)),
                count: u64::from(*count),
            }
        })
        .collect()
}

fn excerpts(
    block: &Block,
    unit: usize,
    index: u32,
    recorder: &Recorder,
    filled: &[Filled],
) -> Vec<ExcerptRow> {
    let (top, random) = (block.top[unit].entries(), recorder.random_windows());
    let splits = Splits::new(top.iter().map(|entry| entry.window), random);
    let ignored = recorder.settings().run.ignored_positions as usize;
    let row = |kind, rank: usize, window: u32, activations: &[f32]| ExcerptRow {
        unit: index,
        kind,
        rank: rank as u32,
        split: splits.of(window),
        window,
        max: activations[ignored..].iter().copied().fold(f32::NEG_INFINITY, f32::max),
        activations: activations.to_vec(),
    };
    let mut rows = Vec::new();
    for (rank, entry) in top.iter().enumerate() {
        rows.push(row(ExcerptKind::Top, rank, entry.window, block.top_activations(unit, entry.slot)));
    }
    for (interval, filled) in filled.iter().enumerate() {
        let kind = ExcerptKind::Quantile { interval: interval as u8 };
        for (rank, kept) in filled.sample.iter().enumerate() {
            let activations = block.strata()[unit].activations(*kept, block.context);
            rows.push(row(kind, rank, kept.window(), activations));
        }
    }
    for (place, window) in random.iter().enumerate() {
        rows.push(row(ExcerptKind::Random, place, *window, block.random_activations(unit, place)));
    }
    rows
}
