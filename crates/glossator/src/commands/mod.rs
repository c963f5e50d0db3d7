//! One file per subcommand: its arguments (`clap::Args`) and its `run(self) -> anyhow::Result<ExitCode>`.

pub(crate) mod activations;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod corpus;
pub(crate) mod doctor;
pub(crate) mod encode;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod llm;
pub(crate) mod merge;
pub(crate) mod prompts;
pub(crate) mod puzzles;
pub(crate) mod record;
pub(crate) mod reference;
pub(crate) mod report;
pub(crate) mod score;
pub(crate) mod serve;
pub(crate) mod train;
pub(crate) mod verify;
