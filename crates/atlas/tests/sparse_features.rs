//! Features handed over without their zeros are recorded as if they were written out: the same bytes, also in
//! shards that are merged, and when some groups come in one way and some in the other.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use glossator_atlas::{
    Atlas, AtlasError, HookSummary, RecordSettings, RecordSource, Recorder, RunSummary, Shard, ShardProgress,
    WindowRow, WindowTokens, merge, write_records,
};
use glossator_model::{Activation, HookPoint, Observer, SparseFeatures, SparseRows, UnitId};

const CONTEXT: usize = 8;
const WINDOWS: u32 = 200;
const VOCABULARY: u32 = 23;
const FEATURES: usize = 520;
const NEURONS: usize = 14;

fn hook() -> HookPoint {
    HookPoint::resid_post(0).features().unwrap()
}

fn neurons() -> HookPoint {
    HookSummary::neurons_of(hook()).unwrap()
}

/// Neurons of which one follows feature 3, one is its mirror image, and one is constant.
fn neuron(unit: usize, window: u32, position: usize) -> f32 {
    match unit {
        0 => 3.0 * feature(3, window, position) + 0.1 * noise([8, 0, window, position as u32]),
        1 => 0.5 - feature(3, window, position),
        2 => 0.25,
        _ => noise([8, unit as u32, window, position as u32]) - 0.5,
    }
}

/// A number that depends on its inputs alone, in 0..1.
fn noise(values: [u32; 4]) -> f32 {
    let mixed = values.iter().fold(0x9e37_79b9, |state: u32, value| {
        let state = (state ^ value).wrapping_mul(0x85eb_ca6b);
        state ^ (state >> 13)
    });
    mixed as f32 / u32::MAX as f32
}

fn tokens(window: u32) -> Vec<u32> {
    (0..CONTEXT as u32).map(|position| (noise([window, position, 1, 1]) * 22.9) as u32).collect()
}

/// Dead features, rare and frequent ones, some that are always active, and some that can be negative.
fn feature(unit: usize, window: u32, position: usize) -> f32 {
    let noise = noise([7, unit as u32, window, position as u32]);
    match unit % 6 {
        1 => (noise - 0.97).max(0.0) * 5000.0,
        2 => (noise - 0.5).max(0.0),
        3 => noise + 0.1,
        4 if noise < 0.1 => -noise,
        4 if noise > 0.9 => noise,
        5 => (((noise - 0.9) * 40.0).floor()).max(0.0),
        _ => 0.0,
    }
}

fn settings(ignored: u32) -> RecordSettings {
    RecordSettings {
        run: RunSummary {
            model: "made up".to_owned(),
            vocab_size: VOCABULARY,
            context: CONTEXT as u32,
            windows: WINDOWS.into(),
            tokens: u64::from(WINDOWS * (CONTEXT as u32 - ignored)),
            ignored_positions: ignored,
            seed: 11,
            ..RunSummary::default()
        },
        hooks: vec![
            HookSummary { hook: neurons(), units: NEURONS as u32, directions: false, neurons: None },
            HookSummary { hook: hook(), units: FEATURES as u32, directions: false, neurons: Some(neurons()) },
        ],
        token_counts: vec![9; VOCABULARY as usize],
        kept_tokens: (3..17).collect(),
    }
}

/// How a group of features is handed over.
#[derive(Clone, Copy)]
enum Way {
    Written,
    Sparse,
    /// One group so, the next otherwise.
    InTurn,
}

/// `[window, position, unit]`
fn written(windows: &[u32], width: usize, value: fn(usize, u32, usize) -> f32) -> Vec<f32> {
    let places = windows.iter().flat_map(|window| (0..CONTEXT).map(move |position| (*window, position)));
    places.flat_map(|(window, position)| (0..width).map(move |unit| value(unit, window, position))).collect()
}

fn record(recorder: &mut Recorder, windows: &[u32], group: usize, way: Way) {
    for (number, windows) in windows.chunks(group).enumerate() {
        let tokens: Vec<Vec<u32>> = windows.iter().map(|window| tokens(*window)).collect();
        let batch: Vec<WindowTokens<'_>> =
            windows.iter().zip(&tokens).map(|(id, tokens)| WindowTokens { id: *id, tokens }).collect();
        let starts: Vec<usize> = (0..=windows.len()).map(|index| index * CONTEXT).collect();
        let values = written(windows, FEATURES, feature);
        let (sequences, width) = (0..windows.len(), FEATURES);
        let observer = recorder.observer(&batch);
        let first = Activation {
            sequences: sequences.clone(),
            starts: &starts,
            width: NEURONS,
            values: &written(windows, NEURONS, neuron),
            pairwise: false,
        };
        observer.observe(neurons(), &first);
        if matches!(way, Way::Written) || (matches!(way, Way::InTurn) && number % 2 == 0) {
            let activation =
                Activation { sequences, starts: &starts, width, values: &values, pairwise: false };
            observer.observe(hook(), &activation);
        } else {
            let rows = SparseRows::from_dense(&values, width);
            let features = SparseFeatures { sequences, starts: &starts, width, rows: &rows };
            observer.observe_features(hook(), &features);
        }
        recorder.complete(windows.len()).unwrap();
    }
}

