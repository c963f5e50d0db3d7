//! Scores as they are stored: one row for each metric and sample.

use glossator_atlas::{Score, Split};
use glossator_model::UnitId;

use crate::ablating::ABLATION;
use crate::sample::Sample;
use crate::score::{Estimate, ExcerptDivergence, Measures, Resampling, Scores, Stratum, ablation_score};

/// Whose scores these are.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The unit.
    pub unit: UnitId,
    /// The explainer.
    pub explainer: &'a str,
    /// The scorer.
    pub scorer: &'a str,
    /// The split.
    pub split: Split,
}

/// Why measures are undefined that need a calibration, where none could be fitted.
pub const NO_CALIBRATION: &str = "nothing to calibrate on";

/// What is scored of a sample: excerpts of these kinds.
const SAMPLES: [(&str, &[Stratum]); 3] = [
    ("top_and_random", &[Stratum::Top, Stratum::Random]),
    ("top_only", &[Stratum::Top]),
    ("random_only", &[Stratum::Random]),
];

/// The rows of all measures; `calibrated` says whether the scores are by a calibration.
pub fn rows(scored: Scored<'_>, sample: &Sample, scores: &Scores, calibrated: bool) -> Vec<Score> {
    let mut rows = uncalibrated_rows(scored, sample, scores);
    rows.extend(calibrated_rows(scored, sample, scores, calibrated, ""));
    rows
}

/// The rows of those measures alone that depend on a calibration, under the measure's name with `suffix`. Without a
/// calibration they are undefined, and say so.
pub fn calibrated_rows(
    scored: Scored<'_>,
    sample: &Sample,
    scores: &Scores,
    calibrated: bool,
    suffix: &str,
) -> Vec<Score> {
    let mut rows = each(scored, sample, scores, |measures| {
        let [_, r_squared, absolute_deviation, ..] = metrics(measures);
        let reason = |(name, estimate, reason): Metric| {
            if calibrated || measures.excerpts == 0 {
                (name, estimate, reason)
            } else {
                (name, Estimate::default(), NO_CALIBRATION)
            }
        };
        vec![reason(r_squared), reason(absolute_deviation)]
    });
    rows.iter_mut().for_each(|row| row.metric.push_str(suffix));
    rows
}

/// The rows of those measures alone that do not depend on a calibration.
pub fn uncalibrated_rows(scored: Scored<'_>, sample: &Sample, scores: &Scores) -> Vec<Score> {
    each(scored, sample, scores, |measures| {
        let [correlation, _, _, precision, recall, f1] = metrics(measures);
        vec![correlation, precision, recall, f1]
    })
}

/// The rows of a score by ablation; `found` are the divergences, `None` where the prediction could not be calibrated.
pub fn ablation_rows(
    scored: Scored<'_>,
    sample: &Sample,
    found: Option<&[ExcerptDivergence]>,
    resampling: &Resampling,
) -> Vec<Score> {
    let of = |(name, strata): (&str, &[Stratum])| {
        let estimate = found.map(|found| ablation_score(found, strata, resampling)).unwrap_or_default();
        let undefined = match (found, sample.tokens(strata)) {
            (None, _) => NO_CALIBRATION,
            (_, 0) => "there are no such excerpts",
            _ => "the unit does nothing here: its mean in its place changes no prediction",
        };
        row(scored, sample, (name, strata), (ABLATION, estimate, undefined))
    };
    SAMPLES.map(of).to_vec()
}

/// A measure with its stored name, and why it is undefined if it is.
type Metric = (&'static str, Estimate, &'static str);

fn each(
    scored: Scored<'_>,
    sample: &Sample,
    scores: &Scores,
    metrics: impl Fn(&Measures) -> Vec<Metric>,
) -> Vec<Score> {
    let measures = [&scores.top_and_random, &scores.top_only, &scores.random_only];
    let mut rows = Vec::new();
    for (of, measures) in SAMPLES.into_iter().zip(measures) {
        rows.extend(metrics(measures).into_iter().map(|metric| row(scored, sample, of, metric)));
    }
    rows
}

fn row(
    scored: Scored<'_>,
    sample: &Sample,
    (name, strata): (&str, &[Stratum]),
    (metric, estimate, undefined): Metric,
) -> Score {
    Score {
        unit: scored.unit,
        explainer: scored.explainer.to_owned(),
        scorer: scored.scorer.to_owned(),
        metric: metric.to_owned(),
        sample: name.to_owned(),
        split: scored.split,
        value: estimate.value,
        low: estimate.interval.map(|interval| interval.low),
        high: estimate.interval.map(|interval| interval.high),
        tokens: sample.tokens(strata),
        remark: estimate.value.is_none().then(|| undefined.to_owned()),
    }
}

fn metrics(measures: &Measures) -> [Metric; 6] {
    let reason =
        |reason: &'static str| if measures.excerpts == 0 { "there are no such excerpts" } else { reason };
    let constant = match measures.r_squared.value {
        Some(_) => "the prediction is constant",
        None => "the activations are constant",
    };
    [
        ("correlation", measures.correlation, reason(constant)),
        ("r_squared", measures.r_squared, reason("the activations are constant")),
        ("absolute_deviation_explained", measures.absolute_deviation, reason("the activations are zero")),
        ("precision", measures.precision, reason("nothing is predicted to fire")),
        ("recall", measures.recall, reason("the unit does not fire")),
        ("f1", measures.f1, reason("neither fires nor is predicted to")),
    ]
}
