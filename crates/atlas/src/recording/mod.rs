//! Recording: one pass over the windows keeps, per unit, statistics whose merge is exact.
//!
//! Everything that is kept is a pure function of the set of windows: sums lie on fixed binary grids, ranked
//! lists break ties by window number, samples are those with the smallest hash. Order, threads and shards
//! do not matter, to the last bit.

mod block;
mod columns;
mod gate;
mod large_array;
mod memory;
mod priority;
mod products;
mod recorder;
mod settings;
mod shard;
mod sparse_block;
mod sparse_sums;
mod state_file;
mod strata;
mod token_table;
mod top_windows;

pub use memory::MemoryEstimate;
pub use recorder::{BatchObserver, Recorder, WindowTokens};
pub use settings::{RecordSettings, TokenSelection};
pub use shard::{Shard, ShardProgress, merge};

pub(crate) use block::Block;
pub(crate) use strata::{Kept, PER_STRATUM, Strata, Stratum};
pub(crate) use top_windows::TOP;

/// Random windows, the same for all units.
pub(crate) const RANDOM: usize = 20;
/// Units per block: what one lock guards, and what one thread works on at a time.
pub(crate) const BLOCK: usize = 256;
