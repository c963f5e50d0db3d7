//! `glossator report`: the scores of an atlas by explainer and scorer, what they cost, and the best and worst units.

mod page;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use glossator_atlas::{Atlas, CallTotals, ScoreKind, ScoredUnit, Split};
use glossator_explain::comparison::{Comparison, SHOWN, THRESHOLDS, extremes};
use serde::Serialize;

use crate::output;

/// Compare the explanations of an atlas: scores by explainer and scorer, costs, failures, best and worst units
///
/// Means are over the units whose score is defined; the others are counted. Baselines stand in the same table: other-unit: is
/// another unit's explanation on the same excerpts, empty: none at all, always-yes: and always-no: judges that do not read.
#[derive(Args)]
#[command(after_help = "Examples:\n  glossator report run.atlas\n  \
                        glossator report run.atlas --html report.html --split valid")]
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
    calls: Vec<CallTotals>,
    extremes: Vec<Extremes>,
    /// Points of charts, which JSON has not.
    #[serde(skip)]
    headlines: Vec<(ScoreKind, Vec<ScoredUnit>)>,
}

/// The best and worst units by one kind of score.
#[derive(Serialize)]
struct Extremes {
    #[serde(flatten)]
    kind: ScoreKind,
    best: Vec<ScoredUnit>,
    worst: Vec<ScoredUnit>,
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
            let partial = path.with_extension("partial");
            std::fs::write(&partial, page::page(&report))
                .and_then(|()| std::fs::rename(&partial, path))
                .with_context(|| format!("cannot write {}", path.display()))?;
            output::note(&format!("the page is {}", path.display()));
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
    let (mut comparisons, mut headlines, mut ends) =
        (Vec::new(), Vec::<(ScoreKind, Vec<ScoredUnit>)>::new(), Vec::new());
    let kinds = atlas.score_kinds(split)?;
    for explained in kinds.chunk_by(|a, b| (&a.explainer, &a.scorer) == (&b.explainer, &b.scorer)) {
        let mut is_first = true;
        for (metric, sample) in SHOWN {
            let Some(kind) = explained
                .iter()
                .find(|kind| (kind.metric.as_str(), kind.sample.as_str()) == (metric, sample))
            else {
                continue;
            };
            let units = atlas.scored_units(kind, split)?;
            comparisons.push(Comparison::of(kind.clone(), &units, run.seed));
            if std::mem::take(&mut is_first) && !is_baseline(&kind.scorer) {
                let [best, worst] = extremes(&units).map(|units| units.into_iter().cloned().collect());
                ends.push(Extremes { kind: kind.clone(), best, worst });
                headlines.push((kind.clone(), units));
            }
        }
    }
    Ok(Report {
        model: run.model.clone(),
        corpus: run.corpus.clone(),
        split,
        thresholds: THRESHOLDS,
        comparisons,
        calls: atlas.call_totals(split)?,
        extremes: ends,
        headlines,
    })
}

/// Whether scores are only there to be compared with.
fn is_baseline(scorer: &str) -> bool {
    ["empty:", "other-unit:", "always-yes:", "always-no:"].iter().any(|baseline| scorer.starts_with(baseline))
}
