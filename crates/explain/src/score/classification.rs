//! The measures of classification scores: how well a judge that knows an explanation tells texts that activate a unit
//! from texts that do not.
//!
//! With TP, FN, TN, FP the judgements by truth and verdict:
//!
//! - recall `= TP / (TP + FN)`, specificity `= TN / (TN + FP)`, balanced accuracy `= (recall + specificity) / 2`,
//!   undefined unless texts of both kinds were judged;
//! - precision `= TP / (TP + FP)`, undefined where nothing was taken for activating;
//! - `F1 = 2 TP / (2 TP + FP + FN)`, undefined unless texts of both kinds were judged;
//! - AUROC: the probability that a text that activates gets a higher probability than one that does not, ties counting
//!   half (Mann and Whitney 1947); undefined unless every judgement has a probability.
//!
//! A text without a judgement (the judge's answer was refused, cut off or could not be read) enters none of them: it is
//! counted as a failure. Intervals resample activating and other texts each among themselves.

use serde::{Deserialize, Serialize};

use super::{Estimate, Resampling};

/// What became of one text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether the text activates the unit.
    pub truth: bool,
    /// Whether the judge says so; `None` if there was no answer that could be read.
    pub verdict: Option<bool>,
    /// The probability that the judge gives to "yes", where the model offers probabilities.
    pub probability: Option<f64>,
}

impl Judgement {
    /// The judgement of whoever always answers the same, whatever the text.
    pub fn constant(truth: bool, answer: bool) -> Self {
        Self { truth, verdict: Some(answer), probability: Some(f64::from(u8::from(answer))) }
    }
}

/// All measures over the judgements on one explanation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ClassificationMeasures {
    /// Texts that were judged and activate the unit.
    pub activating: usize,
    /// Texts that were judged and do not.
    pub others: usize,
    /// Texts without a judgement.
    pub failures: usize,
    /// Mean of recall and specificity.
    pub balanced_accuracy: Estimate,
    /// Share of the texts taken for activating that are.
    pub precision: Estimate,
    /// Share of the activating texts that were taken for such.
    pub recall: Estimate,
    /// Harmonic mean of precision and recall.
    pub f1: Estimate,
    /// Area under the receiver operating characteristic.
    pub auroc: Estimate,
}

impl ClassificationMeasures {
    /// The measures of `judgements`, with intervals from `resampling`.
    pub fn of(judgements: &[Judgement], resampling: &Resampling) -> Self {
        let judged = |truth: bool| -> Vec<Judged> {
            let of_kind = judgements.iter().filter(|judgement| judgement.truth == truth);
            of_kind.filter_map(|judgement| Some((judgement.verdict?, judgement.probability))).collect()
        };
        let kinds = [judged(true), judged(false)];
        let sizes = [kinds[0].len(), kinds[1].len()];
        let once = sizes.map(|size| vec![1; size]);
        let estimate = |measure: Measure| {
            let value = measure(&kinds, [&once[0], &once[1]]);
            let interval = value.and_then(|_| resampling.interval(sizes, |times| measure(&kinds, times)));
            Estimate { value, interval }
        };
        Self {
            activating: sizes[0],
            others: sizes[1],
            failures: judgements.iter().filter(|judgement| judgement.verdict.is_none()).count(),
            balanced_accuracy: estimate(balanced_accuracy),
            precision: estimate(precision),
            recall: estimate(recall),
            f1: estimate(f1),
            auroc: estimate(auroc),
        }
    }
}

/// Share of answers that are right, with its interval; failures (`None`) are left out.
pub fn accuracy(answers: &[Option<bool>], resampling: &Resampling) -> Estimate {
    let judged: Vec<bool> = answers.iter().flatten().copied().collect();
    let share = |times: &[u8]| {
        let weights = times.iter().map(|times| f64::from(*times));
        let right = weights.clone().zip(&judged).filter(|(_, right)| **right).map(|(weight, _)| weight);
        ratio(right.sum(), weights.sum())
    };
    let value = share(&vec![1; judged.len()]);
    let interval = value.and_then(|_| resampling.interval([judged.len(), 0], |[times, _]| share(times)));
    Estimate { value, interval }
}

