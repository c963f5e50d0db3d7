//! `glossator reference`: the command-line reference as Markdown, from which `docs/reference/cli.md` is made.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};

use crate::{cli::Cli, output};

/// Print the reference of every subcommand as Markdown
#[derive(Args)]
pub(crate) struct Reference {}

impl Reference {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self {} = self;
        output::print(&markdown()?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The help of the program and of each subcommand, one Markdown section each.
fn markdown() -> Result<String, std::fmt::Error> {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = String::from(
        "# Command-line reference\n\n<!-- Written by `glossator reference`; a test keeps it current. -->\n",
    );
    section(&mut text, &mut command)?;
    Ok(text)
}

/// A command's help, and that of its subcommands after it.
fn section(text: &mut String, command: &mut Command) -> std::fmt::Result {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end())?;
    for subcommand in command.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
        section(text, subcommand)?;
    }
    Ok(())
}
