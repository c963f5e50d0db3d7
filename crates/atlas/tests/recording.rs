//! A recording against naive references over all activations at once, and against itself: in another order,
//! in shards, stopped and resumed, it gives the same bytes.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test
#![allow(clippy::float_cmp)] // what is stored is meant to come back exactly

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use glossator_atlas::{
    Atlas, AtlasError, Excerpt, ExcerptKind, HookSummary, Manifest, MemoryEstimate, RecordSettings,
    RecordSource, Recorder, RunSummary, Shard, ShardProgress, Split, TokenSelection, WindowRow, WindowTokens,
    merge, write_records,
};
use glossator_model::{Activation, HookPoint, Observer, UnitId};

const CONTEXT: usize = 8;
const WINDOWS: u32 = 300;
const VOCABULARY: u32 = 23;
const IGNORED: usize = 1;

/// A number that depends on its inputs alone, below 2³².
fn mix(values: [u32; 4]) -> u32 {
    values.iter().fold(0x9e37_79b9, |state: u32, value| {
        let state = (state ^ value).wrapping_mul(0x85eb_ca6b);
        state ^ (state >> 13)
    })
}

fn tokens(window: u32) -> Vec<u32> {
    (0..CONTEXT as u32).map(|position| mix([window, position, 1, 1]) % VOCABULARY).collect()
}

/// Activations of many kinds: dense, sparse, constant, negative, with ties.
fn activation(layer: usize, unit: usize, window: u32, position: usize, token: u32) -> f32 {
    let noise = mix([layer as u32, unit as u32, window, position as u32]) as f32 / u32::MAX as f32;
    match unit % 6 {
        0 => noise * 4.0 - 2.0,
        1 => (noise - 0.97).max(0.0) * 50.0,
        2 => 1.5,
        3 => -noise - 0.1,
        4 => (noise * 5.0).floor(),
        _ => token as f32 / 7.0 + (noise - 0.5) * (10.0_f32).powf(noise * 6.0 - 3.0),
    }
}

fn widths() -> [(usize, usize); 2] {
    [(0, 300), (1, 7)]
}

fn settings() -> RecordSettings {
    let mut token_counts = vec![0; VOCABULARY as usize];
    for window in 0..WINDOWS {
        tokens(window).into_iter().skip(IGNORED).for_each(|token| token_counts[token as usize] += 1);
    }
    let kept_tokens = TokenSelection { min_count: 1, memory: 15 * 8 * 307 }.choose(&token_counts, 307);
    assert_eq!(kept_tokens.len(), 15);
    RecordSettings {
        run: RunSummary {
            model: "made up".to_owned(),
            vocab_size: VOCABULARY,
            context: CONTEXT as u32,
            windows: WINDOWS.into(),
            tokens: u64::from(WINDOWS) * (CONTEXT - IGNORED) as u64,
            ignored_positions: IGNORED as u32,
            seed: 11,
            dictionaries: Vec::new(),
            ..RunSummary::default()
        },
        hooks: widths()
            .map(|(layer, units)| HookSummary {
                hook: HookPoint::mlp_post(layer),
                units: units as u32,
                directions: false,
                neurons: None,
            })
            .to_vec(),
        token_counts,
        kept_tokens,
    }
}

/// Hands a recorder what a forward pass would, in groups of `group` windows.
fn record(recorder: &mut Recorder, windows: &[u32], group: usize) {
    for windows in windows.chunks(group) {
        let tokens: Vec<Vec<u32>> = windows.iter().map(|window| tokens(*window)).collect();
        let batch: Vec<WindowTokens<'_>> =
            windows.iter().zip(&tokens).map(|(id, tokens)| WindowTokens { id: *id, tokens }).collect();
        let starts: Vec<usize> = (0..=windows.len()).map(|index| index * CONTEXT).collect();
        for (layer, width) in widths() {
            let mut values = Vec::new();
            for (window, tokens) in windows.iter().zip(&tokens) {
                for (position, token) in tokens.iter().enumerate() {
                    values.extend((0..width).map(|unit| activation(layer, unit, *window, position, *token)));
                }
            }
            let activation = Activation {
                sequences: 0..windows.len(),
                starts: &starts,
                width,
                values: &values,
                pairwise: false,
            };
            recorder.observer(&batch).observe(HookPoint::mlp_post(layer), &activation);
        }
        recorder.complete(windows.len()).unwrap();
    }
}

