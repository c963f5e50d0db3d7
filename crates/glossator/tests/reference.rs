//! The written reference is what the program says of itself.
#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::path::Path;

use assert_cmd::Command;

#[test]
fn the_command_line_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let output = Command::cargo_bin("glossator").unwrap().arg("reference").output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), written, "run `make reference`");
}
