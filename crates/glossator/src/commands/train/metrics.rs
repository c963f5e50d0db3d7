//! What a dictionary's training says of itself, step by step: a line of JSON, and TensorBoard's events.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use glossator_dictionary::training::EventFile;
use serde::{Deserialize, Serialize};

/// The name of the file of JSON lines.
const LINES: &str = "metrics.jsonl";

/// One line of the metrics file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Metrics {
    pub(super) step: u64,
    /// Rows learnt from.
    pub(super) rows: u64,
    pub(super) loss: f64,
    pub(super) squared_error: f64,
    /// Of the batch; none if all its rows are equal.
    pub(super) explained_variance: Option<f64>,
    pub(super) l0: f64,
    pub(super) extra_loss: f64,
    pub(super) dead_share: f64,
    pub(super) learning_rate: f64,
    /// Latents that began anew before this step.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) resampled: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The lengths of both files at a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    lines: u64,
    events: u64,
}

/// Both files.
pub(super) struct MetricsFiles {
    lines: File,
    events: EventFile,
}

impl MetricsFiles {
    /// Opens the files of a dictionary's directory. What was written after `written` is written again.
    pub(super) fn open(directory: &Path, written: Written) -> anyhow::Result<Self> {
        let path = directory.join(LINES);
        let lines = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        lines.set_len(written.lines.min(lines.metadata()?.len()))?;
        let path = directory.join("events.out.tfevents.0");
        let events = EventFile::open(&path, written.events)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { lines, events })
    }

    /// How much is written.
    pub(super) fn written(&self) -> anyhow::Result<Written> {
        Ok(Written { lines: self.lines.metadata()?.len(), events: self.events.bytes()? })
    }

    /// Writes a step's metrics.
    pub(super) fn write(&mut self, metrics: &Metrics) -> anyhow::Result<()> {
        let line = format!("{}\n", serde_json::to_string(metrics)?);
        self.lines.write_all(line.as_bytes()).context("cannot write the metrics")?;
        let mut scalars = vec![
            ("loss", metrics.loss),
            ("l0", metrics.l0),
            ("dead_share", metrics.dead_share),
            ("learning_rate", metrics.learning_rate),
        ];
        scalars.extend(metrics.explained_variance.map(|value| ("explained_variance", value)));
        self.events.scalars(metrics.step, &scalars).context("cannot write TensorBoard's events")
    }
}

/// All metrics of a dictionary's directory.
pub(super) fn read(directory: &Path) -> anyhow::Result<Vec<Metrics>> {
    let path: PathBuf = directory.join(LINES);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let parse =
        |line: &str| serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()));
    text.lines().map(parse).collect()
}