fn row(window: u32) -> WindowRow {
    WindowRow { window, document: format!("doc {}", window / 3), offset: window, tokens: tokens(window) }
}

fn write(directory: &Path, recorder: &Recorder) {
    let texts: Vec<String> = (0..VOCABULARY).map(|token| format!("<{token}>")).collect();
    let source = RecordSource {
        token_texts: &texts,
        window: &|window| (window < WINDOWS).then(|| row(window)),
        tokens: &|window| Some(Cow::Owned(tokens(window))),
    };
    write_records(directory, recorder, &source, &|_| {}).unwrap();
}

/// Every file below a directory except the manifest, which has timestamps.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "manifest.json" {
                files.insert(path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// The atlas of an undisturbed recording, finished with an empty model-dependent part.
fn reference(directory: &Path) -> Atlas {
    let mut recorder = Recorder::new(settings()).unwrap();
    record(&mut recorder, &(0..WINDOWS).collect::<Vec<_>>(), 4);
    write(directory, &recorder);
    glossator_atlas::testing::finish_without_model(directory).unwrap();
    Atlas::open(directory).unwrap()
}

#[test]
fn statistics_agree_with_naive_ones() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = reference(directory.path());
    for (layer, units) in widths() {
        for unit in (0..units).filter(|unit| *unit < 12 || *unit > 250) {
            let record = atlas.unit(UnitId::new(HookPoint::mlp_post(layer), unit)).unwrap();
            let all: Vec<(u32, usize, f64)> = (0..WINDOWS)
                .flat_map(|window| {
                    let tokens = tokens(window);
                    (IGNORED..CONTEXT).map(move |position| {
                        let value = activation(layer, unit, window, position, tokens[position]);
                        (window, position, f64::from(value))
                    })
                })
                .collect();
            let count = all.len() as f64;
            let mean = all.iter().map(|value| value.2).sum::<f64>() / count;
            let central = |power| all.iter().map(|value| (value.2 - mean).powi(power)).sum::<f64>() / count;
            let s = record.statistics;
            let close =
                |found: f64, expected: f64| (found - expected).abs() <= 1e-9 * expected.abs().max(1e-9);
            assert_eq!(s.tokens, all.len() as u64);
            assert!(close(s.mean, mean), "{} {mean}", s.mean);
            if unit % 6 == 2 {
                assert_eq!((s.variance, s.skewness, s.kurtosis), (0.0, None, None));
            } else {
                assert!(close(s.variance, central(2)));
                assert!((s.skewness.unwrap() - central(3) / central(2).powf(1.5)).abs() < 1e-7);
                assert!((s.kurtosis.unwrap() / (central(4) / central(2).powi(2)) - 1.0).abs() < 1e-7);
            }
            assert!(close(s.density, all.iter().filter(|value| value.2 > 0.0).count() as f64 / count));
            let best = all.iter().copied().reduce(|best, v| if v.2 > best.2 { v } else { best }).unwrap();
            assert_eq!((f64::from(s.max), s.max_window, s.max_position as usize), (best.2, best.0, best.1));
            assert_eq!(f64::from(s.min), all.iter().map(|value| value.2).fold(f64::INFINITY, f64::min));
            assert_eq!(record.histogram.iter().map(|bucket| bucket.count).sum::<u64>(), s.tokens);
            for bucket in &record.histogram {
                let inside = |v: f64| {
                    let (low, high) = (f64::from(bucket.low), f64::from(bucket.high));
                    low <= v && v <= high
                };
                assert!(all.iter().filter(|value| inside(value.2)).count() as u64 >= bucket.count);
            }
        }
    }
}

fn maximum(layer: usize, unit: usize, window: u32) -> f32 {
    let tokens = tokens(window);
    (IGNORED..CONTEXT)
        .map(|position| activation(layer, unit, window, position, tokens[position]))
        .fold(f32::NEG_INFINITY, f32::max)
}

