//! `glossator export`: an atlas in another form. Today: the page as files that open without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use glossator_atlas::Atlas;
use glossator_explain::Selector;
use glossator_serve::{Export as StaticExport, ExportPlan, Library};

use crate::output;

/// Write the page of an atlas as files that open without a server
#[derive(Args)]
pub(crate) struct Export {
    /// The atlas: a directory written by `glossator record`
    atlas: PathBuf,
    /// Directory to write the page to; open its index.html
    #[arg(long = "static", value_name = "DIR", required = true)]
    directory: PathBuf,
    /// Every unit, not only those with an explanation
    #[arg(long, conflicts_with = "units")]
    all: bool,
    /// Only these units, such as `blocks.15.mlp.hook_post:0-99` or `random:200@7`; may be given more than once
    #[arg(long, value_name = "UNITS")]
    units: Vec<Selector>,
    /// At most this many units, the first in the atlas' order
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only say how large the export would be
    #[arg(long)]
    dry_run: bool,
}

impl Export {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let atlas = Atlas::open(&self.atlas)?;
        let plan = self.plan(&atlas)?;
        let library = Library::new(atlas);
        let export = StaticExport::plan(&library, &plan, self.limit)?;
        let size = export.size()?;
        let megabytes = size.bytes as f64 / 1e6;
        output::note(&format!("{} units, about {megabytes:.1} MB", size.units));
        if self.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        let bar = output::progress(size.units, "units");
        export.write(&self.directory, || bar.inc(1))?;
        bar.finish_and_clear();
        output::print(&format!("{}\n", self.directory.join("index.html").display()))?;
        Ok(ExitCode::SUCCESS)
    }

    fn plan(&self, atlas: &Atlas) -> anyhow::Result<ExportPlan> {
        if self.all {
            return Ok(ExportPlan::All);
        }
        if self.units.is_empty() {
            return Ok(ExportPlan::Explained);
        }
        Ok(ExportPlan::Units(Selector::union(&self.units, atlas)?))
    }
}
