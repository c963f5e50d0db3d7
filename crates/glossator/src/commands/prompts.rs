//! `glossator prompts`: writes the prompts of explainers, simulators and scorers as files to edit.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use glossator_explain::prompts::Prompts;

use crate::output;

/// Write the prompts that language models are asked with, for editing
///
/// Every explainer, simulator and scorer asks with a template file. Edit some of the files and give the directory to
/// `explain`, `score` and `puzzles`:
///
///     glossator prompts my-prompts
///     glossator explain --atlas run.atlas --explainer llm:max-act --prompts my-prompts
///
/// Files that are in the directory already are left as they are; a file that is deleted falls back to the built-in one.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct WritePrompts {
    /// Where to write them
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl WritePrompts {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let written = Prompts::write_defaults(&self.directory)?;
        for path in &written {
            output::print(&format!("{}\n", path.display()))?;
        }
        if written.is_empty() {
            output::note(&format!("{} has all of them already", self.directory.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
