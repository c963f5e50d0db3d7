//! `glossator llm prices`: the table that costs are counted with.

use std::process::ExitCode;

use clap::Args;
use glossator_llm::prices::{BUILT_IN, Prices as Table};

use crate::output;

/// Print the built-in table of prices, to be edited and given with --prices
#[derive(Args)]
#[command(after_help = "\
Example:
  glossator llm prices > prices.toml")]
pub(crate) struct Prices {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Prices {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if self.json {
            output::print_json(&Table::built_in())?;
        } else {
            output::print(BUILT_IN)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
