//! `--atlas`, `--units`, `--limit` and `--again`: which units of which atlas are explained or scored.

use std::path::PathBuf;

use clap::Args;
use glossator_atlas::Atlas;
use glossator_explain::Selector;
use glossator_model::UnitId;

/// Units of an atlas.
#[derive(Args)]
pub(crate) struct SelectionArgs {
    /// The atlas
    #[arg(long, value_name = "DIR")]
    pub(crate) atlas: PathBuf,
    /// Units: all, HOOK, HOOK:7, HOOK:0-99 (HOOK may be a pattern such as blocks.*.mlp.hook_post), random:200@SEED,
    /// density:0.001-0.1, or @FILE with one of these a line; may be given several times
    #[arg(long, default_value = "all", value_name = "SPEC")]
    units: Vec<Selector>,
    /// At most so many of the units
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Do units again that are done already
    #[arg(long)]
    pub(crate) again: bool,
}

impl SelectionArgs {
    /// The atlas, for writing, and the units.
    pub(crate) fn open(&self) -> anyhow::Result<(Atlas, Vec<UnitId>)> {
        let atlas = Atlas::open_writable(&self.atlas)?;
        let mut units = Selector::union(&self.units, &atlas)?;
        units.truncate(self.limit.unwrap_or(usize::MAX));
        Ok((atlas, units))
    }
}
