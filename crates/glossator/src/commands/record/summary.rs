//! What a recording did and what it cost.

use std::path::{Path, PathBuf};
use std::time::Duration;

use glossator_atlas::RecordSettings;
use serde::Serialize;

use crate::output;

/// The summary at the end of a recording. Times are in seconds of wall clock.
#[derive(Serialize)]
pub(crate) struct Summary {
    /// What was written.
    pub(crate) written: PathBuf,
    pub(crate) units: u64,
    pub(crate) hooks: usize,
    /// Tokens of this run of the program; those before a checkpoint do not count.
    pub(crate) tokens: u64,
    /// The whole pass.
    pub(crate) pass: f64,
    /// Of the pass: the model's forward.
    pub(crate) forward: f64,
    /// Of the pass: recording.
    pub(crate) recording: f64,
    /// Statistics, excerpts and token means.
    pub(crate) writing: f64,
    /// Logit weights, neighbours and the database.
    pub(crate) finishing: f64,
}

impl Summary {
    pub(crate) fn new(written: &Path, settings: &RecordSettings) -> Self {
        Self {
            written: written.to_owned(),
            units: settings.units(),
            hooks: settings.hooks.len(),
            tokens: 0,
            pass: 0.0,
            forward: 0.0,
            recording: 0.0,
            writing: 0.0,
            finishing: 0.0,
        }
    }

    /// Divides the time of the pass: `recording` is summed over the threads that share it.
    pub(crate) fn passed(&mut self, pass: Duration, recording: Duration) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        self.pass = pass.as_secs_f64();
        self.recording = recording.as_secs_f64() / threads as f64;
        self.forward = (self.pass - self.recording).max(0.0);
    }

    /// To standard error for people, and to standard output as JSON if asked for.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        output::note(&format!(
            "wrote {}: {} at {}",
            self.written.display(),
            output::count(self.units, "unit"),
            output::count(self.hooks, "hook point")
        ));
        if self.tokens > 0 {
            output::note(&format!(
                "{} tokens in {:.1} s ({:.0} tokens/s): forward {:.1} s, recording {:.1} s (+{:.0} %)",
                self.tokens,
                self.pass,
                self.tokens as f64 / self.pass,
                self.forward,
                self.recording,
                100.0 * self.recording / self.forward.max(1e-9),
            ));
        }
        output::note(&format!(
            "writing {:.1} s, directions and database {:.1} s",
            self.writing, self.finishing
        ));
        if json { output::print_json(self) } else { Ok(()) }
    }
}
