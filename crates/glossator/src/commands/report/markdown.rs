//! A report as Markdown with charts beside it, to be kept with other results.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Report, charts, tables};
use crate::report::{Chart, markdown};

/// The files of a report whose tables are at `path`, each with its content; the tables come last, when all that they show
/// is there.
pub(super) fn files(report: &Report, path: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let stem = path.file_stem().with_context(|| format!("{} names no file", path.display()))?;
    let stem = stem.to_string_lossy();
    let mut text = format!(
        "# Explanations of {}\n\n{}\n\n{}\n",
        markdown(&report.model),
        markdown(&tables::context(report)),
        markdown(tables::BASELINES)
    );
    let mut sections = tables::tables(report)
        .into_iter()
        .map(|(title, table)| format!("\n## {}\n\n{}", markdown(&title), table.to_markdown()));
    text.extend(sections.next());
    let mut files = Vec::new();
    let shown: [(&str, Chart); 2] =
        [("by-layer", charts::by_layer(report)), ("by-density", charts::by_density(report))];
    for (name, chart) in shown {
        let name = format!("{stem}-{name}.svg");
        // Writing to a string cannot fail.
        let _ = write!(text, "\n![{}]({})\n", markdown(&chart.title), name.replace(' ', "%20"));
        files.push((path.with_file_name(name), chart.to_file()));
    }
    text.extend(sections);
    files.push((path.to_owned(), text));
    Ok(files)
}
