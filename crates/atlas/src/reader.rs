//! Reads an atlas: records of units, lists, token means; and adds explanations and scores.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glossator_model::{HookPoint, UnitId};

use crate::database::Database;
use crate::error::AtlasError;
use crate::excerpt::{Excerpt, Split};
use crate::explanation::{Calls, Explanation, Score, Simulation};
use crate::files;
use crate::manifest::{HookSummary, Manifest};
use crate::query::{CallTotals, ListQuery, Progress, ScoreKind, ScoredUnit, UnitPage};
use crate::record::{RelatedNeuron, TokenMean, UnitRecord, UnitStatistics};
use crate::stages;
use crate::tables::{self, Table};
use crate::vocabulary::Vocabulary;
use crate::window_memory::WindowMemory;

/// An open atlas. It can be shared between threads; a unit's record takes a few milliseconds.
pub struct Atlas {
    directory: PathBuf,
    manifest: Manifest,
    vocabulary: Arc<Vocabulary>,
    database: Database,
    windows: WindowMemory,
    units: Table,
    hooks: BTreeMap<HookPoint, HookTables>,
}

/// The open tables of a hook point.
struct HookTables {
    excerpts: Table,
    token_means: Table,
    directions: Option<(Table, Table)>,
    correlated_neurons: Option<Table>,
    aligned_neurons: Option<Table>,
}

/// A unit's mean activation per token, as far as explainers may know it: its calibration, valid and
/// test excerpts are left out.
#[derive(Clone, Debug)]
pub struct TokenMeans {
    vocabulary: Arc<Vocabulary>,
    /// Mean over all tokens.
    pub mean: f32,
    /// `[column]`: means in the order of [`Vocabulary::kept`]; `None` where the token occurs nowhere else.
    pub means: Vec<Option<f32>>,
}

impl TokenMeans {
    /// The mean activation on a token, where it is known.
    pub fn get(&self, token: u32) -> Option<f32> {
        self.means.get(self.vocabulary.column(token)?).copied().flatten()
    }
}