#[test]
fn excerpts_are_the_right_windows() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = reference(directory.path());
    let mut random = None;
    for (layer, units) in widths() {
        for unit in 0..units.min(20) {
            let record = atlas.unit(UnitId::new(HookPoint::mlp_post(layer), unit)).unwrap();
            let of = |wanted: fn(&Excerpt) -> bool| record.excerpts.iter().filter(move |e| wanted(e));
            let mut order: Vec<u32> = (0..WINDOWS).collect();
            order
                .sort_by(|a, b| maximum(layer, unit, *b).total_cmp(&maximum(layer, unit, *a)).then(a.cmp(b)));
            let top: Vec<u32> = of(|e| e.kind == ExcerptKind::Top).map(|e| e.window).collect();
            assert_eq!(top, order[..20]);
            let shared: Vec<u32> = of(|e| e.kind == ExcerptKind::Random).map(|e| e.window).collect();
            assert_eq!(shared.len(), 20);
            assert_eq!(*random.get_or_insert(shared.clone()), shared, "the random windows are shared");
            assert_eq!(record.intervals.iter().map(|i| i.windows).sum::<u64>(), u64::from(WINDOWS));
            for (index, interval) in record.intervals.iter().enumerate() {
                let sample: Vec<&Excerpt> = record
                    .excerpts
                    .iter()
                    .filter(|e| e.kind == ExcerptKind::Quantile { interval: index as u8 })
                    .collect();
                assert_eq!(sample.len() as u64, interval.windows.min(5));
                assert!(sample.iter().all(|e| interval.low <= e.max && e.max <= interval.high));
                let last = interval.windows > 0
                    && record.intervals[index + 1..].iter().all(|later| later.windows == 0);
                let inside = (0..WINDOWS).map(|window| maximum(layer, unit, window)).filter(|max| {
                    interval.low <= *max && (*max < interval.high || (last && *max <= interval.high))
                });
                assert_eq!(inside.count() as u64, interval.windows, "unit {unit} interval {index}");
            }
            for excerpt in &record.excerpts {
                assert_eq!(excerpt.tokens, tokens(excerpt.window));
                assert_eq!(excerpt.document, format!("doc {}", excerpt.window / 3));
                assert_eq!(excerpt.max, maximum(layer, unit, excerpt.window));
                for (position, value) in excerpt.activations.iter().enumerate() {
                    let token = excerpt.tokens[position];
                    assert_eq!(*value, activation(layer, unit, excerpt.window, position, token));
                }
            }
        }
    }
}

#[test]
fn splits_are_disjoint_and_token_means_leave_scoring_excerpts_out() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = reference(directory.path());
    for (layer, units) in widths() {
        for unit in 0..units.min(12) {
            let id = UnitId::new(HookPoint::mlp_post(layer), unit);
            let record = atlas.unit(id).unwrap();
            let mut split = BTreeMap::new();
            for excerpt in &record.excerpts {
                assert_eq!(*split.entry(excerpt.window).or_insert(excerpt.split), excerpt.split);
                if excerpt.kind == ExcerptKind::Top {
                    assert_eq!(excerpt.split, Split::of_top(excerpt.rank as usize));
                }
            }
            let mut sums = vec![(0.0, 0_u32); VOCABULARY as usize];
            let mut total = (0.0, 0_u32);
            for window in (0..WINDOWS).filter(|window| split.get(window).is_none_or(|s| *s == Split::Train)) {
                for (position, token) in tokens(window).into_iter().enumerate().skip(IGNORED) {
                    let value = f64::from(activation(layer, unit, window, position, token));
                    sums[token as usize].0 += value;
                    sums[token as usize].1 += 1;
                    total = (total.0 + value, total.1 + 1);
                }
            }
            let means = atlas.token_means(id).unwrap();
            assert!((f64::from(means.mean) - total.0 / f64::from(total.1)).abs() < 1e-5);
            let kept = atlas.vocabulary().kept().to_vec();
            assert_eq!(kept.len(), 15);
            for token in 0..VOCABULARY {
                let (sum, count) = sums[token as usize];
                let expected = (kept.contains(&token) && count > 0).then(|| sum / f64::from(count));
                let found = means.get(token);
                assert_eq!(found.is_some(), expected.is_some());
                if let Some((found, expected)) = found.zip(expected) {
                    assert!((f64::from(found) - expected).abs() < 2e-6 * expected.abs().max(1.0));
                }
            }
            assert!(record.top_tokens.windows(2).all(|pair| pair[0].mean >= pair[1].mean));
            assert!(record.bottom_tokens.windows(2).all(|pair| pair[0].mean <= pair[1].mean));
            let listed = &record.top_tokens[0];
            assert_eq!(means.get(listed.token), Some(listed.mean));
            assert_eq!(listed.count, sums[listed.token as usize].1);
        }
    }
}

