//! The binary form of a recorder's state, for checkpoints and shards. Little endian; every array's length
//! follows from the settings, so the reader knows what to expect before it takes memory.
//!
//! Per hook point and block: limbs f64 `[limb, unit]`, positive counts u64 `[unit]`, extremes (min f32, max f32,
//! window u32, position u32) `[unit]`, histogram u32 `[unit, counter]`, top lists (length u8; max f32, window
//! u32, slot u32 each) `[unit]`, their activations f32 `[unit, 20, position]`, random activations f32
//! `[unit, 20, position]`, token sums f64 `[kept, unit]`, for features with
//! neurons the sums of products i64 `[unit, neuron]`, strata `[unit]` (shift u8, length u8; key u32, count u32,
//! kept u8; priority u64 and activations f32 `[position]` of each kept window).

use std::io::{Read, Write};
use std::path::Path;
use std::sync::PoisonError;

use xxhash_rust::xxh3::Xxh3;

use super::block::{Block, Extremes};
use super::memory::MemoryEstimate;
use super::recorder::Recorder;
use super::settings::RecordSettings;
use super::strata::{MAX_STRATA, PER_STRATUM, Strata};
use super::top_windows::{TOP, TopWindow, TopWindows};
use super::{RANDOM, block};
use crate::error::{AtPath, AtlasError};

/// Writes values and keeps a checksum of them.
pub(super) struct StateWriter<'a, W> {
    pub(super) path: &'a Path,
    inner: W,
    hash: Xxh3,
}

impl<'a, W: Write> StateWriter<'a, W> {
    pub(super) fn new(path: &'a Path, inner: W) -> Self {
        Self { path, inner, hash: Xxh3::new() }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), AtlasError> {
        self.hash.update(bytes);
        self.inner.write_all(bytes).at(self.path)
    }

    /// Values one after the other, converted through a buffer.
    pub(super) fn all<const N: usize, T: Copy>(
        &mut self,
        values: &[T],
        to_bytes: fn(T) -> [u8; N],
    ) -> Result<(), AtlasError> {
        for chunk in values.chunks(4096) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|value| to_bytes(*value)).collect();
            self.bytes(&bytes)?;
        }
        Ok(())
    }

    /// Ends with the checksum.
    pub(super) fn finish(mut self) -> Result<(), AtlasError> {
        let digest = self.hash.digest();
        self.inner.write_all(&digest.to_le_bytes()).and_then(|()| self.inner.flush()).at(self.path)
    }
}

/// Reads values and keeps a checksum of them.
pub(super) struct StateReader<'a, R> {
    pub(super) path: &'a Path,
    inner: R,
    hash: Xxh3,
}

impl<'a, R: Read> StateReader<'a, R> {
    pub(super) fn new(path: &'a Path, inner: R) -> Self {
        Self { path, inner, hash: Xxh3::new() }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], AtlasError> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).at(self.path)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    /// `length` bytes; memory is taken as they come.
    pub(super) fn bytes(&mut self, length: u64) -> Result<Vec<u8>, AtlasError> {
        let mut bytes = Vec::new();
        (&mut self.inner).take(length).read_to_end(&mut bytes).at(self.path)?;
        if bytes.len() as u64 != length {
            return Err(self.broken("it is cut short"));
        }
        self.hash.update(&bytes);
        Ok(bytes)
    }

    pub(super) fn all<const N: usize, T>(
        &mut self,
        values: &mut [T],
        from_bytes: fn([u8; N]) -> T,
    ) -> Result<(), AtlasError> {
        let mut buffer = vec![0; 4096 * N];
        for chunk in values.chunks_mut(4096) {
            let buffer = &mut buffer[..chunk.len() * N];
            self.inner.read_exact(buffer).at(self.path)?;
            self.hash.update(buffer);
            for (value, bytes) in chunk.iter_mut().zip(buffer.as_chunks::<N>().0) {
                *value = from_bytes(*bytes);
            }
        }
        Ok(())
    }

    /// Compares the checksum at the end.
    pub(super) fn finish(mut self) -> Result<(), AtlasError> {
        let mut stored = [0; 8];
        self.inner.read_exact(&mut stored).at(self.path)?;
        if self.hash.digest() != u64::from_le_bytes(stored) || self.inner.read(&mut [0]).at(self.path)? != 0 {
            return Err(self.broken("its checksum is wrong: the file is damaged"));
        }
        Ok(())
    }

    pub(super) fn broken(&self, message: &str) -> AtlasError {
        AtlasError::invalid(self.path, message)
    }
}

/// Bytes that a state with these settings has at least.
pub(super) fn least_bytes(settings: &RecordSettings) -> u64 {
    let window = u64::from(settings.run.context) * 4;
    let per_unit = block::UNIT_BYTES + (TOP + RANDOM) as u64 * window + settings.kept_tokens.len() as u64 * 8;
    settings.units().saturating_mul(per_unit).saturating_add(MemoryEstimate::of(settings).products)
}

/// Writes the state of all hook points.
pub(super) fn write(recorder: &mut Recorder, to: &mut StateWriter<'_, impl Write>) -> Result<(), AtlasError> {
    to.bytes(&recorder.recorded.to_le_bytes())?;
    for block in recorder.hooks.values_mut().flatten() {
        write_block(block.get_mut().unwrap_or_else(PoisonError::into_inner), to)?;
    }
    Ok(())
}

