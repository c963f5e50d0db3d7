//! `glossator evaluate`: how good dictionaries are, beside baselines, in one pass over text.

mod candidates;
mod explanations;
mod page;
mod pass;
mod report;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use glossator_dictionary::evaluation::CandidateKind;
use glossator_explain::explaining::Explainer;

use crate::arguments::corpus::CorpusArgs;
use crate::arguments::dictionary::Location;
use crate::arguments::model::PrecisionArgument;
use crate::output;

/// Measure dictionaries: sparsity, reconstruction, and what they cost the model, beside baselines
///
/// Runs the model over a corpus once for all dictionaries and measures how few latents are active (L0, L1, densities,
/// dead latents), how close reconstructions are (explained variance and others), and on the first --loss-tokens how the
/// next-token prediction changes when the reconstruction takes the place of the activations, against zero and mean
/// ablation, and how many logits a single latent moves. With --label-field, also what single latents know of the kind of
/// text. The same is measured of baselines that are as sparse: the coordinates of the hook point, principal
/// components, and random directions; and of the dictionaries on the same model with shuffled weights. Every metric is defined in docs/concepts/dictionary-metrics.md; what is undefined
/// is shown as – (null in JSON).
#[derive(Args)]
#[command(after_help = "\
Examples:
  glossator evaluate --model model.gguf --dictionary sae/ --corpus texts/ --tokens 200000
  glossator evaluate --model model.gguf --dictionary small/ --dictionary blocks.15.hook_resid_post=large/ \\
      --corpus texts/ --split held-out --json --html report.html > metrics.json
  glossator evaluate --model model.gguf --dictionary sae/ --corpus labelled.jsonl --label-field language")]
pub(crate) struct Evaluate {
    /// The model: a Hugging Face directory, a .gguf file, or hf:organisation/name[@revision]
    #[arg(long)]
    model: String,
    /// A sparse dictionary (a directory or file of any known format); HOOK= says what it reads where its file does not.
    /// May be given several times
    #[arg(long = "dictionary", value_name = "[HOOK=]PATH", required = true)]
    dictionaries: Vec<Location>,
    /// Files, directories, globs, or `-` for standard input; may be given several times
    #[arg(long = "corpus", value_name = "PATH", required = true)]
    sources: Vec<PathBuf>,
    #[command(flatten)]
    corpus: CorpusArgs,
    /// Tokens, in whole windows, on which the model also runs with replaced activations: once for each dictionary and
    /// baseline, and twice for each hook point; 0 for none
    #[arg(long, default_value_t = 16_384, value_name = "N")]
    loss_tokens: u64,
    /// Tokens, in windows of their own, from which mean activations, principal components and the sparsity of baselines
    /// are taken
    #[arg(long, default_value_t = 65_536, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    calibration_tokens: u64,
    /// Leave out the first N positions of each window, besides special tokens: attention sinks are unlike all else
    #[arg(long, default_value_t = 1, value_name = "N")]
    skip_first: usize,
    /// Windows in each of which one latent of each dictionary and baseline is ablated at one position, to see how many
    /// logits it moves; 0 for none
    #[arg(long, default_value_t = 64, value_name = "N")]
    ablation_windows: usize,
    /// Words of the vocabulary on which feature absorption of first letters is measured; 0 for none
    #[arg(long, default_value_t = 4096, value_name = "N")]
    absorption_words: usize,
    /// The field of a JSONL line that says what kind of text it is: latents are probed for its values
    #[arg(long, value_name = "NAME")]
    label_field: Option<String>,
    /// Windows at most that are probed for labels
    #[arg(long, default_value_t = 4096, value_name = "N")]
    probe_windows: usize,
    /// An atlas in which the dictionaries' features are recorded and explained: measures how well explanations predict where
    /// features fire, and what the model loses when features are predicted instead of computed
    #[arg(long, value_name = "DIR")]
    atlas: Option<PathBuf>,
    /// Whose explanations are measured, with --atlas
    #[arg(
        long = "explainer",
        value_delimiter = ',',
        default_value = "n2g,n2g+lookup,lookup",
        value_name = "NAMES"
    )]
    explainers: Vec<Explainer>,
    /// What dictionaries are held against
    #[arg(long, value_enum, value_delimiter = ',', default_value = "coordinates,components,random,shuffled")]
    baselines: Vec<Baseline>,
    /// A dictionary that was trained on the same model with shuffled weights (shuffled_weights = true in a run file):
    /// measured there, beside the others. May be given several times
    #[arg(long = "shuffled-dictionary", value_name = "[HOOK=]PATH")]
    shuffled_dictionaries: Vec<Location>,
    /// Number format of the model's matrix products; dictionaries are f32 always
    #[arg(long, value_enum, default_value_t = PrecisionArgument::Auto)]
    precision: PrecisionArgument,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also write a page with tables and charts that stands alone
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// A baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Baseline {
    /// The coordinates of the hook point: neurons where it is the MLP's, the largest kept
    Coordinates,
    /// The leading principal components
    Components,
    /// Random directions
    Random,
    /// The dictionaries on the same model with shuffled weights
    Shuffled,
    /// No baseline
    None,
}

impl Baseline {
    fn kind(self) -> Option<CandidateKind> {
        match self {
            Self::Coordinates => Some(CandidateKind::Coordinates),
            Self::Components => Some(CandidateKind::PrincipalComponents),
            Self::Random => Some(CandidateKind::RandomDictionary),
            Self::Shuffled | Self::None => None,
        }
    }
}

impl Evaluate {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let report = pass::Prepared::new(&self)?.run(&self)?;
        if let Some(path) = &self.html {
            std::fs::write(path, page::page(&report))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json {
            output::print_json(&report)?;
        } else {
            output::print(&tables::text(&report))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
