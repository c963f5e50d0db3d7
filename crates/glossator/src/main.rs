//! The `glossator` command line.
fn main() {}
