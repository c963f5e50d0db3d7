//! Scores by classification as they are stored: one row for each measure and sample.

use glossator_atlas::{Score, Split};
use glossator_model::UnitId;

use crate::classification::Source;
use crate::score::{ClassificationMeasures, Estimate, Judgement, Resampling, accuracy};

/// Collects the rows of one scorer of one explanation.
pub(super) struct Rows<'a> {
    pub(super) unit: UnitId,
    pub(super) explainer: &'a str,
    pub(super) scorer: String,
    pub(super) split: Split,
    /// Tokens of the texts.
    pub(super) tokens: u64,
    pub(super) resampling: &'a Resampling,
    pub(super) to: &'a mut Vec<Score>,
}

impl Rows<'_> {
    /// The measures over all texts, and over those that fire with those from each source.
    pub(super) fn samples(&mut self, judged: &[Judgement], sources: &[Source]) {
        self.measures("all", judged);
        for (name, source) in [
            ("random", Source::Random),
            ("neighbours", Source::Neighbour),
            ("near_misses", Source::NearMiss),
            ("misplaced", Source::Misplaced),
        ] {
            let of_source = |(one, from): &(&Judgement, &Source)| one.truth || **from == source;
            let chosen: Vec<Judgement> =
                judged.iter().zip(sources).filter(of_source).map(|(one, _)| *one).collect();
            if chosen.iter().any(|one| !one.truth) {
                self.measures(name, &chosen);
            }
        }
    }

    pub(super) fn measures(&mut self, sample: &str, judged: &[Judgement]) {
        let measures = ClassificationMeasures::of(judged, self.resampling);
        let one_kind = "texts of both kinds are needed";
        let unjudged = judged.iter().any(|one| one.verdict.is_some() && one.probability.is_none());
        let no_auroc = if unjudged { "the model gives no probabilities" } else { one_kind };
        self.push(sample, "balanced_accuracy", measures.balanced_accuracy, one_kind);
        self.push(sample, "f1", measures.f1, one_kind);
        self.push(sample, "auroc", measures.auroc, no_auroc);
        self.push(sample, "precision", measures.precision, "nothing is taken for activating");
        self.push(sample, "recall", measures.recall, "no text that fires was judged");
        self.failures(sample, judged.len(), measures.failures);
    }

    /// The share of trials whose intruder was found.
    pub(super) fn accuracy(&mut self, found: &[Option<bool>]) {
        self.push("all", "accuracy", accuracy(found, self.resampling), "no trial was judged");
        self.failures("all", found.len(), found.iter().filter(|found| found.is_none()).count());
    }

    /// The share of texts without a judgement.
    fn failures(&mut self, sample: &str, of: usize, failures: usize) {
        let share = (of > 0).then(|| failures as f64 / of as f64);
        self.push(sample, "failure_share", Estimate { value: share, interval: None }, "there are no texts");
        if failures > 0
            && let Some(row) = self.to.last_mut()
        {
            row.remark = Some(format!("no answer that can be used for {failures} of {of}"));
        }
    }

    fn push(&mut self, sample: &str, metric: &str, estimate: Estimate, undefined: &str) {
        self.to.push(Score {
            unit: self.unit,
            explainer: self.explainer.to_owned(),
            scorer: self.scorer.clone(),
            metric: metric.to_owned(),
            sample: sample.to_owned(),
            split: self.split,
            value: estimate.value,
            low: estimate.interval.map(|interval| interval.low),
            high: estimate.interval.map(|interval| interval.high),
            tokens: self.tokens,
            remark: estimate.value.is_none().then(|| undefined.to_owned()),
        });
    }
}