fn shard(directory: &Path, name: &str, windows: &[u32], ignored: u32, way: Way, group: usize) -> PathBuf {
    let mut recorder = Recorder::new(settings(ignored)).unwrap();
    record(&mut recorder, windows, group, way);
    let progress =
        ShardProgress { shard: u64::from(windows[0] > 0), shards: 2, batch_windows: 10, batches: 0 };
    let row = |window: &u32| WindowRow {
        window: *window,
        document: String::new(),
        offset: *window,
        tokens: tokens(*window),
    };
    let path = directory.join(name);
    let mut shard = Shard { windows: windows.iter().map(row).collect(), ..Shard::new(recorder, progress) };
    shard.save(&path).unwrap();
    path
}

#[test]
fn sparse_and_written_out_features_give_the_same_state() {
    let directory = tempfile::tempdir().unwrap();
    let windows: Vec<u32> = (0..WINDOWS).collect();
    for ignored in [0, 1] {
        let bytes = |name: &str, way, group| {
            std::fs::read(shard(directory.path(), name, &windows, ignored, way, group)).unwrap()
        };
        let written = bytes("written", Way::Written, 4);
        assert!(written == bytes("sparse", Way::Sparse, 4), "{ignored}");
        assert!(written == bytes("groups", Way::Sparse, 7), "{ignored}");
        assert!(written == bytes("turns", Way::InTurn, 3), "{ignored}");
    }
}

#[test]
fn sparse_shards_merge_to_the_same_state() {
    let directory = tempfile::tempdir().unwrap();
    let parts = [(0..120).collect::<Vec<u32>>(), (120..WINDOWS).collect()];
    let merged = |name: &str, way| {
        let paths: Vec<PathBuf> = parts
            .iter()
            .enumerate()
            .map(|(part, windows)| shard(directory.path(), &format!("{name}{part}"), windows, 0, way, 5))
            .collect();
        let path = directory.path().join(name);
        merge(&paths).unwrap().save(&path).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(merged("written", Way::Written) == merged("sparse", Way::Sparse));
}

#[test]
fn features_that_are_no_numbers_are_refused() {
    let mut recorder = Recorder::new(settings(0)).unwrap();
    let tokens = tokens(5);
    let windows = [WindowTokens { id: 5, tokens: &tokens }];
    let mut values = vec![0.0; CONTEXT * FEATURES];
    values[20] = f32::NAN;
    let rows = SparseRows::from_dense(&values, FEATURES);
    let starts = [0, CONTEXT];
    let features = SparseFeatures { sequences: 0..1, starts: &starts, width: FEATURES, rows: &rows };
    // The neurons are missing as well; what is found first is said.
    recorder.observer(&windows).observe_features(hook(), &features);
    let error = recorder.complete(1).unwrap_err();
    assert!(matches!(error, AtlasError::NonFinite { window: 5, .. }), "{error}");
}

#[test]
fn correlations_are_those_of_all_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(settings(1)).unwrap();
    record(&mut recorder, &(0..WINDOWS).collect::<Vec<_>>(), 4, Way::Sparse);
    let texts: Vec<String> = (0..VOCABULARY).map(|token| format!("<{token}>")).collect();
    let source = RecordSource {
        token_texts: &texts,
        window: &|window| {
            Some(WindowRow { window, document: String::new(), offset: 0, tokens: tokens(window) })
        },
        tokens: &|window| Some(Cow::Owned(tokens(window))),
    };
    write_records(directory.path(), &recorder, &source, &|_| {}).unwrap();
    glossator_atlas::testing::finish_without_model(directory.path()).unwrap();
    let atlas = Atlas::open(directory.path()).unwrap();
    let series = |unit: usize, value: fn(usize, u32, usize) -> f32| -> Vec<f64> {
        let places = (0..WINDOWS).flat_map(|window| (1..CONTEXT).map(move |position| (window, position)));
        places.map(|(window, position)| f64::from(value(unit, window, position))).collect()
    };
    for unit in [1, 2, 3, 10, 519] {
        let found = atlas.unit(UnitId::new(hook(), unit)).unwrap().correlated_neurons;
        let feature = series(unit, feature);
        let mut expected: Vec<(u32, f64)> = (0..NEURONS)
            .filter(|neuron| *neuron != 2)
            .map(|index| (index as u32, correlation(&feature, &series(index, neuron))))
            .collect();
        expected.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        assert_eq!(found.len(), 10);
        for (found, (index, value)) in found.iter().zip(expected) {
            assert_eq!((found.unit.hook, found.unit.index), (neurons(), index), "{unit}");
            assert!((f64::from(found.value) - value).abs() < 1e-4, "{unit}: {} {value}", found.value);
        }
        if unit == 3 {
            assert!(found[0].value < -0.999 && found[1].value > 0.9, "{found:?}");
        }
    }
    let dead = atlas.unit(UnitId::new(hook(), 0)).unwrap();
    assert!(dead.correlated_neurons.is_empty(), "what never fires is correlated with nothing");
    assert!(atlas.unit(UnitId::new(neurons(), 0)).unwrap().correlated_neurons.is_empty());
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).collect();
    let variance = |values: &[f64], m: f64| mean(&values.iter().map(|v| (v - m).powi(2)).collect::<Vec<_>>());
    mean(&products) / (variance(a, mean_a) * variance(b, mean_b)).sqrt()
}
