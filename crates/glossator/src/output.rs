//! What the user sees besides data: logs, errors with hints, progress bars. All of it goes to standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Error;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::EnvFilter;

use crate::progress_lines::{self, ProgressLines};
use crate::time_left::{Pace, Shown};

/// Sends logs to standard error, at the level that `-v` asks for unless `RUST_LOG` says otherwise.
pub(crate) fn init_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours(&io::stderr()))
        .without_time()
        .init();
}

/// Whether a stream should be coloured: a terminal, and `NO_COLOR` not set.
fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A number of things: `1 unit`, `2 units`.
pub(crate) fn count(number: impl Copy + fmt::Display + PartialEq + From<u8>, thing: &str) -> String {
    let ending = if number == 1.into() { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

/// Prints the error and its causes on one line, and every hint on a line of its own.
pub(crate) fn print_error(error: &Error) {
    let (red, reset) = if colours(&io::stderr()) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    // Nothing is left to report to when standard error itself is closed.
    let _ = writeln!(io::stderr(), "{red}error{reset}: {}", causes(error));
}

/// The error and its causes. Many errors name their cause themselves; it is not said twice.
fn causes(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Whether the reader of our standard output went away (`glossator … | head`), which is not a failure.
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes data to standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Writes a value to standard output as indented JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// A note to the user on standard error, such as what a run is about to do.
pub(crate) fn note(text: &str) {
    // A closed standard error must not stop the work.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A progress bar like [`progress`], for runs that ask a language model: its message is the running totals.
pub(crate) fn progress_of_calls(total: u64, what: &str) -> ProgressBar {
    bar(
        total,
        &format!(
            "{{prefix:>10}} [{{bar:20}}] {{human_pos}}/{{human_len}} {what} {{rate}}, {{left}} left; {{wide_msg}}"
        ),
    )
}

/// A progress bar over `total` things of the given name (`tokens`, `units`), with rate and time left; a line now and then
/// where standard error is no terminal.
pub(crate) fn progress(total: u64, what: &str) -> ProgressBar {
    bar(
        total,
        &format!("{{msg:>10}} [{{bar:30}}] {{human_pos}}/{{human_len}} {what} {{rate}}, {{left}} left"),
    )
}

fn bar(total: u64, template: &str) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::term_like_with_hz(
            Box::new(ProgressLines::new(io::stderr(), progress_lines::EVERY)),
            1,
        )
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        let style = style.with_key("rate", Pace::new(Shown::Rate)).with_key("left", Pace::new(Shown::Left));
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_several() {
        let counts = [count(0_u64, "unit"), count(1_u64, "unit"), count(2_usize, "common unit")];
        assert_eq!(counts, ["0 units", "1 unit", "2 common units"]);
    }

    #[test]
    fn a_cause_is_said_once() {
        let path = std::path::Path::new("missing.txt");
        let source =
            glossator_corpus::CorpusError::Io { path: path.into(), source: io::Error::other("gone") };
        assert_eq!(causes(&Error::new(source)), "cannot read missing.txt: gone");
        let source = Error::new(io::Error::other("gone")).context("cannot open the atlas");
        assert_eq!(causes(&source), "cannot open the atlas: gone");
    }
}
