//! The `glossator` command line: parse, run one subcommand, turn an error into a message and an exit code.
//!
//! Standard output carries data; progress, logs and errors go to standard error. Exit codes: 0 success,
//! 1 failure, 2 wrong usage, 130 interrupted.

#![allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    reason = "doc comments of arguments are help texts, not Markdown"
)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

use clap::Parser;

mod arguments;
mod checksum;
mod cli;
mod commands;
mod output;
mod progress_lines;
mod report;
mod tensor_file;
mod time_left;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    output::init_logging(cli.verbose);
    match cli.command.run() {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
