//! Groups of arguments that several subcommands share.

pub(crate) mod model;
pub(crate) mod sequences;
