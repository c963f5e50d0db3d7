//! Groups of arguments that several subcommands share.

pub(crate) mod asking;
pub(crate) mod corpus;
pub(crate) mod dictionary;
pub(crate) mod dictionary_file;
pub(crate) mod hook_names;
pub(crate) mod llm;
pub(crate) mod model;
pub(crate) mod run_file;
pub(crate) mod selection;
pub(crate) mod sequences;
pub(crate) mod subject;
