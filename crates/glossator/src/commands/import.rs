//! `glossator import`: an atlas of another program's records.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;
use glossator_exchange::openai::{self, ImportPlan};
use glossator_model::HookPoint;

use crate::output;

/// Make an atlas of published neurons, so that the page and the other commands work on them
///
/// Reads the files of "Language models can explain neurons in language models" as they lie at their publisher:
/// DIR/collated-activations/{layer}/{neuron}.json and, where they are there, DIR/explanations/{layer}/{neuron}.jsonl.
/// What they do not say (density, histogram, token means) stays undefined in the atlas. Related tokens
/// and neurons (DIR/related-tokens, DIR/related-neurons) are checked and kept for an export.
///
/// Example:
///
///   glossator import gpt2-xl/ --atlas gpt2-xl.atlas --model-name gpt2-xl && glossator serve gpt2-xl.atlas
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Import {
    /// The directory with collated-activations in it
    directory: PathBuf,
    /// Where the atlas goes: empty, or not there yet
    #[arg(long, value_name = "DIR")]
    atlas: PathBuf,
    /// The subject model's name, for the page
    #[arg(long, value_name = "NAME", default_value = "gpt2-xl")]
    model_name: String,
    /// The hook point of a layer's units; {layer} stands for the layer
    #[arg(long, value_name = "HOOK", default_value = "blocks.{layer}.mlp.hook_post")]
    hook: String,
    /// Print what was imported as JSON
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let hook = |layer: u32| self.hook.replace("{layer}", &layer.to_string());
        ensure!(
            self.hook.contains("{layer}"),
            "--hook must say where the layer goes: blocks.{{layer}}.mlp.hook_post"
        );
        let check: Result<HookPoint, _> = hook(0).parse();
        check.with_context(|| format!("--hook {}", self.hook))?;
        let bar = output::progress(0, "readings");
        let plan = ImportPlan {
            source: &self.directory,
            atlas: &self.atlas,
            model: &self.model_name,
            hook: &|layer| hook(layer).parse().ok(),
        };
        let imported = openai::import(&plan, &|neurons| match neurons {
            Some(neurons) => bar.set_length(2 * neurons),
            None => bar.inc(1),
        })?;
        bar.finish_and_clear();
        if self.json {
            output::print_json(&imported)?;
        }
        output::note(&format!(
            "{}, {}, related tokens and neurons of {}",
            output::count(imported.neurons, "neuron"),
            output::count(imported.explanations, "explanation"),
            imported.related
        ));
        if imported.missing > 0 {
            output::note(&format!(
                "{} of the same layers without a record, shown empty",
                output::count(imported.missing, "unit")
            ));
        }
        if imported.unmatched > 0 {
            output::note(&format!(
                "{} scored sequences are none of their neuron's excerpts: their simulations are left out",
                imported.unmatched
            ));
        }
        if imported.without_distributions > 0 {
            output::note(&format!(
                "{} simulations have distributions that are on no scale from 0 to 10: these are left out",
                imported.without_distributions
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}