impl Atlas {
    /// Opens an atlas for reading.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, AtlasError> {
        Self::open_with(directory.as_ref(), false)
    }

    /// Opens an atlas for reading and for adding explanations and scores.
    pub fn open_writable(directory: impl AsRef<Path>) -> Result<Self, AtlasError> {
        Self::open_with(directory.as_ref(), true)
    }

    fn open_with(directory: &Path, write: bool) -> Result<Self, AtlasError> {
        let manifest = Manifest::read(directory)?;
        if let Some(stage) = stages::ALL.iter().find(|stage| !manifest.stages.contains_key(**stage)) {
            return Err(AtlasError::Unfinished { path: directory.to_owned(), stage });
        }
        let path = directory.join(files::TOKENS);
        let vocabulary = Vocabulary::new(tables::tokens::read(&path)?)
            .map_err(|message| AtlasError::invalid(&path, message))?;
        let hooks = manifest
            .hooks
            .iter()
            .map(|hook| {
                Ok((hook.hook, HookTables::open(directory, hook, &manifest, vocabulary.kept().len())?))
            })
            .collect::<Result<_, AtlasError>>()?;
        Ok(Self {
            directory: directory.to_owned(),
            vocabulary: Arc::new(vocabulary),
            database: Database::open(&directory.join(files::DATABASE), write)?,
            windows: WindowMemory::default(),
            units: tables::units::open(&directory.join(files::UNITS))?,
            hooks,
            manifest,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// What it is and how it was made.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Token texts.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The hook points, in order of execution.
    pub fn hooks(&self) -> &[HookSummary] {
        &self.manifest.hooks
    }

    /// Number of units over all hook points.
    pub fn unit_count(&self) -> u64 {
        self.hooks().iter().map(|hook| u64::from(hook.units)).sum()
    }

    /// The `rank`-th unit, counting through the hook points in order.
    pub fn unit_at(&self, mut rank: u64) -> Option<UnitId> {
        for hook in self.hooks() {
            if rank < u64::from(hook.units) {
                return Some(UnitId { hook: hook.hook, index: rank as u32 });
            }
            rank -= u64::from(hook.units);
        }
        None
    }

    /// The place of a unit in the count of [`Atlas::unit_at`].
    pub fn rank_of(&self, unit: UnitId) -> Result<u64, AtlasError> {
        self.tables(unit)?;
        let before = self.hooks().iter().take_while(|hook| hook.hook != unit.hook);
        Ok(before.map(|hook| u64::from(hook.units)).sum::<u64>() + u64::from(unit.index))
    }

    /// Everything that was measured about a unit.
    pub fn unit(&self, unit: UnitId) -> Result<UnitRecord, AtlasError> {
        let tables = self.tables(unit)?;
        let before: Vec<u32> =
            self.hooks().iter().take_while(|hook| hook.hook != unit.hook).map(|hook| hook.units).collect();
        let row = tables::units::read(&self.units, unit, &before)?;
        let (logits, neighbours) = match &tables.directions {
            Some((logits, neighbours)) => (
                tables::logit_weights::read(logits, unit.index)?,
                tables::neighbours::read(neighbours, unit.index)?,
            ),
            None => Default::default(),
        };
        Ok(UnitRecord {
            unit,
            statistics: row.statistics,
            histogram: row.histogram,
            intervals: row.intervals,
            excerpts: self.excerpts(unit)?,
            top_tokens: row.top_tokens,
            bottom_tokens: row.bottom_tokens,
            top_logits: logits.top,
            bottom_logits: logits.bottom,
            neighbours,
            correlated_neurons: self.neurons(unit, tables.correlated_neurons.as_ref())?,
            aligned_neurons: self.neurons(unit, tables.aligned_neurons.as_ref())?,
        })
    }

    /// The neurons of a feature in one of the tables about them.
    fn neurons(&self, unit: UnitId, table: Option<&Table>) -> Result<Vec<RelatedNeuron>, AtlasError> {
        let hook = self.manifest.hook(unit.hook).and_then(|hook| hook.neurons);
        let Some((hook, table)) = hook.zip(table) else { return Ok(Vec::new()) };
        let rows = tables::neurons::read(table, unit.index)?.into_iter();
        Ok(rows.map(|(index, value)| RelatedNeuron { unit: UnitId { hook, index }, value }).collect())
    }

    /// A unit's moments, and the tokens with its largest means: what [`Atlas::unit`] says of them, sooner.
    pub fn profile(&self, unit: UnitId) -> Result<(UnitStatistics, Vec<TokenMean>), AtlasError> {
        self.tables(unit)?;
        let before: Vec<u32> =
            self.hooks().iter().take_while(|hook| hook.hook != unit.hook).map(|hook| hook.units).collect();
        let row = tables::units::read(&self.units, unit, &before)?;
        Ok((row.statistics, row.top_tokens))
    }

    /// All excerpts of a unit: top by rank, then quantile by interval, then random.
    pub fn excerpts(&self, unit: UnitId) -> Result<Vec<Excerpt>, AtlasError> {
        self.excerpts_where(unit, |_| true)
    }

    /// The excerpts of a unit in one of `splits`, in the order of [`Atlas::excerpts`]. Others are not looked up.
    pub fn excerpts_in(&self, unit: UnitId, splits: &[Split]) -> Result<Vec<Excerpt>, AtlasError> {
        self.excerpts_where(unit, |split| splits.contains(&split))
    }

    fn excerpts_where(
        &self,
        unit: UnitId,
        wanted: impl Fn(Split) -> bool,
    ) -> Result<Vec<Excerpt>, AtlasError> {
        let mut rows = tables::excerpts::read(&self.tables(unit)?.excerpts, unit.index)?;
        rows.retain(|row| wanted(row.split));
        let numbers: Vec<u32> = rows.iter().map(|row| row.window).collect();
        let context = self.manifest.run.context as usize;
        let windows = self.windows.get(&numbers, |missing| self.database.windows(missing, context))?;
        let excerpts = rows.into_iter().zip(windows).map(|(row, window)| Excerpt {
            kind: row.kind,
            rank: row.rank,
            split: row.split,
            window: row.window,
            document: window.document.clone(),
            offset: window.offset,
            tokens: window.tokens.clone(),
            activations: row.activations,
            max: row.max,
        });
        Ok(excerpts.collect())
    }

    /// The numbers of the windows that some unit has on one of its lists, rising.
    pub fn window_numbers(&self) -> Result<Vec<u32>, AtlasError> {
        self.database.window_numbers()
    }

    /// `[window, position]` the tokens of the windows of these numbers, in the order asked for.
    pub fn window_tokens(&self, numbers: &[u32]) -> Result<Vec<Vec<u32>>, AtlasError> {
        let windows = self.database.windows(numbers, self.manifest.run.context as usize)?;
        Ok(windows.into_iter().map(|window| window.tokens).collect())
    }

    /// A unit's mean activation per token, without its scoring excerpts.
    pub fn token_means(&self, unit: UnitId) -> Result<TokenMeans, AtlasError> {
        let table = &self.tables(unit)?.token_means;
        let row = tables::token_means::read(table, unit.index)?;
        let row = row.ok_or_else(|| table.broken(&format!("the row of {unit} is missing")))?;
        Ok(TokenMeans { vocabulary: self.vocabulary.clone(), mean: row.mean, means: row.means })
    }

    /// A unit's mean activation over all tokens but its scoring excerpts: [`TokenMeans::mean`], sooner.
    pub fn mean_without_scoring(&self, unit: UnitId) -> Result<f32, AtlasError> {
        let table = &self.tables(unit)?.token_means;
        let mean = tables::token_means::read_mean(table, unit.index)?;
        mean.ok_or_else(|| table.broken(&format!("the row of {unit} is missing")))
    }

    /// The units that match a query.
    pub fn list(&self, query: &ListQuery) -> Result<UnitPage, AtlasError> {
        self.database.list(query)
    }

    /// What has been explained and how well.
    pub fn progress(&self) -> Result<Progress, AtlasError> {
        self.database.progress()
    }

    /// The text of each unit's best explanation.
    pub fn best_texts(&self, units: &[UnitId]) -> Result<Vec<Option<String>>, AtlasError> {
        self.database.best_texts(units)
    }

    /// The explanations of a unit, by explainer.
    pub fn explanations(&self, unit: UnitId) -> Result<Vec<Explanation>, AtlasError> {
        self.database.explanations(unit, None)
    }

    /// The explanation of a unit by one explainer, if there is one.
    pub fn explanation(&self, unit: UnitId, explainer: &str) -> Result<Option<Explanation>, AtlasError> {
        Ok(self.database.explanations(unit, Some(explainer))?.pop())
    }

    /// The scores of a unit's explanations, by explainer, scorer, metric, sample and split.
    pub fn scores(&self, unit: UnitId) -> Result<Vec<Score>, AtlasError> {
        self.database.scores(unit)
    }

    /// What an explanation predicts for a unit's scoring excerpts, by scorer and window.
    pub fn simulations(&self, unit: UnitId, explainer: &str) -> Result<Vec<Simulation>, AtlasError> {
        self.database.simulations(unit, explainer)
    }

    /// Indices of the units of a hook point that have an explanation by `explainer`.
    pub fn explained(&self, hook: HookPoint, explainer: &str) -> Result<BTreeSet<u32>, AtlasError> {
        self.database.done(&hook.to_string(), explainer, None)
    }

    /// Indices of the units of a hook point whose explanation by `explainer` has scores by `scorer` on `split`.
    pub fn scored(
        &self,
        hook: HookPoint,
        explainer: &str,
        scorer: &str,
        split: Split,
    ) -> Result<BTreeSet<u32>, AtlasError> {
        self.database.done(&hook.to_string(), explainer, Some((scorer, split)))
    }

    /// One score of all units of a hook point whose explanation by `explainer` has it, by index; `None` where it is
    /// undefined.
    pub fn score_values(
        &self,
        hook: HookPoint,
        explainer: &str,
        scorer: &str,
        metric: &str,
        sample: &str,
        split: Split,
    ) -> Result<BTreeMap<u32, Option<f64>>, AtlasError> {
        let score = [scorer, metric, sample, &split.to_string()];
        self.database.score_values(&hook.to_string(), explainer, score)
    }

    /// The kinds of score that there are on a split, by explainer and scorer.
    pub fn score_kinds(&self, split: Split) -> Result<Vec<ScoreKind>, AtlasError> {
        self.database.score_kinds(split)
    }

    /// One kind of score of all units that have it, by hook point and index.
    pub fn scored_units(&self, kind: &ScoreKind, split: Split) -> Result<Vec<ScoredUnit>, AtlasError> {
        self.database.scored_units(kind, split)
    }

    /// What language models were asked to explain, and to score on a split, in all.
    pub fn call_totals(&self, split: Split) -> Result<Vec<CallTotals>, AtlasError> {
        self.database.call_totals(split)
    }

    /// Stores explanations in one transaction. Earlier ones of the same unit and explainer go, with
    /// their scores and simulations. Needs [`Atlas::open_writable`].
    pub fn put_explanations(&self, explanations: &[Explanation]) -> Result<(), AtlasError> {
        self.database.put_explanations(explanations)
    }

    /// Stores scores and the simulations behind them in one transaction. Needs
    /// [`Atlas::open_writable`].
    pub fn put_scores(&self, scores: &[Score], simulations: &[Simulation]) -> Result<(), AtlasError> {
        self.database.put_scores(scores, simulations)
    }

    /// What language models were asked about a unit, by explainer and scorer.
    pub fn calls(&self, unit: UnitId) -> Result<Vec<Calls>, AtlasError> {
        self.database.calls(unit)
    }

    /// Stores what language models were asked, in one transaction. Replacing an explanation forgets what was asked to
    /// score it, so these are stored before the explanations and scores that they led to. Needs
    /// [`Atlas::open_writable`].
    pub fn put_calls(&self, calls: &[Calls]) -> Result<(), AtlasError> {
        self.database.put_calls(calls)
    }

    fn tables(&self, unit: UnitId) -> Result<&HookTables, AtlasError> {
        let known = self.manifest.hook(unit.hook).filter(|hook| unit.index < hook.units);
        known.and_then(|_| self.hooks.get(&unit.hook)).ok_or_else(|| AtlasError::UnknownUnit {
            unit: unit.to_string(),
            advice: match self.manifest.hook(unit.hook) {
                Some(hook) => format!("{} has units 0 to {}", hook.hook, hook.units.saturating_sub(1)),
                None => format!("it has {}", hook_names(self.hooks())),
            },
        })
    }
}

impl HookTables {
    fn open(
        directory: &Path,
        hook: &HookSummary,
        manifest: &Manifest,
        kept: usize,
    ) -> Result<Self, AtlasError> {
        let file = |folder| files::hook_file(directory, folder, hook.hook);
        let directions = if hook.directions {
            let logits = tables::logit_weights::open(&file(files::LOGIT_WEIGHTS))?;
            Some((logits, tables::neighbours::open(&file(files::NEIGHBOURS))?))
        } else {
            None
        };
        let neurons = |folder, there: bool| {
            hook.neurons.filter(|_| there).map(|_| tables::neurons::open(&file(folder))).transpose()
        };
        Ok(Self {
            excerpts: tables::excerpts::open(&file(files::EXCERPTS), manifest.run.context as usize)?,
            token_means: tables::token_means::open(&file(files::TOKEN_MEANS), kept)?,
            directions,
            correlated_neurons: neurons(files::CORRELATED_NEURONS, true)?,
            aligned_neurons: neurons(files::ALIGNED_NEURONS, hook.directions)?,
        })
    }
}

/// A list of hook points short enough for a message.
fn hook_names(hooks: &[HookSummary]) -> String {
    match hooks {
        [] => "no hook points".to_owned(),
        [only] => only.hook.to_string(),
        [first, .., last] => format!("{} hook points from {} to {}", hooks.len(), first.hook, last.hook),
    }
}
