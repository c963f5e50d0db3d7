//! `glossator report`: the scores of an atlas by explainer and scorer, what they cost, and the best and worst units.

mod charts;
mod markdown;
mod page;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use glossator_atlas::{Atlas, CallTotals, ScoreKind, ScoredUnit, Split};
use glossator_explain::comparison::{
    self, Comparison, OfDensity, THRESHOLDS, by_density, density_bounds, extremes,
};
use glossator_explain::revision::{Gain, gains};
use glossator_explain::side_by_side::{SideBySide, is_baseline, side_by_side};
use glossator_model::UnitId;
use serde::Serialize;

use crate::output;

/// Compare the explanations of an atlas: scores by explainer, scorer, layer and density, the gain of revision, costs, failures, best and
/// worst units
///
/// Means are over the units whose score is defined; the others are counted. What is compared is also side by side on the units that
/// all have, with what it has to beat. Baselines stand in the same tables: other-unit: is
/// another unit's explanation on the same excerpts, empty: none at all, always-yes: and always-no: judges that do not read.
#[derive(Args)]
#[command(after_help = "Examples:\n  glossator report run.atlas\n  \
                        glossator report run.atlas --html report.html --split valid\n  \
                        glossator report run.atlas --markdown results/run.md")]
pub(crate) struct ReportCommand {
    /// The atlas
    #[arg(value_name = "ATLAS")]
    atlas: PathBuf,
    /// Scores on this split: test or valid
    #[arg(long, default_value = "test", value_name = "SPLIT")]
    split: Split,
    /// Also write a page with tables and charts that stands alone
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Also write the tables as Markdown, and the charts as SVG files beside it
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Everything that is reported. What is undefined is null.
#[derive(Serialize)]
struct Report {
    model: String,
    corpus: String,
    split: Split,
    thresholds: [f64; 3],
    comparisons: Vec<Comparison>,
    side_by_side: Vec<SideBySide>,
    revisions: Vec<Gain>,
    calls: Vec<CallTotals>,
    extremes: Vec<Extremes>,
    densities: Vec<Densities>,
    /// Points of charts, which JSON has not.
    #[serde(skip)]
    headlines: Vec<(ScoreKind, Vec<ScoredUnit>)>,
}

/// One kind of score by density.
#[derive(Serialize)]
struct Densities {
    #[serde(flatten)]
    kind: ScoreKind,
    groups: Vec<OfDensity>,
}

/// The best and worst units by one kind of score.
#[derive(Serialize)]
struct Extremes {
    #[serde(flatten)]
    kind: ScoreKind,
    best: Vec<Extreme>,
    worst: Vec<Extreme>,
}

/// A unit with a score and its explanation.
#[derive(Serialize)]
struct Extreme {
    unit: UnitId,
    density: Option<f64>,
    value: Option<f64>,
    text: String,
}

impl ReportCommand {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let atlas = Atlas::open(&self.atlas)?;
        let report = report(&atlas, self.split)?;
        if report.comparisons.is_empty() {
            bail!(
                "{} has no scores on the {} split: run `glossator score` first",
                self.atlas.display(),
                self.split
            );
        }
        if let Some(path) = &self.html {
            write(path, &page::page(&report))?;
            output::note(&format!("the page is {}", path.display()));
        }
        if let Some(path) = &self.markdown {
            for (path, text) in markdown::files(&report, path)? {
                write(&path, &text)?;
            }
            output::note(&format!("the tables are in {}", path.display()));
        }
        if self.json {
            output::print_json(&report)?;
        } else {
            output::print(&tables::text(&report))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn report(atlas: &Atlas, split: Split) -> anyhow::Result<Report> {
    let run = &atlas.manifest().run;
    let mut scored: Vec<(ScoreKind, Vec<ScoredUnit>)> = Vec::new();
    for kind in comparison::shown(atlas, split, |_| true)? {
        let units = atlas.scored_units(&kind, split)?;
        scored.push((kind, units));
    }
    let comparisons =
        scored.iter().map(|(kind, units)| Comparison::of(kind.clone(), units, run.seed)).collect();
    let side_by_side = side_by_side(&scored, run.seed);
    let headlines = headlines(scored);
    let mut ends = Vec::new();
    for (kind, units) in &headlines {
        let [best, worst] = extremes(units).map(|units| with_texts(atlas, kind, &units));
        ends.push(Extremes { kind: kind.clone(), best: best?, worst: worst? });
    }
    Ok(Report {
        model: run.model.clone(),
        corpus: run.corpus.clone(),
        split,
        thresholds: THRESHOLDS,
        comparisons,
        side_by_side,
        // Revisions log their scores on the test split.
        revisions: if split == Split::Test { gains(atlas, run.seed)? } else { Vec::new() },
        calls: atlas.call_totals(split)?,
        extremes: ends,
        densities: densities(&headlines),
        headlines,
    })
}

/// The first score that each explanation has from each scorer, without baselines.
fn headlines(scored: Vec<(ScoreKind, Vec<ScoredUnit>)>) -> Vec<(ScoreKind, Vec<ScoredUnit>)> {
    let mut headlines: Vec<(ScoreKind, Vec<ScoredUnit>)> = Vec::new();
    for (kind, units) in scored.into_iter().filter(|(kind, _)| !is_baseline(&kind.scorer)) {
        let whose = |kind: &ScoreKind| (kind.explainer.clone(), kind.scorer.clone());
        if headlines.last().is_none_or(|(last, _)| whose(last) != whose(&kind)) {
            headlines.push((kind, units));
        }
    }
    headlines
}

fn with_texts(atlas: &Atlas, kind: &ScoreKind, units: &[ScoredUnit]) -> anyhow::Result<Vec<Extreme>> {
    let with_text = |&ScoredUnit { unit, density, value }: &ScoredUnit| {
        let explanation = atlas.explanation(unit, &kind.explainer)?;
        let text = explanation.map(|explanation| explanation.text).unwrap_or_default();
        Ok(Extreme { unit, density, value, text })
    };
    units.iter().map(with_text).collect()
}

/// Headline scores by density, within bounds that divide the units of the one with the most.
fn densities(headlines: &[(ScoreKind, Vec<ScoredUnit>)]) -> Vec<Densities> {
    let most = headlines.iter().map(|(_, units)| units.as_slice()).max_by_key(|units| units.len());
    let bounds = density_bounds(most.unwrap_or_default());
    let of = |(kind, units): &(ScoreKind, Vec<ScoredUnit>)| Densities {
        kind: kind.clone(),
        groups: by_density(units, &bounds),
    };
    headlines.iter().map(of).collect()
}

/// Writes a file as a whole.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