/// A verdict and its probability.
type Judged = (bool, Option<f64>);

/// A measure of the judged texts of both kinds, activating ones first, each counted so many times.
type Measure = fn(&[Vec<Judged>; 2], [&[u8]; 2]) -> Option<f64>;

/// How many texts of a kind were taken for activating, and how many were not.
fn counts(judged: &[Judged], times: &[u8]) -> [f64; 2] {
    let mut counts = [0.0; 2];
    for ((verdict, _), times) in judged.iter().zip(times) {
        counts[usize::from(!verdict)] += f64::from(*times);
    }
    counts
}

fn balanced_accuracy(kinds: &[Vec<Judged>; 2], times: [&[u8]; 2]) -> Option<f64> {
    let ([hits, misses], [alarms, rejections]) = (counts(&kinds[0], times[0]), counts(&kinds[1], times[1]));
    let (recall, specificity) = (ratio(hits, hits + misses)?, ratio(rejections, rejections + alarms)?);
    Some(f64::midpoint(recall, specificity))
}

fn precision(kinds: &[Vec<Judged>; 2], times: [&[u8]; 2]) -> Option<f64> {
    let ([hits, _], [alarms, _]) = (counts(&kinds[0], times[0]), counts(&kinds[1], times[1]));
    ratio(hits, hits + alarms)
}

fn recall(kinds: &[Vec<Judged>; 2], times: [&[u8]; 2]) -> Option<f64> {
    let [hits, misses] = counts(&kinds[0], times[0]);
    ratio(hits, hits + misses)
}

fn f1(kinds: &[Vec<Judged>; 2], times: [&[u8]; 2]) -> Option<f64> {
    let ([hits, misses], [alarms, rejections]) = (counts(&kinds[0], times[0]), counts(&kinds[1], times[1]));
    let both = hits + misses > 0.0 && alarms + rejections > 0.0;
    ratio(2.0 * hits, 2.0 * hits + alarms + misses).filter(|_| both)
}

fn auroc(kinds: &[Vec<Judged>; 2], times: [&[u8]; 2]) -> Option<f64> {
    let (mut above, mut pairs) = (0.0, 0.0);
    for ((_, activating), times_activating) in kinds[0].iter().zip(times[0]) {
        for ((_, other), times_other) in kinds[1].iter().zip(times[1]) {
            let (activating, other) = ((*activating)?, (*other)?);
            let weight = f64::from(*times_activating) * f64::from(*times_other);
            pairs += weight;
            above += weight * (f64::from(activating > other) + 0.5 * f64::from(activating == other));
        }
    }
    ratio(above, pairs)
}

fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resampling() -> Resampling {
        Resampling::new(200, 40, 1)
    }

    fn judgements(of: &[(bool, Option<bool>, f64)]) -> Vec<Judgement> {
        let judgement = |&(truth, verdict, probability): &(bool, Option<bool>, f64)| Judgement {
            truth,
            verdict,
            probability: verdict.map(|_| probability),
        };
        of.iter().map(judgement).collect()
    }

    #[test]
    fn measures_by_hand() {
        let judged = judgements(&[
            (true, Some(true), 0.9),
            (true, Some(true), 0.6),
            (true, Some(false), 0.3),
            (true, None, 0.0),
            (false, Some(false), 0.1),
            (false, Some(false), 0.3),
            (false, Some(true), 0.7),
            (false, Some(false), 0.2),
        ]);
        let measures = ClassificationMeasures::of(&judged, &resampling());
        assert_eq!((measures.activating, measures.others, measures.failures), (3, 4, 1));
        let close = |estimate: Estimate, expected: f64| {
            let value = estimate.value.unwrap();
            assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        };
        close(measures.recall, 2.0 / 3.0);
        close(measures.precision, 2.0 / 3.0);
        close(measures.f1, 2.0 / 3.0);
        close(measures.balanced_accuracy, f64::midpoint(2.0 / 3.0, 0.75));
        // Of 12 pairs: 0.9 beats 4, 0.6 beats 3, 0.3 beats 2 and ties with one.
        close(measures.auroc, 9.5 / 12.0);
        let interval = measures.balanced_accuracy.interval.unwrap();
        assert!(interval.low < 0.7 && interval.high > 0.71, "{interval:?}");
    }

    #[test]
    fn failures_are_no_predictions() {
        let only_failures = judgements(&[(true, None, 0.0), (false, None, 0.0)]);
        let measures = ClassificationMeasures::of(&only_failures, &resampling());
        assert_eq!(measures, ClassificationMeasures { failures: 2, ..ClassificationMeasures::default() });
        let one_kind = judgements(&[(true, Some(true), 1.0), (true, Some(true), 1.0), (false, None, 0.0)]);
        let measures = ClassificationMeasures::of(&one_kind, &resampling());
        assert_eq!(
            (measures.balanced_accuracy.value, measures.auroc.value, measures.f1.value),
            (None, None, None)
        );
        assert_eq!(measures.recall.value, Some(1.0));
    }

    #[test]
    fn who_always_says_the_same_is_at_chance() {
        for answer in [true, false] {
            let constant: Vec<Judgement> =
                (0..20).map(|place| Judgement::constant(place % 4 == 0, answer)).collect();
            let measures = ClassificationMeasures::of(&constant, &resampling());
            assert_eq!(measures.balanced_accuracy.value, Some(0.5));
            assert_eq!(measures.auroc.value, Some(0.5));
            assert_eq!(measures.precision.value, answer.then_some(0.25));
            assert_eq!(measures.f1.value, Some(if answer { 0.4 } else { 0.0 }));
        }
    }

    #[test]
    fn without_probabilities_there_is_no_auroc() {
        let mut judged =
            judgements(&[(true, Some(true), 0.9), (false, Some(false), 0.1), (false, Some(false), 0.4)]);
        judged[2].probability = None;
        let measures = ClassificationMeasures::of(&judged, &resampling());
        assert_eq!((measures.auroc.value, measures.balanced_accuracy.value), (None, Some(1.0)));
    }

    #[test]
    fn accuracy_leaves_failures_out() {
        let estimate = accuracy(&[Some(true), None, Some(false), Some(true), Some(true)], &resampling());
        assert_eq!(estimate.value, Some(0.75));
        assert!(estimate.interval.unwrap().low < 0.75);
        assert_eq!(accuracy(&[None], &resampling()), Estimate::default());
    }

    proptest! {
        /// The area under the curve by its definition: sensitivity over 1 − specificity, threshold by threshold, joined
        /// by straight lines.
        #[test]
        fn auroc_is_the_area_under_the_curve(
            activating in prop::collection::vec(0_u8..8, 1..12), others in prop::collection::vec(0_u8..8, 1..12),
        ) {
            let of = |truth: bool, grades: &[u8]| -> Vec<Judgement> {
                let judgement = |grade: &u8| Judgement {
                    truth, verdict: Some(*grade > 3), probability: Some(f64::from(*grade) / 8.0),
                };
                grades.iter().map(judgement).collect()
            };
            let judged = [of(true, &activating), of(false, &others)].concat();
            let share = |grades: &[u8], threshold: u8| {
                grades.iter().filter(|grade| **grade >= threshold).count() as f64 / grades.len() as f64
            };
            let points: Vec<(f64, f64)> =
                (0..=8).rev().map(|at| (share(&others, at), share(&activating, at))).collect();
            let area: f64 = points.windows(2).map(|p| (p[1].0 - p[0].0) * (p[1].1 + p[0].1) / 2.0).sum();
            let found = ClassificationMeasures::of(&judged, &Resampling::new(0, 0, 0)).auroc.value.unwrap();
            prop_assert!((found - area).abs() < 1e-12, "{} is not {}", found, area);
        }
    }
}
