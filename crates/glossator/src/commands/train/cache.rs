//! Activations on disk, for runs that read the same ones again: `--cache DIR`.
//!
//! | file | holds |
//! |---|---|
//! | `manifest.json` | which activations these are: model, text, hook points, rule; and how they are divided |
//! | `shard-00000.safetensors` … | `activations` `[rows, width]` in bf16 and `batch_rows` `[batches]`: rows of each batch |
//!
//! A shard holds some batches of windows, and is written whole or not at all. A batch whose shard is there is read; else
//! its shard is computed. A run that uses a cache learns from the rounded rows in either case, so that it ends with the
//! same weights whether the shards were there or not.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use glossator_kernels::{bf16, round_to_bf16};
use glossator_model::HookPoint;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::disk;
use crate::output;

const MANIFEST: &str = "manifest.json";
/// About the size of a shard, in bytes.
const SHARD_BYTES: u64 = 64 << 20;

/// What a cache holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) version: u32,
    pub(super) model: String,
    /// The size of the model's files, in bytes.
    pub(super) model_bytes: u64,
    pub(super) precision: String,
    /// The fingerprint of the tokens.
    pub(super) corpus: String,
    pub(super) context: usize,
    pub(super) skip_first: usize,
    pub(super) skip_special: bool,
    pub(super) hooks: Vec<String>,
    /// Values of a row: those of all hook points.
    pub(super) width: usize,
    pub(super) rows: u64,
    pub(super) batches: usize,
    pub(super) batches_per_shard: usize,
}

/// An open cache.
pub(super) struct Cache {
    directory: PathBuf,
    manifest: Manifest,
    /// The shard read last: its number, its rows, and where each batch's begin.
    shard: Option<(usize, Vec<bf16>, Vec<usize>)>,
}

/// The hook points of the cache in `directory`, if there is one.
pub(super) fn cached_hooks(directory: &Path) -> anyhow::Result<Vec<HookPoint>> {
    let Some(manifest) = read_manifest(directory)? else { return Ok(Vec::new()) };
    let parse = |name: &String| {
        name.parse().with_context(|| format!("{}: hook point {name}", directory.join(MANIFEST).display()))
    };
    manifest.hooks.iter().map(parse).collect()
}

fn read_manifest(directory: &Path) -> anyhow::Result<Option<Manifest>> {
    let path = directory.join(MANIFEST);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .map(Some)
        .with_context(|| format!("{} is no manifest of a cache: give another --cache", path.display()))
}

impl Manifest {
    /// Says how a cache of `rows` rows in `batches` batches is divided.
    pub(super) fn divided(mut self, rows: u64, batches: usize) -> Self {
        let bytes = (rows * self.width as u64 * 2).max(1);
        let per_batch = bytes.div_ceil(batches.max(1) as u64).max(1);
        (self.rows, self.batches) = (rows, batches);
        self.batches_per_shard = (SHARD_BYTES / per_batch).max(1) as usize;
        self
    }

    fn bytes(&self) -> f64 {
        self.rows as f64 * self.width as f64 * 2.0
    }
}

impl Cache {
    /// Opens the cache in `directory`, or begins one; `wanted` is what the run needs.
    pub(super) fn open(directory: &Path, wanted: Manifest) -> anyhow::Result<Self> {
        let found = read_manifest(directory)?;
        let cache = Self { directory: directory.to_owned(), manifest: wanted, shard: None };
        let wanted = &cache.manifest;
        let shards = cache.manifest.batches.div_ceil(cache.manifest.batches_per_shard);
        let there = (0..shards).filter(|shard| cache.path(*shard).exists()).count();
        if let Some(found) = &found {
            ensure!(
                found == wanted,
                "{} holds other activations ({}): give another --cache, or remove it",
                directory.display(),
                differences(found, wanted)?.join(", ")
            );
        }
        let missing = cache.manifest.bytes() * (shards - there) as f64 / shards.max(1) as f64;
        disk::ensure_room(directory, missing as u64)?;
        if found.is_none() {
            let action = || format!("cannot create the cache {}", directory.display());
            fs::create_dir_all(directory).with_context(action)?;
            write_whole(&directory.join(MANIFEST), serde_json::to_string_pretty(wanted)?.as_bytes())?;
        }
        output::note(&format!(
            "cache {}: {} rows of {} values, {:.2} GiB in {shards} shards, of which {there} are there",
            directory.display(),
            cache.manifest.rows,
            cache.manifest.width,
            cache.manifest.bytes() / f64::from(1 << 30)
        ));
        Ok(cache)
    }

