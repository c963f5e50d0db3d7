//! `glossator doctor`: does the model that was loaded behave like a language model?
//!
//! Perplexity is `exp(−mean log p(token | tokens before it))` over all tokens of a text but the first of each window.

mod checks;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use glossator_model::{Architecture, Batch, Model, Run, Tokenizer};
use serde::Serialize;

use crate::arguments::model::{PrecisionArgument, load};
use crate::output;

/// Check that a model was understood: perplexity, bf16 against f32, the BOS convention
///
/// A model read with a wrong convention still runs, and gives worse numbers. These checks make that visible. The exit
/// code is 1 if a check fails.
#[derive(Args)]
#[command(after_help = "Examples:\n  glossator doctor model.gguf\n  \
                        glossator doctor hf:EleutherAI/pythia-70m --text-file my_corpus.txt")]
pub(crate) struct Doctor {
    /// The model: a Hugging Face directory, a .gguf file, or hf:organisation/name[@revision]
    model: String,
    /// Check on this text instead of the built-in English one
    #[arg(long, value_name = "FILE")]
    text_file: Option<PathBuf>,
    /// Use at most this many tokens of the text
    #[arg(long, default_value_t = 2048)]
    max_tokens: usize,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// A few hundred words of plain English.
const TEXT: &str = include_str!("text.txt");
/// Tokens read in one piece: enough context, and little memory for the logits.
const WINDOW: usize = 256;

/// What a check found.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    message: String,
}

/// How serious it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Fail,
}

impl Doctor {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let text = match &self.text_file {
            Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
            None => TEXT.to_owned(),
        };
        let mut findings = Vec::new();
        output::note("reading the text with f32 products");
        let model = load(&self.model, PrecisionArgument::F32)?;
        let tokenizer = model.tokenizer()?.clone();
        findings.push(checks::tokenizer(&tokenizer, model.architecture(), &text)?);
        let mut tokens = tokenizer.encode(&text)?;
        tokens.truncate(self.max_tokens);
        let windows = windows(&tokens, model.architecture());
        let own = with_bos(&windows, &tokenizer, tokenizer.add_bos());
        let truth = Reading::of(&model, &own, tokenizer.add_bos())?;
        findings.push(checks::perplexity(&truth, model.architecture().vocab_size, self.text_file.is_some()));
        if tokenizer.bos().is_some() {
            let other = with_bos(&windows, &tokenizer, !tokenizer.add_bos());
            let other = Reading::of(&model, &other, !tokenizer.add_bos())?;
            findings.push(checks::bos(&truth, &other, tokenizer.add_bos()));
        }
        drop(model);
        output::note("reading the text with bf16 products");
        let rounded = Reading::of(&load(&self.model, PrecisionArgument::Bf16)?, &own, tokenizer.add_bos())?;
        findings.push(checks::precision(&truth, &rounded));
        self.report(&findings)
    }

    fn report(&self, findings: &[Finding]) -> anyhow::Result<ExitCode> {
        if self.json {
            output::print_json(&findings)?;
        } else {
            for Finding { check, verdict, message } in findings {
                let verdict = match verdict {
                    Verdict::Ok => "ok",
                    Verdict::Warning => "warning",
                    Verdict::Fail => "FAIL",
                };
                output::print(&format!("{verdict:<8} {check:<12} {message}\n"))?;
            }
        }
        let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// The text in pieces that leave room for one more token. A last piece too short to predict anything is left out.
fn windows<'a>(tokens: &'a [u32], architecture: &Architecture) -> Vec<&'a [u32]> {
    let length = WINDOW.min(architecture.context_length.saturating_sub(1)).max(2);
    tokens.chunks(length).filter(|window| window.len() > 1).collect()
}

fn with_bos(windows: &[&[u32]], tokenizer: &Tokenizer, add: bool) -> Vec<Vec<u32>> {
    let bos = tokenizer.bos().filter(|_| add);
    windows.iter().map(|window| bos.into_iter().chain(window.iter().copied()).collect()).collect()
}

/// What a model predicts on a text.
struct Reading {
    /// Log-probability of each token that has one before it, the same tokens with and without BOS.
    log_probabilities: Vec<f64>,
    /// Logits of all positions of the text, `[position, vocab_size]`.
    logits: Vec<f32>,
    vocab_size: usize,
}

impl Reading {
    /// Reads windows, each of which begins with BOS or not.
    fn of(model: &Model, windows: &[Vec<u32>], bos: bool) -> anyhow::Result<Self> {
        let vocab_size = model.architecture().vocab_size;
        let mut reading = Self { log_probabilities: Vec::new(), logits: Vec::new(), vocab_size };
        for window in windows {
            let run = Run { logits: true, ..Run::default() };
            let logits = model.run(&Batch::from_sequences(&[window]), &run, &())?;
            let logits = logits.context("the model gave no logits")?.data;
            let skipped = usize::from(bos);
            let rows = logits.chunks_exact(vocab_size).zip(&window[1..]);
            reading
                .log_probabilities
                .extend(rows.skip(skipped).map(|(row, &token)| log_probability(row, token)));
            reading.logits.extend_from_slice(&logits[skipped * vocab_size..]);
        }
        Ok(reading)
    }

    fn perplexity(&self) -> f64 {
        let count = self.log_probabilities.len() as f64;
        (-self.log_probabilities.iter().sum::<f64>() / count).exp()
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.vocab_size)
    }
}

/// `log softmax(logits)[token]`
fn log_probability(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let own = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    f64::from(own - largest) - sum.ln()
}
