//! Everything on disk for one run: manifest, records, explanations and scores.
//!
//! An atlas is a directory; `docs/reference/atlas-format.md` describes every file in it. [`Atlas`]
//! reads one.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod database;
mod distributions;
mod error;
mod excerpt;
mod explanation;
mod files;
mod finalising;
mod foreign;
mod manifest;
mod query;
mod reader;
mod record;
mod recording;
mod stages;
mod tables;
pub mod testing;
mod vocabulary;
mod window_memory;

pub use distributions::Distributions;
pub use error::AtlasError;
pub use excerpt::{Excerpt, ExcerptKind, INTERVALS, QUANTILES, Split};
pub use explanation::{Calls, Explanation, HEADLINE, PREDICTION, SIMULATION, Score, Simulation};
pub use finalising::{RecordSource, UnitProgress, finish, write_records};
pub use foreign::{ForeignRun, ForeignUnit, write_foreign};
pub use manifest::{DictionarySummary, HookSummary, Manifest, RunSummary, SCHEMA_VERSION, Stage};
pub use query::{
    CallTotals, ExplainerProgress, Headline, ListQuery, Progress, ScoreKind, ScoredUnit, Sort, UnitPage,
    UnitSummary,
};
pub use reader::{Atlas, TokenMeans};
pub use record::{
    HistogramBucket, Neighbour, QuantileInterval, RelatedNeuron, TokenMean, TokenWeight, UnitRecord,
    UnitStatistics,
};
pub use recording::{
    BatchObserver, MemoryEstimate, RecordSettings, Recorder, Shard, ShardProgress, TokenSelection,
    WindowTokens, merge,
};
pub use tables::windows::WindowRow;
pub use vocabulary::Vocabulary;
