//! `glossator llm`: tries a language model out before it is used.

mod ask;
mod ledger;
mod prices;
mod probe;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Try a language model out, and look at what was asked of it and what that cost
#[derive(Args)]
pub(crate) struct Llm {
    #[command(subcommand)]
    command: LlmCommand,
}

#[derive(Subcommand)]
enum LlmCommand {
    Probe(Box<probe::Probe>),
    Ask(Box<ask::Ask>),
    Prices(prices::Prices),
    Ledger(ledger::Ledger),
}

impl Llm {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            LlmCommand::Probe(command) => command.run(),
            LlmCommand::Ask(command) => command.run(),
            LlmCommand::Prices(command) => command.run(),
            LlmCommand::Ledger(command) => command.run(),
        }
    }
}
