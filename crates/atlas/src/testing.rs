//! A small made-up atlas, for developing and testing what reads atlases without a model.
//!
//! Unit `i` of a hook point responds to token `i mod vocabulary`: its activation is about 5 there, and
//! small noise elsewhere. Token texts are hostile on purpose: markup, control characters, right-to-left
//! text, combining marks, a very long token.

mod explained;

pub use explained::{explain_synthetic, explain_synthetic_in_words};

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use glossator_model::{HookPoint, UnitId};

use crate::database::{self, UnitEntry};
use crate::error::{AtPath, AtlasError};
use crate::excerpt::{ExcerptKind, INTERVALS, QUANTILES, Split};
use crate::files;
use crate::manifest::{HookSummary, Manifest, RunSummary, SCHEMA_VERSION, Stage};
use crate::record::{HistogramBucket, Neighbour, QuantileInterval, TokenMean, TokenWeight, UnitStatistics};
use crate::stages;
use crate::tables::excerpts::{ExcerptRow, ExcerptWriter};
use crate::tables::logit_weights::LogitWeightsRow;
use crate::tables::token_means::{TokenMeansRow, TokenMeansWriter};
use crate::tables::tokens::TokenRow;
use crate::tables::units::{UnitRow, UnitWriter};
use crate::tables::windows::{WindowRow, WindowWriter};
use crate::tables::{self};

/// Tokens per window of [`write_synthetic`].
const CONTEXT: usize = 16;
/// Number of windows.
const WINDOWS: u32 = 60;

/// Texts that a page must show without harm.
const TEXTS: [&str; 24] = [
    " the",
    " cat",
    " sat",
    "ing",
    "<script>alert(1)</script>",
    "</td><img src=x onerror=alert(2)>",
    "\"quoted'\"",
    "&amp;",
    "\n",
    "\t",
    "\u{0}\u{1}\u{1b}[31m",
    " مرحبا",
    "\u{202e}reversed\u{202c}",
    "日本",
    "e\u{301}\u{302}\u{303}\u{304}",
    "🧪",
    "\\xC3",
    "javascript:alert(3)",
    "${7*7}",
    "' OR 1=1 --",
    " ",
    "\u{feff}",
    "{{constructor}}",
    "longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong",
];

/// Writes an atlas of `layers` MLP hook points with `units` units each into `directory`. If there are several, the units of
/// the last are made of neurons of the first, as a dictionary's features would be.
pub fn write_synthetic(directory: &Path, layers: usize, units: u32) -> Result<(), AtlasError> {
    write_synthetic_of(directory, layers, units, CONTEXT)
}

/// The same with windows of `context` tokens.
pub fn write_synthetic_of(
    directory: &Path,
    layers: usize,
    units: u32,
    context: usize,
) -> Result<(), AtlasError> {
    fs::create_dir_all(directory).at(directory)?;
    let hooks: Vec<HookSummary> = (0..layers)
        .map(|layer| HookSummary {
            hook: HookPoint::mlp_post(layer),
            units,
            directions: true,
            neurons: (layer > 0 && layer + 1 == layers).then(|| HookPoint::mlp_post(0)),
        })
        .collect();
    write_vocabulary(directory)?;
    let windows: Vec<WindowRow> = (0..WINDOWS).map(|number| window(number, context)).collect();
    let mut writer = WindowWriter::create(&directory.join(files::WINDOWS), context)?;
    windows.iter().try_for_each(|window| writer.write(window.clone()))?;
    writer.finish()?;
    let mut unit_writer = UnitWriter::create(&directory.join(files::UNITS))?;
    let mut entries = Vec::new();
    for hook in &hooks {
        let rows: Vec<UnitRow> =
            (0..units).map(|index| unit_row(UnitId { hook: hook.hook, index }, &windows)).collect();
        unit_writer.write(&rows)?;
        entries.extend(rows.iter().map(|row| UnitEntry {
            statistics: row.statistics,
            tokens: row.top_tokens.iter().map(|mean| TEXTS[mean.token as usize].to_owned()).collect(),
        }));
        write_hook(directory, hook, &hooks, &windows)?;
    }
    unit_writer.finish()?;
    database::create(&directory.join(files::DATABASE), &hooks, entries, windows.into_iter().map(Ok))?;
    manifest(hooks, context).write(directory)
}

