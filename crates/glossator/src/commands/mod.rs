//! One file per subcommand: its arguments (`clap::Args`) and its `run(self) -> anyhow::Result<ExitCode>`.

pub(crate) mod completions;
pub(crate) mod reference;
pub(crate) mod serve;
