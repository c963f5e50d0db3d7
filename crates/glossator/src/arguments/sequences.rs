//! `--text`, `--tokens` and `--tokens-file`: the tokens that a model is run on.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use glossator_model::Tokenizer;

/// Exactly one source of tokens.
#[derive(Args)]
pub(crate) struct Sequences {
    #[command(flatten)]
    source: Source,
    /// Whether a text begins with the beginning-of-sequence token; `auto` follows the tokenizer's own file
    #[arg(long, value_enum, default_value_t = Bos::Auto)]
    bos: Bos,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A text
    #[arg(long)]
    text: Option<String>,
    /// Token ids, separated by commas, taken as they are
    #[arg(long, value_delimiter = ',')]
    tokens: Option<Vec<u32>>,
    /// A file of token ids: one sequence a line, ids separated by spaces or commas
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,
}

/// Whether a text begins with the beginning-of-sequence token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bos {
    /// As the tokenizer's own file says
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Sequences {
    /// The tokens. The tokenizer is only asked for when there is a text.
    pub(crate) fn read<'t>(
        &self,
        tokenizer: impl FnOnce() -> anyhow::Result<&'t Tokenizer>,
    ) -> anyhow::Result<Vec<Vec<u32>>> {
        if let Some(text) = &self.source.text {
            return Ok(vec![encode(text, tokenizer()?, self.bos)?]);
        }
        if let Some(tokens) = &self.source.tokens {
            return Ok(vec![tokens.clone()]);
        }
        let Some(path) = &self.source.tokens_file else { bail!("give --text, --tokens or --tokens-file") };
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut sequences = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let ids = line.split([',', ' ', '\t']).filter(|id| !id.is_empty());
            let ids: Vec<u32> = ids
                .map(|id| {
                    id.parse().with_context(|| {
                        format!("{}:{}: `{id}` is not a token id", path.display(), number + 1)
                    })
                })
                .collect::<anyhow::Result<_>>()?;
            if !ids.is_empty() {
                sequences.push(ids);
            }
        }
        ensure!(!sequences.is_empty(), "{}: there are no token ids", path.display());
        Ok(sequences)
    }
}

/// The tokens of a text.
pub(crate) fn encode(text: &str, tokenizer: &Tokenizer, bos: Bos) -> anyhow::Result<Vec<u32>> {
    let mut tokens = Vec::new();
    if bos == Bos::Always || (bos == Bos::Auto && tokenizer.add_bos()) {
        tokens.push(
            tokenizer.bos().context("the tokenizer has no beginning-of-sequence token: use --bos never")?,
        );
    }
    tokens.extend(tokenizer.encode(text)?);
    ensure!(!tokens.is_empty(), "the text is empty");
    Ok(tokens)
}
