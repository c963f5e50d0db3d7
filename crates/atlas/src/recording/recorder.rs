//! Watches the forward pass and keeps what an atlas needs of every unit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use glossator_model::{Activation, HookPoint, Observer, SparseFeatures};

use super::block::{Block, WindowPlace};
use super::priority::{Purpose, priority, sample};
use super::products::{NeuronRows, Products};
use super::settings::RecordSettings;
use super::sparse_block::by_block;
use super::token_table::TokenTable;
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
        BatchObserver { recorder: self, windows, neurons: Mutex::default() }
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

    fn record(
        &self,
        hook: HookPoint,
        activation: &Activation<'_>,
        windows: &[WindowTokens<'_>],
        neurons: Option<&Neurons>,
    ) {
        let (context, width) = (self.settings.run.context as usize, activation.width);
        let rows: Vec<&[f32]> = (0..windows.len()).map(|index| activation.sequence(index)).collect();
        let tokens = self.tokens_by_column(windows);
        let places = self.places(windows);
        self.for_each_block(hook, |block, _| {
            let largest = block.record(&places, &rows, width)?;
            let first = block.first;
            let largest = |row: u32| largest[row as usize / context];
            block.tokens.add(&tokens, largest, activation.values, width, first);
            let units = first..first + block.units;
            let rows = activation.values.chunks_exact(width).enumerate();
            let active = rows.flat_map(|(row, values)| {
                let values = values[units.clone()].iter().enumerate();
                values.filter(|(_, value)| **value != 0.0).map(move |(unit, value)| (row, unit, *value))
            });
            self.add_products(hook, block, active, neurons);
            Ok(())
        });
    }

    fn record_sparse(
        &self,
        hook: HookPoint,
        features: &SparseFeatures<'_>,
        windows: &[WindowTokens<'_>],
        neurons: Option<&Neurons>,
    ) {
        let columns = self.columns_by_row(windows);
        let places = self.places(windows);
        let entries = by_block(features);
        self.for_each_block(hook, |block, number| {
            block.record_sparse(&places, &entries[number])?;
            let counted = entries[number].iter();
            let counted = counted.map(|entry| (columns[entry.row as usize], entry.unit, entry.value));
            block.tokens.add_entries(counted.filter(|(column, ..)| *column != NO_COLUMN));
            let active =
                entries[number].iter().map(|entry| (entry.row as usize, entry.unit as usize, entry.value));
            self.add_products(hook, block, active, neurons);
            Ok(())
        });
    }

    /// Adds the products of active features, (row, unit of the block, activation), with the neurons.
    fn add_products(
        &self,
        hook: HookPoint,
        block: &mut Block,
        active: impl Iterator<Item = (usize, usize, f32)>,
        neurons: Option<&Neurons>,
    ) {
        let Some(products) = &mut block.products else { return };
        let (context, ignored) = (self.settings.run.context, self.settings.run.ignored_positions);
        let Some((neurons, first)) = neurons else {
            let message = format!("{hook}: its neurons were not handed over before it");
            return self.fail(AtlasError::Settings { message });
        };
        for (row, unit, value) in active.filter(|(row, ..)| row % context as usize >= ignored as usize) {
            if !products.add(unit, value, neurons, first + row) {
                let message =
                    format!("{hook}: activations are too large to be multiplied with those of neurons");
                return self.fail(AtlasError::Settings { message });
            }
        }
    }

    /// Hands every block of a hook point, with its number, to `record`, which answers with a window that holds
    /// activations that are no finite numbers.
    fn for_each_block(&self, hook: HookPoint, record: impl Fn(&mut Block, usize) -> Result<(), u32>) {
        let Some(blocks) = self.hooks.get(&hook) else { return };
        let record = |mut block: MutexGuard<'_, Block>, number| {
            if let Err(window) = record(&mut block, number) {
                self.fail(AtlasError::NonFinite { hook: hook.to_string(), window });
            }
        };
        // Another thread is often at the same hook point: the blocks that it holds come last.
        let mut held = Vec::new();
        for (number, block) in blocks.iter().enumerate() {
            match block.try_lock() {
                Ok(block) => record(block, number),
                Err(TryLockError::Poisoned(error)) => record(error.into_inner(), number),
                Err(TryLockError::WouldBlock) => held.push((block, number)),
            }
        }
        for (block, number) in held {
            record(block.lock().unwrap_or_else(PoisonError::into_inner), number);
        }
    }

    fn places(&self, windows: &[WindowTokens<'_>]) -> Vec<WindowPlace> {
        let run = &self.settings.run;
        let place = |window: &WindowTokens<'_>| WindowPlace {
            id: window.id,
            priority: priority(run.seed, Purpose::Quantile, window.id),
            random: self.random.iter().position(|random| *random == window.id),
            ignored: run.ignored_positions as usize,
        };
        windows.iter().map(place).collect()
    }

    /// The column of each row of a group in the token table, or [`NO_COLUMN`].
    fn columns_by_row(&self, windows: &[WindowTokens<'_>]) -> Vec<u32> {
        let ignored = self.settings.run.ignored_positions as usize;
        let column = |(position, token): (usize, &u32)| {
            let column = self.column(*token).filter(|_| position >= ignored);
            column.map_or(NO_COLUMN, |column| column as u32)
        };
        windows.iter().flat_map(|window| window.tokens.iter().enumerate().map(column)).collect()
    }

    /// The counted tokens that have a column, as (column, row of the group), equal tokens together so that
    /// their sums stay in the cache.
    fn tokens_by_column(&self, windows: &[WindowTokens<'_>]) -> Vec<(u32, u32)> {
        let columns = self.columns_by_row(windows).into_iter().zip(0..);
        let mut tokens: Vec<(u32, u32)> = columns.filter(|(column, _)| *column != NO_COLUMN).collect();
        tokens.sort_unstable();
        tokens
    }
}

fn blocks(hook: &HookSummary, settings: &RecordSettings) -> Vec<Mutex<Block>> {
    let (units, context) = (hook.units as usize, settings.run.context as usize);
    (0..units)
        .step_by(BLOCK)
        .map(|first| {
            let (units, kept) = (BLOCK.min(units - first), settings.kept_tokens.len());
            let neurons = settings.neurons(hook);
            let tokens = if hook.hook.is_features() {
                TokenTable::sparse(kept, units)
            } else {
                TokenTable::new(kept, units)
            };
            let mut block = Block::new(first, units, context, tokens);
            block.products = (neurons > 0).then(|| Products::new(units, neurons));
            Mutex::new(block)
        })
        .collect()
}

/// Records the windows of one batch.
pub struct BatchObserver<'a> {
    recorder: &'a Recorder,
    windows: &'a [WindowTokens<'a>],
    /// The neurons that later features may be made of, by groups of sequences.
    neurons: Mutex<Vec<NeuronGroup>>,
}

