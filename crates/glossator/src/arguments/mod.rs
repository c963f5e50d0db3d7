//! Groups of arguments that several subcommands share.
