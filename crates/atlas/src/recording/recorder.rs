//! Watches the forward pass and keeps what an atlas needs of every unit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use glossator_model::{Activation, HookPoint, Observer};

use super::block::{Block, WindowRows};
use super::priority::{Purpose, priority, sample};
use super::settings::RecordSettings;
use super::{BLOCK, RANDOM};
use crate::error::AtlasError;
use crate::manifest::HookSummary;

/// A window of a batch.
#[derive(Clone, Copy, Debug)]
pub struct WindowTokens<'a> {
    /// Its number in the selection.
    pub id: u32,
    /// `[context]`.
    pub tokens: &'a [u32],
}

/// The recorded state of all hook points. Several threads may record at once; each block of units has a lock.
pub struct Recorder {
    settings: RecordSettings,
    /// The random windows, in order of priority.
    random: Vec<u32>,
    /// `[token]`: its column in the token table, or [`NO_COLUMN`].
    columns: Vec<u32>,
    pub(super) hooks: BTreeMap<HookPoint, Vec<Mutex<Block>>>,
    pub(super) recorded: u64,
    nanoseconds: AtomicU64,
    failure: Mutex<Option<AtlasError>>,
}

const NO_COLUMN: u32 = u32::MAX;

impl Recorder {
    /// An empty state for these settings.
    pub fn new(settings: RecordSettings) -> Result<Self, AtlasError> {
        settings.check()?;
        let mut columns = vec![NO_COLUMN; settings.token_counts.len()];
        for (column, token) in settings.kept_tokens.iter().enumerate() {
            columns[*token as usize] = column as u32;
        }
        let random = sample(settings.run.seed, Purpose::Random, settings.run.windows as u32, RANDOM);
        let hooks = settings.hooks.iter().map(|hook| (hook.hook, blocks(hook, &settings))).collect();
        Ok(Self {
            settings,
            random,
            columns,
            hooks,
            recorded: 0,
            nanoseconds: AtomicU64::new(0),
            failure: Mutex::new(None),
        })
    }

    /// What it was made for.
    pub fn settings(&self) -> &RecordSettings {
        &self.settings
    }

    /// The random windows that all units share, in their order.
    pub fn random_windows(&self) -> &[u32] {
        &self.random
    }

    /// Windows recorded so far.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Time spent recording, summed over threads, since the state was made or loaded.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    /// The observer of a forward pass over these windows, in the order of its batch.
    pub fn observer<'a>(&'a self, windows: &'a [WindowTokens<'a>]) -> BatchObserver<'a> {
        BatchObserver { recorder: self, windows }
    }

    /// To be called after every batch, with the number of its windows.
    ///
    /// # Errors
    /// What went wrong while recording it.
    pub fn complete(&mut self, windows: usize) -> Result<(), AtlasError> {
        self.recorded += windows as u64;
        match self.failure.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Adds the state of other windows of the same selection.
    ///
    /// # Panics
    /// Never for states of equal settings, which the caller has checked.
    pub(crate) fn merge(&mut self, other: Self, others_windows: impl Fn(u32) -> bool) {
        let random: Vec<usize> =
            (0..self.random.len()).filter(|place| others_windows(self.random[*place])).collect();
        for (mine, theirs) in self.hooks.values_mut().zip(other.hooks.into_values()) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                let theirs = theirs.into_inner().unwrap_or_else(PoisonError::into_inner);
                mine.get_mut().unwrap_or_else(PoisonError::into_inner).merge(theirs, &random);
            }
        }
        self.recorded += other.recorded;
    }

    /// The blocks of a hook point, for finalising.
    pub(crate) fn blocks(&self, hook: HookPoint) -> &[Mutex<Block>] {
        self.hooks.get(&hook).map_or(&[], Vec::as_slice)
    }

    /// The column of a token in the token table.
    pub(crate) fn column(&self, token: u32) -> Option<usize> {
        self.columns.get(token as usize).filter(|column| **column != NO_COLUMN).map(|column| *column as usize)
    }

    fn fail(&self, error: AtlasError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn record(&self, hook: HookPoint, activation: &Activation<'_>, windows: &[WindowTokens<'_>]) {
        let Some(blocks) = self.hooks.get(&hook) else { return };
        let run = &self.settings.run;
        let ignored = run.ignored_positions as usize;
        let rows: Vec<WindowRows<'_>> = windows
            .iter()
            .enumerate()
            .map(|(index, window)| WindowRows {
                id: window.id,
                priority: priority(run.seed, Purpose::Quantile, window.id),
                random: self.random.iter().position(|random| *random == window.id),
                rows: activation.sequence(index),
                width: activation.width,
                ignored,
            })
            .collect();
        let tokens = self.tokens_by_column(windows, activation.starts, ignored);
        let record = |mut block: MutexGuard<'_, Block>| match block.record(&rows) {
            Ok(largest) => {
                let first = block.first;
                let largest = |row: u32| largest[row as usize / run.context as usize];
                block.tokens.add(&tokens, largest, activation.values, activation.width, first);
            }
            Err(window) => self.fail(AtlasError::NonFinite { hook: hook.to_string(), window }),
        };
        // Another thread is often at the same hook point: the blocks that it holds come last.
        let mut held = Vec::new();
        for block in blocks {
            match block.try_lock() {
                Ok(block) => record(block),
                Err(TryLockError::Poisoned(error)) => record(error.into_inner()),
                Err(TryLockError::WouldBlock) => held.push(block),
            }
        }
        held.into_iter().for_each(|block| record(block.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// The counted tokens that have a column, as (column, row of the group), equal tokens together so that
    /// their sums stay in the cache.
    fn tokens_by_column(
        &self,
        windows: &[WindowTokens<'_>],
        starts: &[usize],
        ignored: usize,
    ) -> Vec<(u32, u32)> {
        let mut tokens = Vec::new();
        for (window, start) in windows.iter().zip(starts) {
            for (position, token) in window.tokens.iter().enumerate().skip(ignored) {
                if let Some(column) = self.column(*token) {
                    tokens.push((column as u32, (start + position) as u32));
                }
            }
        }
        tokens.sort_unstable();
        tokens
    }
}

fn blocks(hook: &HookSummary, settings: &RecordSettings) -> Vec<Mutex<Block>> {
    let (units, context) = (hook.units as usize, settings.run.context as usize);
    (0..units)
        .step_by(BLOCK)
        .map(|first| {
            Mutex::new(Block::new(first, BLOCK.min(units - first), context, settings.kept_tokens.len()))
        })
        .collect()
}

/// Records the windows of one batch.
pub struct BatchObserver<'a> {
    recorder: &'a Recorder,
    windows: &'a [WindowTokens<'a>],
}

impl Observer for BatchObserver<'_> {
    fn observe(&self, hook: HookPoint, activation: &Activation<'_>) {
        let started = Instant::now();
        let context = self.recorder.settings.run.context as usize;
        let windows = self.windows.get(activation.sequences.clone()).unwrap_or_default();
        let whole = activation.starts.windows(2).all(|pair| pair[1] - pair[0] == context);
        let fits = activation.width * activation.tokens() == activation.values.len() && !activation.pairwise;
        if whole && fits && windows.len() == activation.sequences.len() {
            self.recorder.record(hook, activation, windows);
        } else {
            let message =
                format!("{hook}: the forward pass did not hand over whole windows of {context} tokens");
            self.recorder.fail(AtlasError::Settings { message });
        }
        let elapsed = started.elapsed().as_nanos() as u64;
        self.recorder.nanoseconds.fetch_add(elapsed, Ordering::Relaxed);
    }
}
