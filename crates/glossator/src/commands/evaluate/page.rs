//! An evaluation as a page with tables and charts.

use glossator_dictionary::evaluation::{Evaluation, LossMetrics};

use super::report::Report;
use super::tables;
use crate::report::{Chart, Marks, Page, Series};

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page::new(&format!("Dictionaries of {}", report.model));
    for line in tables::context(report).lines() {
        page.paragraph(line);
    }
    for (title, table) in tables::tables(report) {
        page.heading(title);
        page.table(&table);
    }
    page.heading("Charts");
    for chart in charts(&report.evaluations) {
        page.chart(&chart);
    }
    page.heading("Definitions");
    page.paragraph("E is the mean over the positions that count; – and null mean undefined.");
    page.definitions(report.definitions.iter().map(|(term, meaning)| (*term, *meaning)));
    page.finish()
}

fn charts(evaluations: &[Evaluation]) -> Vec<Chart> {
    let mut charts = vec![
        dots("Sparsity and explained variance", "explained variance", evaluations, |evaluation| {
            evaluation.reconstruction.explained_variance
        }),
        densities(evaluations),
        cosines(evaluations),
    ];
    if evaluations.iter().any(|evaluation| evaluation.losses.is_some()) {
        charts.push(losses(evaluations));
    }
    charts
}

/// A metric against L0, a dot for each candidate.
fn dots(
    title: &str,
    y: &str,
    evaluations: &[Evaluation],
    metric: impl Fn(&Evaluation) -> Option<f64>,
) -> Chart {
    let series = evaluations.iter().map(|evaluation| Series {
        name: evaluation.name.clone(),
        marks: Marks::Dots,
        points: point(evaluation, metric(evaluation)),
    });
    Chart { title: title.to_owned(), x: "L0".to_owned(), y: y.to_owned(), series: series.collect() }
}

/// The point (L0, value), if both are defined.
fn point(evaluation: &Evaluation, value: Option<f64>) -> Vec<[f64; 2]> {
    evaluation.sparsity.l0.zip(value).map(|(l0, value)| [l0, value]).into_iter().collect()
}

/// Cross-entropies against L0, with the clean and ablated runs of each dictionary as levels.
fn losses(evaluations: &[Evaluation]) -> Chart {
    let spliced = |evaluation: &Evaluation| evaluation.losses.as_ref()?.spliced.cross_entropy;
    let mut chart = dots("Sparsity and next-token loss", "cross-entropy, nats", evaluations, spliced);
    let l0: Vec<f64> = evaluations.iter().filter_map(|evaluation| evaluation.sparsity.l0).collect();
    let (low, high) =
        (l0.iter().copied().fold(f64::INFINITY, f64::min), l0.iter().copied().fold(0.0, f64::max));
    let level = |name: String, value: Option<f64>| Series {
        name,
        marks: Marks::Line,
        points: value.map_or_else(Vec::new, |value| vec![[low, value], [high, value]]),
    };
    let mut places = Vec::new();
    for evaluation in evaluations {
        let Some(LossMetrics { clean, mean_ablated, .. }) = &evaluation.losses else { continue };
        if places.is_empty() {
            chart.series.push(level("clean".to_owned(), clean.cross_entropy));
        }
        let place = evaluation.place();
        if !places.contains(&place) {
            chart.series.push(level(format!("mean ablation of {place}"), mean_ablated.cross_entropy));
            places.push(place);
        }
    }
    chart
}

fn densities(evaluations: &[Evaluation]) -> Chart {
    let series = evaluations.iter().map(|evaluation| {
        let histogram = &evaluation.sparsity.histogram;
        Series {
            name: evaluation.name.clone(),
            marks: Marks::Steps,
            points: steps(&histogram.log10_edges, &histogram.counts),
        }
    });
    Chart {
        title: "Densities of latents (dead ones left out)".to_owned(),
        x: "log₁₀ of the share of positions where a latent fires".to_owned(),
        y: "latents".to_owned(),
        series: series.collect(),
    }
}

fn cosines(evaluations: &[Evaluation]) -> Chart {
    let series = evaluations.iter().map(|evaluation| {
        let counts = &evaluation.geometry.histogram;
        let edges: Vec<f64> =
            (0..=counts.len()).map(|i| 2.0 * i as f64 / counts.len() as f64 - 1.0).collect();
        Series { name: evaluation.name.clone(), marks: Marks::Steps, points: steps(&edges, counts) }
    });
    Chart {
        title: "What latents read against what they write".to_owned(),
        x: "cosine of encoder and decoder row".to_owned(),
        y: "latents".to_owned(),
        series: series.collect(),
    }
}

/// The outline of a histogram; the last bin reaches to its upper edge.
fn steps(edges: &[f64], counts: &[u64]) -> Vec<[f64; 2]> {
    let heights = counts.iter().chain(counts.last()).map(|count| *count as f64);
    edges.iter().copied().zip(heights).map(|(edge, height)| [edge, height]).collect()
}
