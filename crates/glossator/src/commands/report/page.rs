//! A report as a page with tables and charts.

use glossator_atlas::{ScoreKind, ScoredUnit};

use super::Report;
use super::tables::{self, named};
use crate::report::{Chart, Marks, Page, Series};

/// Most dots of a series: more cannot be told apart and make a page slow.
const DOTS: usize = 1_000;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page::new(&format!("Explanations of {}", report.model));
    page.paragraph(&tables::context(report));
    page.paragraph(
        "Scorers that begin with other-unit: score another unit's explanation on the same excerpts, with empty: none at \
         all; always-yes: and always-no: are judges that do not read.",
    );
    let mut tables = tables::tables(report).into_iter();
    if let Some((title, table)) = tables.next() {
        page.heading(&title);
        page.table(&table);
    }
    page.heading("Charts");
    page.chart(&by_layer(report));
    page.chart(&by_density(report));
    for (title, table) in tables {
        page.heading(&title);
        page.table(&table);
    }
    page.finish()
}

fn by_layer(report: &Report) -> Chart {
    let of = |(kind, _): &(ScoreKind, Vec<ScoredUnit>)| {
        let comparison = report.comparisons.iter().find(|comparison| comparison.kind == *kind)?;
        let points = comparison.layers.iter().map(|(layer, _, mean)| [*layer as f64, *mean]).collect();
        Some(Series { name: named(kind), marks: Marks::Line, points })
    };
    Chart {
        title: "Mean score by layer".to_owned(),
        x: "layer".to_owned(),
        y: "mean score".to_owned(),
        series: report.headlines.iter().filter_map(of).collect(),
    }
}

fn by_density(report: &Report) -> Chart {
    let of = |(kind, units): &(ScoreKind, Vec<ScoredUnit>)| {
        let step = units.len().div_ceil(DOTS).max(1);
        let points = units.iter().step_by(step).filter(|unit| unit.density > 0.0);
        let points = points.filter_map(|unit| Some([unit.density.log10(), unit.value?])).collect();
        Series { name: named(kind), marks: Marks::Dots, points }
    };
    Chart {
        title: "Score and density".to_owned(),
        x: "log₁₀ of the share of tokens above 0".to_owned(),
        y: "score".to_owned(),
        series: report.headlines.iter().map(of).collect(),
    }
}
