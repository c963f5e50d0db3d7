//! How text becomes windows: the arguments that `corpus` and `record` share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use glossator_corpus::{BosPolicy, CorpusPlan, Format, Split};

/// Everything about a corpus but where it lies.
#[derive(Args, Clone)]
#[command(next_help_heading = "Corpus")]
pub(crate) struct CorpusArgs {
    /// Tokens to take, in windows of --context tokens
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    tokens: u64,
    /// Window length in tokens, the BOS token included where there is one
    #[arg(long, default_value_t = 64, value_name = "N")]
    context: usize,
    /// Decides the order of documents and the places of windows
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// The JSONL field or Parquet column that holds the text
    #[arg(long, default_value = "text", value_name = "NAME")]
    text_field: String,
    /// Format of standard input and of files whose extension says nothing
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    format: FormatArg,
    /// Whether windows begin with the BOS token; auto follows the tokenizer's own file
    #[arg(long, value_enum, default_value_t = BosArg::Auto)]
    bos: BosArg,
    /// Share of the documents that is held out, chosen by a hash of the text
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    held_out: f64,
    /// Which side of the held-out split to read
    #[arg(long, value_enum, default_value_t = SplitArg::Train)]
    split: SplitArg,
    /// Windows a document gives before every other document has given as many
    #[arg(long, default_value_t = 4, value_name = "N")]
    windows_per_document: usize,
    /// Leave out JSONL lines that cannot be used instead of stopping
    #[arg(long)]
    skip_bad_lines: bool,
}

impl CorpusArgs {
    /// The plan for these sources.
    pub(crate) fn plan(&self, sources: Vec<PathBuf>) -> CorpusPlan {
        CorpusPlan {
            sources,
            format: match self.format {
                FormatArg::Text => Format::Text,
                FormatArg::Jsonl => Format::Jsonl,
                FormatArg::Parquet => Format::Parquet,
            },
            text_field: self.text_field.clone(),
            label_field: None,
            context: self.context,
            tokens: self.tokens,
            seed: self.seed,
            bos: match self.bos {
                BosArg::Auto => BosPolicy::Auto,
                BosArg::Always => BosPolicy::Always,
                BosArg::Never => BosPolicy::Never,
            },
            held_out: self.held_out,
            split: match self.split {
                SplitArg::Train => Split::Train,
                SplitArg::HeldOut => Split::HeldOut,
            },
            windows_per_document: self.windows_per_document,
            skip_bad_lines: self.skip_bad_lines,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    Text,
    Jsonl,
    Parquet,
}

#[derive(Clone, Copy, ValueEnum)]
enum BosArg {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitArg {
    Train,
    HeldOut,
}