/// Reads the state of all hook points into a new recorder.
pub(super) fn read(
    settings: RecordSettings,
    from: &mut StateReader<'_, impl Read>,
) -> Result<Recorder, AtlasError> {
    let mut recorder = Recorder::new(settings)?;
    recorder.recorded = u64::from_le_bytes(from.array()?);
    for block in recorder.hooks.values_mut().flatten() {
        read_block(block.get_mut().unwrap_or_else(PoisonError::into_inner), from)?;
    }
    Ok(recorder)
}

fn write_block(block: &mut Block, to: &mut StateWriter<'_, impl Write>) -> Result<(), AtlasError> {
    to.all(block.sums.limbs(), f64::to_le_bytes)?;
    to.all(&block.positive, u64::to_le_bytes)?;
    for extremes in &block.extremes {
        to.all(&[extremes.min, extremes.max], f32::to_le_bytes)?;
        to.all(&[extremes.window, extremes.position], u32::to_le_bytes)?;
    }
    to.all(&block.histogram, u32::to_le_bytes)?;
    for top in &block.top {
        to.bytes(&[top.entries().len() as u8])?;
        for entry in top.entries() {
            to.bytes(&entry.max.to_le_bytes())?;
            to.all(&[entry.window, entry.slot], u32::to_le_bytes)?;
        }
    }
    to.all(&block.top_activations, f32::to_le_bytes)?;
    to.all(&block.random_activations, f32::to_le_bytes)?;
    for column in 0..block.tokens.kept() {
        to.all(&block.tokens.row(column), f64::to_le_bytes)?;
    }
    if let Some(products) = &block.products {
        to.all(products.sums(), i64::to_le_bytes)?;
    }
    let context = block.context;
    for strata in block.settle().strata() {
        to.bytes(&[strata.shift(), strata.strata().len() as u8])?;
        for stratum in strata.strata() {
            to.all(&[Strata::key(stratum), stratum.count], u32::to_le_bytes)?;
            to.bytes(&[stratum.kept().len() as u8])?;
            for kept in stratum.kept() {
                to.bytes(&kept.priority.to_le_bytes())?;
                to.all(strata.activations(*kept, context), f32::to_le_bytes)?;
            }
        }
    }
    Ok(())
}

fn read_block(block: &mut Block, from: &mut StateReader<'_, impl Read>) -> Result<(), AtlasError> {
    from.all(block.sums.limbs_mut(), f64::from_le_bytes)?;
    from.all(&mut block.positive, u64::from_le_bytes)?;
    for extremes in &mut block.extremes {
        *extremes = Extremes {
            min: f32::from_le_bytes(from.array()?),
            max: f32::from_le_bytes(from.array()?),
            window: u32::from_le_bytes(from.array()?),
            position: u32::from_le_bytes(from.array()?),
        };
    }
    from.all(&mut block.histogram, u32::from_le_bytes)?;
    for top in &mut block.top {
        *top = read_top(from)?;
    }
    from.all(&mut block.top_activations, f32::from_le_bytes)?;
    from.all(&mut block.random_activations, f32::from_le_bytes)?;
    for column in 0..block.tokens.kept() {
        let mut sums = vec![0.0; block.units];
        from.all(&mut sums, f64::from_le_bytes)?;
        block.tokens.set_row(column, sums);
    }
    if let Some(products) = &mut block.products {
        from.all(products.sums_mut(), i64::from_le_bytes)?;
    }
    let context = block.context;
    let strata = (0..block.units).map(|_| read_strata(from, context)).collect::<Result<_, _>>()?;
    block.refresh(strata);
    Ok(())
}

fn read_top(from: &mut StateReader<'_, impl Read>) -> Result<TopWindows, AtlasError> {
    let [length] = from.array()?;
    let mut entries = Vec::new();
    for _ in 0..usize::from(length).min(TOP + 1) {
        entries.push(TopWindow {
            max: f32::from_le_bytes(from.array()?),
            window: u32::from_le_bytes(from.array()?),
            slot: u32::from_le_bytes(from.array()?),
        });
    }
    TopWindows::from_entries(&entries).ok_or_else(|| from.broken("a list of top windows is impossible"))
}

fn read_strata(from: &mut StateReader<'_, impl Read>, context: usize) -> Result<Strata, AtlasError> {
    let [shift, length] = from.array()?;
    if usize::from(length) > MAX_STRATA {
        return Err(from.broken("a unit has too many strata"));
    }
    let mut parts = Vec::new();
    for _ in 0..length {
        let [key, count] = [from.array()?, from.array()?].map(u32::from_le_bytes);
        let [used] = from.array()?;
        if usize::from(used) > PER_STRATUM {
            return Err(from.broken("a stratum keeps too many windows"));
        }
        let mut kept = Vec::new();
        for _ in 0..used {
            let priority = u64::from_le_bytes(from.array()?);
            let mut values = vec![0.0; context];
            from.all(&mut values, f32::from_le_bytes)?;
            kept.push((priority, values));
        }
        parts.push((key, count, kept));
    }
    Strata::from_parts(shift, parts).ok_or_else(|| from.broken("the strata of a unit are impossible"))
}