/// Finishes an atlas whose hook points have no output directions, for which no model is needed.
pub fn finish_without_model(directory: &Path) -> Result<(), AtlasError> {
    let mut manifest = Manifest::read(directory)?;
    crate::finalising::write_database(directory, &manifest)?;
    for stage in stages::ALL {
        manifest.stages.entry(stage.to_owned()).or_insert(Stage { finished: 0, seconds: 0.0 });
    }
    manifest.write(directory)
}

fn manifest(hooks: Vec<HookSummary>, context: usize) -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        glossator: env!("CARGO_PKG_VERSION").to_owned(),
        run: RunSummary {
            model: "synthetic <b>model</b>".to_owned(),
            model_location: "synthetic".to_owned(),
            model_checksum: "0".repeat(16),
            precision: "f32".to_owned(),
            vocab_size: TEXTS.len() as u32,
            corpus: "made up".to_owned(),
            selection_checksum: "0".repeat(16),
            context: context as u32,
            windows: WINDOWS.into(),
            tokens: u64::from(WINDOWS) * context as u64,
            ignored_positions: 0,
            bos: None,
            seed: 0,
            dictionaries: Vec::new(),
        },
        hooks,
        stages: stages::ALL
            .iter()
            .map(|stage| ((*stage).to_owned(), Stage { finished: 0, seconds: 0.0 }))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// A number in `0..1` that depends on its inputs alone.
fn noise(a: u32, b: u32, c: u32) -> f32 {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&a.to_le_bytes());
    bytes[4..8].copy_from_slice(&b.to_le_bytes());
    bytes[8..].copy_from_slice(&c.to_le_bytes());
    (xxhash_rust::xxh3::xxh3_64(&bytes) >> 40) as f32 / (1 << 24) as f32
}

fn write_vocabulary(directory: &Path) -> Result<(), AtlasError> {
    let rows: Vec<TokenRow> = TEXTS
        .iter()
        .enumerate()
        .map(|(token, text)| TokenRow { text: (*text).to_owned(), count: 40, column: Some(token as u32) })
        .collect();
    tables::tokens::write(&directory.join(files::TOKENS), &rows)
}

fn window(number: u32, context: usize) -> WindowRow {
    let token = |position| (noise(number, position, 7) * TEXTS.len() as f32) as u32;
    WindowRow {
        window: number,
        document: format!("mail/<i>{}</i>.txt#{number}", number % 5),
        offset: number * 3,
        tokens: (0..context as u32).map(token).collect(),
    }
}

fn activations(unit: UnitId, window: &WindowRow) -> Vec<f32> {
    let preferred = unit.index % TEXTS.len() as u32;
    let layer = unit.hook.layer().unwrap_or(0) as u32;
    let value = |(position, token): (usize, &u32)| {
        let noise = noise(unit.index * 64 + layer, window.window, position as u32) - 0.5;
        if *token == preferred { 5.0 + noise } else { noise / 2.0 }
    };
    window.tokens.iter().enumerate().map(value).collect()
}

