//! Prints token windows of a corpus, one a line, for `glossator activations --tokens-file` and other programs.
//!
//! `token_windows MODEL CORPUS CONTEXT WINDOWS`
#![allow(clippy::print_stdout, reason = "the output is data")]

use std::path::Path;

use glossator_corpus::{Corpus, CorpusPlan, Shard};
use glossator_model::checkpoint::Checkpoint;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, corpus, context, windows] = &arguments[..] else {
        return Err("usage: token_windows MODEL CORPUS CONTEXT WINDOWS".into());
    };
    let (context, windows): (usize, usize) = (context.parse()?, windows.parse()?);
    let tokenizer = Checkpoint::open(Path::new(model))?.tokenizer()?;
    let plan = CorpusPlan {
        sources: vec![corpus.into()],
        context,
        tokens: (windows * context) as u64,
        ..CorpusPlan::default()
    };
    let corpus = Corpus::open(&plan, &tokenizer)?;
    for window in corpus.batches(64, Shard::WHOLE).flatten() {
        println!("{}", window.tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}
