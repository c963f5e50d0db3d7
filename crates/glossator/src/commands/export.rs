//! `glossator export`: an atlas in another form: the page as files, or the files of another program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use glossator_atlas::Atlas;
use glossator_exchange::{dataset, delphi, neuronpedia, openai};
use glossator_explain::Selector;
use glossator_model::checkpoint::Checkpoint;
use glossator_model::{UnitId, location};
use glossator_serve::{Export as StaticExport, ExportPlan, Library, explained_units};

use crate::output;

/// Write an atlas in another form: the page as files that open without a server, or the files of another program
///
/// Examples:
///
///   glossator export demo.atlas --static page/
///   glossator export demo.atlas --format openai --out neurons/ --units 'blocks.*.mlp.hook_post:0-99'
///   glossator export demo.atlas --format neuronpedia --out export/ --model-id smollm2-135m --release my-neurons
///
/// Formats: openai (collated activations, explanations and related tokens as published for GPT-2), neuronpedia (the
/// tables that it imports), delphi (explanations, scores, and a cache of the excerpts), dataset (Parquet tables with a
/// card). Without --units or --all, units with an explanation are written; where some explainer has gone beyond token
/// lookup, only its units.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Export {
    /// The atlas: a directory written by `glossator record`
    atlas: PathBuf,
    /// Directory to write the page to; open its index.html
    #[arg(
        long = "static",
        value_name = "DIR",
        required_unless_present = "format",
        conflicts_with = "format"
    )]
    page: Option<PathBuf>,
    /// The form of another program
    #[arg(long, value_enum, requires = "out")]
    format: Option<Format>,
    /// Directory to write that form to: empty, or not there yet
    #[arg(long, value_name = "DIR", requires = "format")]
    out: Option<PathBuf>,
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
    /// Neuronpedia's name of the model [default: the atlas' name of it]
    #[arg(long, value_name = "NAME")]
    model_id: Option<String>,
    /// Neuronpedia's name of the release
    #[arg(long, value_name = "NAME", default_value = "glossator")]
    release: String,
    /// Neuronpedia's identity of the author
    #[arg(long, value_name = "NAME", default_value = "glossator")]
    author: String,
    /// The explainer whose explanations delphi's form holds [default: each unit's best]
    #[arg(long, value_name = "NAME")]
    explainer: Option<String>,
    /// The subject model, from whose weights OpenAI's form gets related neurons and the tokens that a neuron reads [default:
    /// where the atlas was recorded from, if it is there]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The licence that a data set's card names
    #[arg(long, value_name = "NAME", default_value = "other")]
    licence: String,
}

/// The forms of other programs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Openai,
    Neuronpedia,
    Delphi,
    Dataset,
}

impl Export {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let atlas = Atlas::open(&self.atlas)?;
        match (self.format, &self.out) {
            (Some(format), Some(out)) => self.write_format(&atlas, format, out),
            _ => self.write_page(atlas),
        }
    }

    fn write_page(&self, atlas: Atlas) -> anyhow::Result<ExitCode> {
        let Some(directory) = &self.page else {
            anyhow::bail!("name a directory with --static, or a --format")
        };
        let plan = self.plan(&atlas)?;
        let library = Library::new(atlas);
        let export = StaticExport::plan(&library, &plan, self.limit)?;
        let size = export.size()?;
        let megabytes = size.bytes as f64 / 1e6;
        output::note(&format!("{}, about {megabytes:.1} MB", output::count(size.units, "unit")));
        if self.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        let bar = output::progress(size.units, "units");
        export.write(directory, || bar.inc(1))?;
        bar.finish_and_clear();
        output::print(&format!("{}\n", directory.join("index.html").display()))?;
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

    /// What the model's weights connect neurons to. A model that was not asked for by name may be missing.
    fn connections(&self, atlas: &Atlas, units: &[UnitId]) -> anyhow::Result<openai::Connections> {
        let recorded = &atlas.manifest().run.model_location;
        let location = self.model.as_ref().or(Some(recorded).filter(|recorded| !recorded.is_empty()));
        let Some(location) = location else { return Ok(openai::Connections::default()) };
        let checkpoint = location::resolve(location).and_then(|path| Checkpoint::open(&path));
        match checkpoint {
            Ok(checkpoint) => Ok(openai::Connections::of(&checkpoint, units)?),
            Err(error) if self.model.is_none() => {
                output::note(&format!(
                    "without related neurons and what neurons read: {error} (name the model with --model)"
                ));
                Ok(openai::Connections::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn write_format(&self, atlas: &Atlas, format: Format, out: &Path) -> anyhow::Result<ExitCode> {
        let mut units: Vec<UnitId> = match self.plan(atlas)? {
            ExportPlan::All => (0..atlas.unit_count()).filter_map(|rank| atlas.unit_at(rank)).collect(),
            ExportPlan::Explained => explained_units(atlas)?.into_iter().collect(),
            ExportPlan::Units(units) => units,
        };
        units.truncate(self.limit.unwrap_or(usize::MAX));
        output::note(&output::count(units.len(), "unit"));
        if self.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        let bar = output::progress(units.len() as u64, "units");
        let progress = || bar.inc(1);
        match format {
            Format::Openai => {
                let connections = self.connections(atlas, &units)?;
                openai::write(atlas, &units, &connections, out, &progress)?;
            }
            Format::Neuronpedia => {
                let names = neuronpedia::Names {
                    model: self.model_id.clone().unwrap_or_else(|| atlas.manifest().run.model.clone()),
                    release: self.release.clone(),
                    author: self.author.clone(),
                };
                neuronpedia::write(atlas, &units, &names, out, &progress)?;
            }
            Format::Delphi => delphi::write(atlas, &units, self.explainer.as_deref(), out, &progress)?,
            Format::Dataset => dataset::write(atlas, &units, &self.licence, out, &progress)?,
        }
        bar.finish_and_clear();
        output::print(&format!("{}\n", out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