#[test]
fn order_and_groups_do_not_matter() {
    let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    reference(one.path());
    let mut recorder = Recorder::new(settings()).unwrap();
    let mut order: Vec<u32> = (0..WINDOWS).collect();
    order.sort_by_key(|window| mix([*window, 3, 3, 3]));
    record(&mut recorder, &order, 7);
    write(two.path(), &recorder);
    glossator_atlas::testing::finish_without_model(two.path()).unwrap();
    assert_eq!(contents(one.path()), contents(two.path()));
}

fn shard(index: u64, count: u64) -> Shard {
    let mut recorder = Recorder::new(settings()).unwrap();
    let windows: Vec<u32> = (0..WINDOWS).filter(|window| u64::from(window / 10) % count == index).collect();
    record(&mut recorder, &windows, 5);
    let progress = ShardProgress { shard: index, shards: count, batch_windows: 10, batches: 0 };
    let windows = windows.into_iter().map(row).collect();
    Shard { windows, ..Shard::new(recorder, progress) }
}

#[test]
fn shards_merge_to_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    reference(&directory.path().join("whole"));
    let paths: Vec<PathBuf> = (0..3)
        .map(|index| {
            let path = directory.path().join(format!("{index}.shard"));
            shard(index, 3).save(&path).unwrap();
            path
        })
        .collect();
    for order in [[0, 1, 2], [2, 0, 1]] {
        let paths: Vec<PathBuf> = order.iter().map(|index| paths[*index].clone()).collect();
        let merged = merge(&paths).unwrap();
        let out = directory.path().join(format!("{order:?}"));
        write(&out, &merged.recorder);
        glossator_atlas::testing::finish_without_model(&out).unwrap();
        assert_eq!(contents(&directory.path().join("whole")), contents(&out));
    }
    for wrong in [&paths[..2], &[paths[0].clone(), paths[0].clone(), paths[1].clone()][..], &[][..]] {
        assert!(matches!(merge(wrong), Err(AtlasError::IncompleteShards { .. })));
    }
}

#[test]
fn a_checkpoint_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    reference(&directory.path().join("whole"));
    let path = directory.path().join("checkpoint");
    let mut recorder = Recorder::new(settings()).unwrap();
    record(&mut recorder, &(0..130).collect::<Vec<_>>(), 4);
    let progress = ShardProgress { shard: 0, shards: 1, batch_windows: 10, batches: 13 };
    Shard::new(recorder, progress).save(&path).unwrap();
    let start = ShardProgress { batches: 0, ..progress };
    let mut resumed = Shard::resume(&path, &settings(), start).unwrap();
    assert_eq!(resumed.progress, progress);
    record(&mut resumed.recorder, &(130..WINDOWS).collect::<Vec<_>>(), 4);
    write(&directory.path().join("resumed"), &resumed.recorder);
    glossator_atlas::testing::finish_without_model(&directory.path().join("resumed")).unwrap();
    assert_eq!(contents(&directory.path().join("whole")), contents(&directory.path().join("resumed")));

    let mut other = settings();
    other.run.seed = 12;
    let error = Shard::resume(&path, &other, start).err().unwrap();
    assert!(error.to_string().contains("run.seed is 11 there and 12 here"), "{error}");
    // Wherever it is cut or changed, a shard is refused.
    let bytes = fs::read(&path).unwrap();
    let broken = directory.path().join("broken");
    for place in (0..bytes.len()).step_by(bytes.len() / 60) {
        fs::write(&broken, &bytes[..place]).unwrap();
        assert!(Shard::load(&broken).is_err());
        let mut changed = bytes.clone();
        changed[place] ^= 0x41;
        fs::write(&broken, &changed).unwrap();
        assert!(Shard::load(&broken).is_err(), "byte {place}");
    }
}

