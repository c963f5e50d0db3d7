//! `glossator convert`: a dictionary of one program in the files of another.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use glossator_dictionary::formats::Format;

use crate::arguments::dictionary_file::{FormatArgument, as_json, described, open};
use crate::output;

/// Write a dictionary (sparse autoencoder or transcoder) in the format of another program
///
/// What the other format has no word for is folded into the weights where that changes no latent and no
/// reconstruction; where it cannot be, nothing is written. BatchTopK becomes JumpReLU where there is no BatchTopK.
/// Pickled files are read without running anything in them.
#[derive(Args)]
#[command(after_help = "\
Examples:
  glossator convert layer_12/width_16k/params.npz my_sae --to saelens
  glossator convert trainer_0 gpt2_sae --to sparsify
  glossator convert sae_directory autoencoder.pt --to openai")]
pub(crate) struct Convert {
    /// The dictionary: a file or directory of any of the formats
    source: PathBuf,
    /// Where to write: a directory for saelens, sparsify, dictionary-learning and glossator, a file for the others
    target: PathBuf,
    /// The format to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: FormatArgument,
    /// The format of the source, if it is not what its files look like
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<FormatArgument>,
    /// Print what was converted as JSON
    #[arg(long)]
    json: bool,
}

impl Convert {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (dictionary, from) = open(&self.source, self.from)?;
        let to = Format::from(self.to);
        let target = self.target.display();
        ensure!(!self.target.exists(), "{target} is already there: remove it, or write somewhere else");
        to.write(&dictionary, &self.target)?;
        if self.json {
            output::print_json(&as_json(&dictionary, from))?;
        }
        output::note(&format!("{target}: {} ({from} to {to})", described(&dictionary)));
        Ok(ExitCode::SUCCESS)
    }
}