/// What the neurons of a hook point did in a group of sequences.
struct NeuronGroup {
    hook: HookPoint,
    sequences: Range<usize>,
    rows: Arc<NeuronRows>,
}

/// The rows of the neurons that features are compared with, and which of them is the features' first.
type Neurons = (Arc<NeuronRows>, usize);

impl BatchObserver<'_> {
    /// The windows of a group of sequences, or why they cannot be recorded.
    fn windows(
        &self,
        hook: HookPoint,
        sequences: &Range<usize>,
        starts: &[usize],
        fits: bool,
    ) -> &[WindowTokens<'_>] {
        let context = self.recorder.settings.run.context as usize;
        let windows = self.windows.get(sequences.clone()).unwrap_or_default();
        let whole = starts.windows(2).all(|pair| pair[1] - pair[0] == context);
        if whole && fits && windows.len() == sequences.len() {
            return windows;
        }
        let message = format!("{hook}: the forward pass did not hand over whole windows of {context} tokens");
        self.recorder.fail(AtlasError::Settings { message });
        &[]
    }

    /// Keeps the activations of neurons that later features are compared with.
    fn keep_neurons(&self, hook: HookPoint, activation: &Activation<'_>) {
        if self.recorder.settings.hooks.iter().any(|features| features.neurons == Some(hook)) {
            let rows = Arc::new(NeuronRows::new(activation.values, activation.width));
            let group = NeuronGroup { hook, sequences: activation.sequences.clone(), rows };
            self.neurons.lock().unwrap_or_else(PoisonError::into_inner).push(group);
        }
    }

    /// The neurons that features of these sequences are compared with.
    fn neurons_of(&self, hook: HookPoint, sequences: &Range<usize>) -> Option<Neurons> {
        let settings = &self.recorder.settings;
        let hook = settings.hooks.iter().find(|features| features.hook == hook)?.neurons?;
        let groups = self.neurons.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |group: &&NeuronGroup| {
            group.hook == hook
                && group.sequences.start <= sequences.start
                && sequences.end <= group.sequences.end
        };
        let group = groups.iter().find(holds)?;
        let first = (sequences.start - group.sequences.start) * settings.run.context as usize;
        Some((Arc::clone(&group.rows), first))
    }

    fn timed(&self, work: impl FnOnce()) {
        let started = Instant::now();
        work();
        let elapsed = started.elapsed().as_nanos() as u64;
        self.recorder.nanoseconds.fetch_add(elapsed, Ordering::Relaxed);
    }
}

impl Observer for BatchObserver<'_> {
    fn observe(&self, hook: HookPoint, activation: &Activation<'_>) {
        self.timed(|| {
            let fits =
                activation.width * activation.tokens() == activation.values.len() && !activation.pairwise;
            let windows = self.windows(hook, &activation.sequences, activation.starts, fits);
            if !windows.is_empty() {
                self.keep_neurons(hook, activation);
                let neurons = self.neurons_of(hook, &activation.sequences);
                self.recorder.record(hook, activation, windows, neurons.as_ref());
            }
        });
    }

    fn takes_sparse_features(&self) -> bool {
        true
    }

    fn observe_features(&self, hook: HookPoint, features: &SparseFeatures<'_>) {
        self.timed(|| {
            let fits = features.tokens() == features.rows.ends.len();
            let windows = self.windows(hook, &features.sequences, features.starts, fits);
            if !windows.is_empty() {
                let neurons = self.neurons_of(hook, &features.sequences);
                self.recorder.record_sparse(hook, features, windows, neurons.as_ref());
            }
        });
    }
}
