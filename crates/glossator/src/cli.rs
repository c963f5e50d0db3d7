//! The list of subcommands. Each lives in a file of its own under `commands/`, which owns its flags, its
//! help text and its `run`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    activations, completions, convert, corpus, doctor, encode, evaluate, explain, export, generate, import,
    inspect, llm, merge, prompts, puzzles, record, reference, report, score, serve, train, verify,
};

/// Glossator explains language models from the inside: it records what every neuron does, explains it,
/// scores the explanation against the real activations, and shows it all on a page.
#[derive(Parser)]
#[command(name = "glossator", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// Log more to standard error (-v: information, -vv: debugging); `RUST_LOG` overrides
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Inspect(inspect::Inspect),
    Doctor(doctor::Doctor),
    Activations(activations::Activations),
    Generate(generate::Generate),
    Evaluate(Box<evaluate::Evaluate>),
    Explain(Box<explain::Explain>),
    Score(Box<score::Score>),
    Report(report::ReportCommand),
    Puzzles(Box<puzzles::Puzzles>),
    Prompts(prompts::WritePrompts),
    Record(Box<record::Record>),
    Train(train::Train),
    Llm(Box<llm::Llm>),
    Merge(merge::Merge),
    Corpus(corpus::Corpus),
    Convert(convert::Convert),
    Encode(encode::Encode),
    Verify(verify::Verify),
    Serve(serve::Serve),
    Export(export::Export),
    Import(import::Import),
    Completions(completions::Completions),
    Reference(reference::Reference),
}

impl Command {
    /// Runs the subcommand; the exit code lets a command that succeeded in running report a negative verdict.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Inspect(command) => command.run(),
            Self::Doctor(command) => command.run(),
            Self::Activations(command) => command.run(),
            Self::Generate(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Explain(command) => command.run(),
            Self::Score(command) => command.run(),
            Self::Report(command) => command.run(),
            Self::Puzzles(command) => command.run(),
            Self::Prompts(command) => command.run(),
            Self::Record(command) => command.run(),
            Self::Train(command) => command.run(),
            Self::Llm(command) => command.run(),
            Self::Merge(command) => command.run(),
            Self::Corpus(command) => command.run(),
            Self::Convert(command) => command.run(),
            Self::Encode(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Serve(command) => command.run(),
            Self::Export(command) => command.run(),
            Self::Import(command) => command.run(),
            Self::Completions(command) => command.run(),
            Self::Reference(command) => command.run(),
        }
    }
}
