//! Writes a made-up atlas: `synthetic_atlas DIR [LAYERS [UNITS [EXPLAINED [CONTEXT [words]]]]]`.
//!
//! The browser tests use a small one; one of 30 layers, 1,536 units and 64 tokens a window has the size of a real one.

use std::path::PathBuf;
use std::process::ExitCode;

use glossator_atlas::testing::{explain_synthetic, explain_synthetic_in_words, write_synthetic_of};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u32| {
        arguments.get(place).map_or(Ok(default), |text| text.parse::<u32>().map_err(|_| text.clone()))
    };
    let sizes = (number(1, 3), number(2, 120), number(3, 60), number(4, 16));
    let (Some(directory), (Ok(layers), Ok(units), Ok(explained), Ok(context))) = (arguments.first(), sizes)
    else {
        report("usage: synthetic_atlas DIR [LAYERS [UNITS [EXPLAINED [CONTEXT [words]]]]]");
        return ExitCode::from(2);
    };
    let directory = PathBuf::from(directory);
    let written = write_synthetic_of(&directory, layers as usize, units, context as usize)
        .and_then(|()| explain_synthetic(&directory, explained))
        .and_then(|()| match arguments.get(5) {
            Some(_) => explain_synthetic_in_words(&directory),
            None => Ok(()),
        });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "an example has no other place for its messages")]
fn report(message: &str) {
    eprintln!("{message}");
}