    /// The rows of batch `batch`; `compute` gives those of batches whose shard is not there.
    pub(super) fn rows(
        &mut self,
        batch: usize,
        compute: impl Fn(usize) -> anyhow::Result<Vec<f32>>,
    ) -> anyhow::Result<Vec<f32>> {
        let shard = batch / self.manifest.batches_per_shard;
        if self.shard.as_ref().is_none_or(|(number, ..)| *number != shard) {
            let there = self.path(shard).exists();
            let (rows, counts) = if there { self.read(shard)? } else { self.make(shard, compute)? };
            let mut starts = vec![0];
            for count in counts {
                starts.push(starts[starts.len() - 1] + count * self.manifest.width);
            }
            self.shard = Some((shard, rows, starts));
        }
        let place = batch - shard * self.manifest.batches_per_shard;
        let (_, rows, starts) = self.shard.as_ref().context("a shard was read")?;
        Ok(rows[starts[place]..starts[place + 1]].iter().map(|value| value.to_f32()).collect())
    }

    fn path(&self, shard: usize) -> PathBuf {
        self.directory.join(format!("shard-{shard:05}.safetensors"))
    }

    /// Batches of a shard.
    fn batches(&self, shard: usize) -> std::ops::Range<usize> {
        let first = shard * self.manifest.batches_per_shard;
        first..(first + self.manifest.batches_per_shard).min(self.manifest.batches)
    }

    /// Computes a shard and writes it.
    fn make(
        &self,
        shard: usize,
        compute: impl Fn(usize) -> anyhow::Result<Vec<f32>>,
    ) -> anyhow::Result<(Vec<bf16>, Vec<usize>)> {
        let width = self.manifest.width;
        let (mut rows, mut counts) = (Vec::new(), Vec::new());
        for batch in self.batches(shard) {
            let values = compute(batch)?;
            rows.extend(round_to_bf16(&values));
            counts.push(values.len() / width);
        }
        let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
        let batch_rows: Vec<u8> = counts.iter().flat_map(|count| (*count as i64).to_le_bytes()).collect();
        let tensors = [
            ("activations", TensorView::new(Dtype::BF16, vec![rows.len() / width, width], &bytes)?),
            ("batch_rows", TensorView::new(Dtype::I64, vec![counts.len()], &batch_rows)?),
        ];
        write_whole(&self.path(shard), &safetensors::serialize(tensors, None)?)?;
        Ok((rows, counts))
    }

    /// Reads a shard.
    fn read(&self, shard: usize) -> anyhow::Result<(Vec<bf16>, Vec<usize>)> {
        let path = self.path(shard);
        let broken = || format!("{} is no whole shard of this cache: remove it", path.display());
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let tensors = SafeTensors::deserialize(&bytes).with_context(broken)?;
        let activations = tensors.tensor("activations").with_context(broken)?;
        let batch_rows = tensors.tensor("batch_rows").with_context(broken)?;
        if activations.dtype() != Dtype::BF16 || batch_rows.dtype() != Dtype::I64 {
            bail!(broken());
        }
        let rows: Vec<bf16> = activations
            .data()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| bf16::from_bits(u16::from_le_bytes(*bytes)))
            .collect();
        let counts: Vec<usize> = batch_rows
            .data()
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| usize::try_from(i64::from_le_bytes(*bytes)).unwrap_or(usize::MAX))
            .collect();
        let total = counts.iter().try_fold(0_usize, |sum, count| sum.checked_add(*count));
        let fits = activations.shape() == [total.with_context(broken)?, self.manifest.width];
        ensure!(fits && counts.len() == self.batches(shard).len(), broken());
        Ok((rows, counts))
    }
}

/// The fields that differ, with both values.
fn differences(found: &Manifest, wanted: &Manifest) -> anyhow::Result<Vec<String>> {
    let fields = |manifest| -> anyhow::Result<_> { Ok(serde_json::to_value(manifest)?) };
    let (found, wanted) = (fields(found)?, fields(wanted)?);
    let each = found.as_object().into_iter().flatten();
    Ok(each
        .filter(|(key, value)| wanted[key.as_str()] != **value)
        .map(|(key, value)| format!("{key} is {value}, not {}", wanted[key.as_str()]))
        .collect())
}

/// Writes a file beside its place, and renames it.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}; is there room on the disk?", path.display()))
}

/// The size of a model's files: of one file, or of the weights in a directory; 0 for what is not on this machine.
pub(super) fn model_bytes(location: &str) -> u64 {
    let path = Path::new(location);
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let Ok(entries) = fs::read_dir(path) else { return size(path) };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).map(|path| size(&path)).sum()
}
