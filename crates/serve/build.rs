//! Rebuilds this crate when the page was built anew: the files' names change with their content.

fn main() {
    println!("cargo:rerun-if-changed=../../web/dist");
}