fn maximum(values: &[f32]) -> f32 {
    values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Window numbers of a unit, largest maximum first.
fn ranking(unit: UnitId, windows: &[WindowRow]) -> Vec<u32> {
    let maxima: Vec<f32> = windows.iter().map(|window| maximum(&activations(unit, window))).collect();
    let mut order: Vec<u32> = (0..windows.len() as u32).collect();
    order.sort_by(|&a, &b| maxima[b as usize].total_cmp(&maxima[a as usize]).then(a.cmp(&b)));
    order
}

fn unit_row(unit: UnitId, windows: &[WindowRow]) -> UnitRow {
    let values: Vec<f64> =
        windows.iter().flat_map(|window| activations(unit, window)).map(f64::from).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let central = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / count;
    let variance = central(2);
    let order = ranking(unit, windows);
    let best = activations(unit, &windows[order[0] as usize]);
    let max = maximum(&best);
    let preferred = unit.index % TEXTS.len() as u32;
    let token_mean =
        |token| TokenMean { token, mean: if token == preferred { 5.0 } else { 0.01 }, count: 40 };
    UnitRow {
        unit,
        statistics: UnitStatistics {
            tokens: values.len() as u64,
            mean,
            variance,
            skewness: Some(central(3) / variance.powf(1.5)),
            kurtosis: Some(central(4) / variance.powi(2)),
            density: values.iter().filter(|value| **value > 0.0).count() as f64 / count,
            min: values.iter().copied().fold(f64::INFINITY, f64::min) as f32,
            max,
            max_window: order[0],
            max_position: best.iter().position(|value| *value == max).unwrap_or(0) as u32,
        },
        histogram: histogram(&values),
        intervals: intervals(unit, windows, &order),
        top_tokens: (0..8).map(|step| token_mean((preferred + step) % TEXTS.len() as u32)).collect(),
        bottom_tokens: (8..16).map(|step| token_mean((preferred + step) % TEXTS.len() as u32)).collect(),
    }
}

fn histogram(values: &[f64]) -> Vec<HistogramBucket> {
    let edges = [-1.0_f32, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0];
    let bucket = |pair: &[f32]| HistogramBucket {
        low: pair[0],
        high: pair[1],
        count: values.iter().filter(|v| (f64::from(pair[0])..f64::from(pair[1])).contains(v)).count() as u64,
    };
    edges.windows(2).map(bucket).filter(|bucket| bucket.count > 0).collect()
}

/// Ranks (from the lowest maximum) where the quantile intervals begin and end.
fn interval_ranks(interval: usize) -> std::ops::Range<usize> {
    let rank = |quantile: f64| (quantile * f64::from(WINDOWS)).round() as usize;
    rank(QUANTILES[interval])..rank(QUANTILES[interval + 1])
}

fn intervals(unit: UnitId, windows: &[WindowRow], order: &[u32]) -> Vec<QuantileInterval> {
    let value = |rank: usize| {
        let window = order[order.len() - 1 - rank.min(order.len() - 1)];
        maximum(&activations(unit, &windows[window as usize]))
    };
    let interval = |index: usize| {
        let ranks = interval_ranks(index);
        QuantileInterval {
            from_quantile: QUANTILES[index],
            to_quantile: QUANTILES[index + 1],
            low: value(ranks.start),
            high: value(ranks.end),
            windows: ranks.len() as u64,
            share: ranks.len() as f64 / f64::from(WINDOWS),
        }
    };
    (0..INTERVALS).map(interval).collect()
}

fn excerpts(unit: UnitId, windows: &[WindowRow]) -> Vec<ExcerptRow> {
    let order = ranking(unit, windows);
    let row = |kind, rank: usize, split, number: u32| {
        let activations = activations(unit, &windows[number as usize]);
        let max = maximum(&activations);
        ExcerptRow { unit: unit.index, kind, rank: rank as u32, split, window: number, max, activations }
    };
    let mut splits = BTreeMap::new();
    let random: Vec<u32> = (0..20).map(|place| place * 3).collect();
    for (rank, number) in random.iter().enumerate() {
        splits.insert(*number, Split::of_random(rank));
    }
    for (rank, number) in order.iter().take(20).enumerate() {
        splits.insert(*number, Split::of_top(rank));
    }
    let split = |number: &u32| splits.get(number).copied().unwrap_or(Split::Train);
    let mut rows = Vec::new();
    for (rank, number) in order.iter().take(20).enumerate() {
        rows.push(row(ExcerptKind::Top, rank, split(number), *number));
    }
    for interval in 0..INTERVALS {
        let ascending = order.iter().rev().skip(interval_ranks(interval).start);
        for (rank, number) in ascending.take(interval_ranks(interval).len().min(5)).enumerate() {
            let kind = ExcerptKind::Quantile { interval: interval as u8 };
            rows.push(row(kind, rank, split(number), *number));
        }
    }
    for (rank, number) in random.iter().enumerate() {
        rows.push(row(ExcerptKind::Random, rank, split(number), *number));
    }
    rows
}

fn write_hook(
    directory: &Path,
    hook: &HookSummary,
    hooks: &[HookSummary],
    windows: &[WindowRow],
) -> Result<(), AtlasError> {
    let file = |folder| files::hook_file(directory, folder, hook.hook);
    let mut excerpt_writer = ExcerptWriter::create(&file(files::EXCERPTS), windows[0].tokens.len())?;
    let mut means_writer = TokenMeansWriter::create(&file(files::TOKEN_MEANS), TEXTS.len())?;
    for index in 0..hook.units {
        let unit = UnitId { hook: hook.hook, index };
        let rows = excerpts(unit, windows);
        let scoring: BTreeSet<u32> =
            rows.iter().filter(|row| row.split != Split::Train).map(|row| row.window).collect();
        excerpt_writer.write(rows)?;
        means_writer.write(token_means(unit, windows, &scoring))?;
    }
    excerpt_writer.finish()?;
    means_writer.finish()?;
    let weight = |token: u32, weight| TokenWeight { token: token % TEXTS.len() as u32, weight };
    let logits: Vec<LogitWeightsRow> = (0..hook.units)
        .map(|unit| LogitWeightsRow {
            top: (0..10).map(|step| weight(unit + step, 1.0 - step as f32 / 20.0)).collect(),
            bottom: (0..10).map(|step| weight(unit + 12 + step, step as f32 / 20.0 - 1.0)).collect(),
        })
        .collect();
    tables::logit_weights::write(&file(files::LOGIT_WEIGHTS), &logits)?;
    let neighbour = |unit: u32, step: u32| {
        let hook = &hooks[(step as usize) % hooks.len()];
        let index = (unit + step + 1) % hook.units.max(1);
        Neighbour { unit: UnitId { hook: hook.hook, index }, cosine: 0.9 - step as f32 / 20.0 }
    };
    let neighbours: Vec<Vec<Neighbour>> =
        (0..hook.units).map(|unit| (0..10).map(|step| neighbour(unit, step)).collect()).collect();
    tables::neighbours::write(&file(files::NEIGHBOURS), &neighbours)?;
    if hook.neurons.is_some() {
        let neurons = |first: f32, sign: f32| -> Vec<Vec<(u32, f32)>> {
            let value = |step: u32| first - sign * step as f32 / 20.0;
            let row = |unit| (0..10).map(|step| ((unit + step) % hook.units, value(step))).collect();
            (0..hook.units).map(row).collect()
        };
        tables::neurons::write(&file(files::CORRELATED_NEURONS), &neurons(0.8, 1.0))?;
        tables::neurons::write(&file(files::ALIGNED_NEURONS), &neurons(-0.7, -1.0))?;
    }
    Ok(())
}

fn token_means(unit: UnitId, windows: &[WindowRow], scoring: &BTreeSet<u32>) -> TokenMeansRow {
    let mut sums = vec![(0.0_f64, 0_u32); TEXTS.len()];
    let mut all = (0.0, 0_u32);
    for window in windows.iter().filter(|window| !scoring.contains(&window.window)) {
        for (token, value) in window.tokens.iter().zip(activations(unit, window)) {
            let (sum, count) = &mut sums[*token as usize];
            *sum += f64::from(value);
            *count += 1;
            all = (all.0 + f64::from(value), all.1 + 1);
        }
    }
    let means = sums.into_iter().map(|(sum, count)| (count > 0).then(|| (sum / f64::from(count)) as f32));
    TokenMeansRow { unit: unit.index, mean: (all.0 / f64::from(all.1.max(1))) as f32, means: means.collect() }
}
