//! `glossator corpus`: what a corpus holds and which windows a record would take of it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use glossator_corpus::{Corpus as Windows, CorpusReport, DocumentOrigin};
use glossator_model::Tokenizer;
use serde::Serialize;

use crate::arguments::{corpus::CorpusArgs, model};
use crate::output;

/// Show what a corpus holds and which windows of it would be recorded
#[derive(Args)]
#[command(after_help = "\
Reads .txt, .md, .jsonl and .parquet, each also as .gz or .zst. A directory gives all such files below it; a file named
by itself is read whatever its extension (--format). Texts longer than 64 KiB are cut into several documents.

Examples:
  glossator corpus texts/ --model model.gguf
  zcat dump.jsonl.gz | glossator corpus - --format jsonl --text-field body --model hf:EleutherAI/pythia-70m")]
pub(crate) struct Corpus {
    /// Files, directories, globs, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    sources: Vec<PathBuf>,
    /// The model whose tokenizer cuts the text: a directory, a .gguf file, or hf:org/name[@revision]
    #[arg(long)]
    model: String,
    #[command(flatten)]
    cut: CorpusArgs,
    /// How many windows to show
    #[arg(long, default_value_t = 5, value_name = "N")]
    samples: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One window of the order, as text.
#[derive(Serialize)]
struct Sample {
    window: u32,
    #[serde(flatten)]
    origin: DocumentOrigin,
    offset: u32,
    text: String,
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    report: &'a CorpusReport,
    samples: Vec<Sample>,
}

impl Corpus {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let tokenizer = model::open(&self.model)?.tokenizer()?;
        let windows = Windows::open(&self.cut.plan(self.sources), &tokenizer)?;
        let samples = samples(&windows, &tokenizer, self.samples)?;
        let report = windows.report();
        if self.json {
            output::print_json(&Output { report, samples })?;
        } else {
            output::print(&described(report, &samples)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Windows at equal distances in the order.
fn samples(windows: &Windows, tokenizer: &Tokenizer, count: usize) -> anyhow::Result<Vec<Sample>> {
    let count = count.min(windows.len());
    (0..count)
        .map(|i| {
            let window =
                windows.window((i * windows.len() / count) as u32).context("a window of the order")?;
            let origin = windows.origin(window.document).context("the window's document")?;
            let text = tokenizer.decode(&window.tokens);
            Ok(Sample { window: window.id, origin, offset: window.offset, text })
        })
        .collect()
}

fn described(report: &CorpusReport, samples: &[Sample]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let bos = if report.begins_with_bos { "each with BOS" } else { "without BOS" };
    let rows = [
        ("files", format!("{}, {} bytes of text", report.files, report.text_bytes)),
        ("documents", format!("{}, of which {} repeat another", report.documents, report.duplicates)),
        ("split", format!("{} train, {} held out", report.train_documents, report.held_out_documents)),
        (
            "tokenised",
            format!(
                "{} documents, of which {} are shorter than a window",
                report.tokenised_documents, report.short_documents
            ),
        ),
        ("windows", format!("{}, {bos}", report.windows)),
        ("rounds", report.rounds.to_string()),
        ("tokens", format!("{} of {} wanted", report.tokens, report.wanted_tokens)),
        ("not UTF-8", report.invalid_utf8_count.to_string()),
        ("bad lines", report.bad_line_count.to_string()),
        ("fingerprint", report.fingerprint.clone()),
    ];
    for (name, value) in rows {
        writeln!(text, "{name:<12} {value}")?;
    }
    for place in &report.invalid_utf8 {
        let row = place.row.map_or(String::new(), |row| format!(" of row {row}"));
        writeln!(text, "not UTF-8: {}, byte {}{row}", place.path.display(), place.offset)?;
    }
    for line in &report.bad_lines {
        writeln!(text, "left out: {}:{}: {}", line.path.display(), line.line, line.reason)?;
    }
    for Sample { window, origin, offset, text: sample } in samples {
        let (path, ordinal) = (origin.path.display(), origin.ordinal);
        writeln!(text, "\nwindow {window}: {path}, document {ordinal}, token {offset}\n  {sample:?}")?;
    }
    Ok(text)
}