#[test]
fn activations_that_are_no_numbers_are_refused() {
    let mut recorder = Recorder::new(settings()).unwrap();
    let tokens = tokens(5);
    let windows = [WindowTokens { id: 5, tokens: &tokens }];
    let mut values = vec![0.0; CONTEXT * 7];
    values[20] = f32::NAN;
    let starts = [0, CONTEXT];
    let activation =
        Activation { sequences: 0..1, starts: &starts, width: 7, values: &values, pairwise: false };
    recorder.observer(&windows).observe(HookPoint::mlp_post(1), &activation);
    let error = recorder.complete(1).unwrap_err();
    assert!(matches!(error, AtlasError::NonFinite { window: 5, .. }), "{error}");
}

#[test]
fn memory_is_known_beforehand() {
    let estimate = MemoryEstimate::of(&settings());
    assert_eq!(estimate.token_table, 307 * 15 * 12);
    assert_eq!(estimate.excerpts, 307 * (20 + 20 + 81) * CONTEXT as u64 * 4);
    assert_eq!(estimate.total(), estimate.statistics + estimate.excerpts + estimate.token_table);
}

#[test]
fn other_versions_and_damage_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    reference(directory.path());
    let manifest = directory.path().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for (version, advice) in [("0", "record it again"), ("1", "record it again"), ("99", "newer glossator")] {
        let changed = text.replace("\"schema_version\": 2", &format!("\"schema_version\": {version}"));
        fs::write(&manifest, changed).unwrap();
        let error = Atlas::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains(advice) && error.contains("manifest.json"), "{error}");
    }
    fs::write(&manifest, &text).unwrap();
    let mut unfinished: Manifest = serde_json::from_str(&text).unwrap();
    unfinished.stages.remove("neighbours");
    unfinished.write(directory.path()).unwrap();
    assert!(matches!(Atlas::open(directory.path()), Err(AtlasError::Unfinished { stage: "neighbours", .. })));
    fs::write(&manifest, &text).unwrap();
    for (name, bytes) in contents(directory.path()) {
        let path = directory.path().join(&name);
        let mut failures = 0;
        for place in [0, 3, bytes.len() / 3, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
            fs::write(&path, &bytes[..place]).unwrap();
            failures += u32::from(read_everything(directory.path()).is_err());
        }
        // SQLite may not notice that the last page is short.
        assert!(failures >= 4, "{}: {failures} of 6", name.display());
        fs::remove_file(&path).unwrap();
        let error = read_everything(directory.path()).err().unwrap().to_string();
        assert!(error.contains(name.to_str().unwrap()) || name.ends_with("windows.parquet"), "{error}");
        fs::write(&path, bytes).unwrap();
    }
    read_everything(directory.path()).unwrap();
}

/// Opens an atlas and reads all that it has; the bulk table of windows only by its presence.
fn read_everything(directory: &Path) -> Result<(), AtlasError> {
    let atlas = Atlas::open(directory)?;
    atlas.list(&glossator_atlas::ListQuery::default())?;
    for rank in 0..atlas.unit_count() {
        let unit = atlas.unit_at(rank).unwrap();
        if unit.index % 16 == 3 {
            atlas.unit(unit)?;
            atlas.token_means(unit)?;
        }
    }
    let windows = directory.join("windows.parquet");
    let bytes = fs::read(&windows).map_err(|source| AtlasError::Io { path: windows.clone(), source })?;
    if !bytes.ends_with(b"PAR1") || bytes.len() < 100 {
        return Err(AtlasError::Invalid { path: windows, message: "cut".to_owned() });
    }
    Ok(())
}

#[test]
fn changed_bytes_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    reference(directory.path());
    for (name, bytes) in contents(directory.path()) {
        let path = directory.path().join(&name);
        for round in 0..12 {
            let mut changed = bytes.clone();
            for change in 0..4 {
                let place = mix([round, change, bytes.len() as u32, 9]) as usize % bytes.len();
                // The footer and the pages' headers are where it hurts.
                let place =
                    if round % 2 == 0 { bytes.len() - 1 - place % 600.min(bytes.len()) } else { place };
                changed[place] = mix([round, change, 5, 5]) as u8;
            }
            fs::write(&path, &changed).unwrap();
            let _ = read_everything(directory.path());
        }
        fs::write(&path, bytes).unwrap();
    }
}
