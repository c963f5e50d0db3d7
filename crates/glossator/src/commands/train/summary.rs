//! What came out of a run: a table, and a page with the curves.

use std::path::{Path, PathBuf};

use anyhow::Context;
use glossator_dictionary::evaluation::Evaluation;
use serde::Serialize;

use super::metrics::{self, Metrics};
use crate::report::{Chart, Marks, Page, Series, Table, number};

/// Points of a curve; more lines of the metrics are averaged.
const POINTS: usize = 300;

/// A number of something, if it is defined.
type Value<T> = fn(&T) -> Option<f64>;

/// A whole run.
#[derive(Serialize)]
pub(super) struct Summary {
    pub(super) dictionaries: Vec<DictionarySummary>,
    /// Rows learnt from.
    pub(super) rows: u64,
    pub(super) seconds: f64,
    /// The page with the curves.
    pub(super) report: PathBuf,
}

/// One dictionary.
#[derive(Serialize)]
pub(super) struct DictionarySummary {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) latents: usize,
    pub(super) steps: u64,
    /// Of the last batch.
    pub(super) explained_variance: Option<f64>,
    /// Of the last batch.
    pub(super) l0: f64,
    /// Latents that have not fired for as many rows as the run file says.
    pub(super) dead: usize,
    /// On held-out text; none where it was not measured.
    pub(super) held_out: Option<HeldOut>,
}

/// A dictionary on held-out text.
#[derive(Clone, Copy, Serialize)]
pub(super) struct HeldOut {
    pub(super) l0: Option<f64>,
    pub(super) explained_variance: Option<f64>,
    /// Nats that the next-token loss rises by.
    pub(super) loss_increase: Option<f64>,
    pub(super) loss_recovered_zero: Option<f64>,
    pub(super) loss_recovered_mean: Option<f64>,
}

impl From<&Evaluation> for HeldOut {
    fn from(evaluation: &Evaluation) -> Self {
        let losses = evaluation.losses.as_ref();
        Self {
            l0: evaluation.sparsity.l0,
            explained_variance: evaluation.reconstruction.explained_variance,
            loss_increase: losses.and_then(|losses| losses.loss_increase),
            loss_recovered_zero: losses.and_then(|losses| losses.loss_recovered_zero),
            loss_recovered_mean: losses.and_then(|losses| losses.loss_recovered_mean),
        }
    }
}

impl Summary {
    /// A text for people.
    pub(super) fn text(&self) -> String {
        format!(
            "{} rows in {:.0} s\n{}\nThe first L0 and explained variance are those of the last batch; what follows was \
             measured on held-out text.\nCurves: {}\n",
            self.rows,
            self.seconds,
            self.table().to_text(),
            self.report.display()
        )
    }

    fn table(&self) -> Table {
        let head = [
            "dictionary",
            "latents",
            "steps",
            "L0",
            "explained variance",
            "dead",
            "L0",
            "explained variance",
            "loss increase",
            "recovered, zero",
            "recovered, mean",
        ];
        let row = |d: &DictionarySummary| {
            let held_out = |value: Value<HeldOut>| number(d.held_out.as_ref().and_then(value));
            vec![
                d.name.clone(),
                d.latents.to_string(),
                d.steps.to_string(),
                number(Some(d.l0)),
                number(d.explained_variance),
                d.dead.to_string(),
                held_out(|h| h.l0),
                held_out(|h| h.explained_variance),
                held_out(|h| h.loss_increase),
                held_out(|h| h.loss_recovered_zero),
                held_out(|h| h.loss_recovered_mean),
            ]
        };
        Table::new(&head, self.dictionaries.iter().map(row).collect())
    }

    /// Writes the page; the metrics of each dictionary lie below `out`.
    pub(super) fn write_page(&self, out: &Path) -> anyhow::Result<()> {
        let curves = self
            .dictionaries
            .iter()
            .map(|d| Ok((d.name.as_str(), thinned(&metrics::read(&out.join(&d.name))?))))
            .collect::<anyhow::Result<Vec<_>>>()?;
        std::fs::write(&self.report, self.page(&curves))
            .with_context(|| format!("cannot write {}", self.report.display()))
    }

