//! The charts of a report: headline scores against layer and density.

use glossator_atlas::{ScoreKind, ScoredUnit};
use glossator_model::HookPoint;

use super::tables::named;
use super::{Densities, Report};
use crate::report::{Chart, Marks, Series};

/// Most dots of a series: more cannot be told apart and make a page slow.
const DOTS: usize = 1_000;

/// Mean scores by layer: a line for each explainer and scorer, and for each site where several are recorded.
pub(super) fn by_layer(report: &Report) -> Chart {
    let mut series: Vec<Series> = Vec::new();
    for ends in &report.extremes {
        let comparison = report.comparisons.iter().find(|comparison| comparison.kind == ends.kind);
        let hooks = comparison.map_or(&[][..], |comparison| &comparison.hooks);
        let several = hooks.iter().any(|of| site(of.hook) != site(hooks[0].hook));
        for (of, layer) in hooks.iter().filter_map(|of| Some((of, of.layer?))) {
            let name = named(&ends.kind);
            let name = if several { format!("{name}, {}", site(of.hook)) } else { name };
            let point = [layer as f64, of.scores.mean];
            match series.iter_mut().find(|series| series.name == name) {
                Some(series) => series.points.push(point),
                None => series.push(Series { name, marks: Marks::Line, points: vec![point] }),
            }
        }
    }
    Chart {
        title: "Mean score by layer".to_owned(),
        x: "layer".to_owned(),
        y: "mean score".to_owned(),
        series,
    }
}

/// The name of a hook point without its layer.
fn site(hook: HookPoint) -> String {
    let name = hook.to_string();
    name.splitn(3, '.').nth(2).map(str::to_owned).unwrap_or(name)
}

/// Mean scores by density.
pub(super) fn by_density(report: &Report) -> Chart {
    let of = |densities: &Densities| Series {
        name: named(&densities.kind),
        marks: Marks::Line,
        points: densities.groups.iter().map(|group| [group.density, group.scores.mean]).collect(),
    };
    Chart {
        title: "Mean score by density".to_owned(),
        x: "mean share of tokens above 0, of a tenth of the units".to_owned(),
        y: "mean score".to_owned(),
        series: report.densities.iter().map(of).collect(),
    }
}

/// Scores and densities of single units.
pub(super) fn units(report: &Report) -> Chart {
    let of = |(kind, units): &(ScoreKind, Vec<ScoredUnit>)| {
        let step = units.len().div_ceil(DOTS).max(1);
        let point = |unit: &ScoredUnit| {
            let density = unit.density.filter(|density| *density > 0.0)?;
            Some([density.log10(), unit.value?])
        };
        let points = units.iter().step_by(step).filter_map(point).collect();
        Series { name: named(kind), marks: Marks::Dots, points }
    };
    Chart {
        title: "Score and density".to_owned(),
        x: "log₁₀ of the share of tokens above 0".to_owned(),
        y: "score".to_owned(),
        series: report.headlines.iter().map(of).collect(),
    }
}