    fn page(&self, curves: &[(&str, Vec<Metrics>)]) -> String {
        let mut page = Page::new("Training of dictionaries");
        page.paragraph(&format!("{} rows of activations in {:.0} s.", self.rows, self.seconds));
        page.table(&self.table());
        page.paragraph(
            "The first L0 and explained variance are those of the last batch; what follows was measured on held-out text.",
        );
        let pareto: [(&str, Value<HeldOut>); 3] = [
            ("Explained variance", |h| h.explained_variance),
            ("Loss recovered, against zero ablation", |h| h.loss_recovered_zero),
            ("Loss recovered, against mean ablation", |h| h.loss_recovered_mean),
        ];
        page.heading("Sparsity against faithfulness");
        for (title, value) in pareto {
            page.chart(&self.pareto(title, value));
        }
        page.heading("Curves");
        let charts: [(&str, Value<Metrics>); 5] = [
            ("Loss", |m| Some(m.loss)),
            ("Explained variance", |m| m.explained_variance),
            ("Active latents (L0)", |m| Some(m.l0)),
            ("Share of dead latents", |m| Some(m.dead_share)),
            ("Learning rate", |m| Some(m.learning_rate)),
        ];
        for (title, value) in charts {
            page.chart(&Chart {
                title: title.into(),
                x: "rows".into(),
                y: title.into(),
                series: curves.iter().map(|(name, curve)| series(name, curve, value)).collect(),
            });
        }
        page.finish()
    }

    /// A value against L0, and the line of those that no other beats in both.
    fn pareto(&self, title: &str, value: Value<HeldOut>) -> Chart {
        let point = |d: &DictionarySummary| Some([d.held_out?.l0?, value(&d.held_out?)?]);
        let mut series: Vec<Series> = self
            .dictionaries
            .iter()
            .map(|d| Series {
                name: d.name.clone(),
                marks: Marks::Dots,
                points: point(d).into_iter().collect(),
            })
            .collect();
        let points: Vec<[f64; 2]> = self.dictionaries.iter().filter_map(point).collect();
        if points.len() > 1 {
            series.push(Series { name: "best".into(), marks: Marks::Line, points: front(points) });
        }
        Chart { title: title.into(), x: "L0".into(), y: title.into(), series }
    }
}

fn series(name: &str, curve: &[Metrics], value: Value<Metrics>) -> Series {
    let points = curve.iter().filter_map(|m| Some([m.rows as f64, value(m)?])).collect();
    Series { name: name.into(), marks: Marks::Line, points }
}

/// The points of which none other has both a lower L0 and a higher value, by rising L0.
fn front(mut points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(b[1].total_cmp(&a[1])));
    let mut best = f64::NEG_INFINITY;
    points.retain(|[_, value]| {
        let better = *value > best;
        best = best.max(*value);
        better
    });
    points
}

/// At most [`POINTS`] lines: the means of as many runs of lines.
fn thinned(lines: &[Metrics]) -> Vec<Metrics> {
    let run = lines.len().div_ceil(POINTS).max(1);
    lines.chunks(run).filter_map(mean).collect()
}

fn mean(lines: &[Metrics]) -> Option<Metrics> {
    let last = *lines.last()?;
    let of = |value: fn(&Metrics) -> f64| lines.iter().map(value).sum::<f64>() / lines.len() as f64;
    let explained: Vec<f64> = lines.iter().filter_map(|m| m.explained_variance).collect();
    Some(Metrics {
        loss: of(|m| m.loss),
        explained_variance: (!explained.is_empty())
            .then(|| explained.iter().sum::<f64>() / explained.len() as f64),
        l0: of(|m| m.l0),
        dead_share: of(|m| m.dead_share),
        learning_rate: of(|m| m.learning_rate),
        ..last
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_holds_what_no_other_beats() {
        let points = vec![[30.0, 0.8], [10.0, 0.5], [20.0, 0.4], [10.0, 0.6], [40.0, 0.8]];
        assert_eq!(front(points), [[10.0, 0.6], [30.0, 0.8]]);
    }

    #[test]
    fn long_curves_are_averaged() {
        let line = |step: u64| Metrics {
            step,
            rows: step * 10,
            loss: step as f64,
            squared_error: 0.0,
            explained_variance: step.is_multiple_of(2).then_some(0.5),
            l0: 1.0,
            extra_loss: 0.0,
            dead_share: 0.0,
            learning_rate: 1e-3,
            resampled: 0,
        };
        let curve = thinned(&(1..=600).map(line).collect::<Vec<_>>());
        assert_eq!((curve.len(), curve[0].rows, curve[0].loss), (300, 20, 1.5));
        assert_eq!(curve[0].explained_variance, Some(0.5));
        assert_eq!(thinned(&[line(1)]).len(), 1);
    }
}
