//! The measures against textbook formulas over the concatenated tokens, and inputs where they are undefined.

use proptest::prelude::*;

use super::*;

fn excerpts<'a>(pairs: &'a [(Vec<f32>, Vec<f32>)], strata: &[Stratum]) -> Vec<ScoredExcerpt<'a>> {
    let zipped = pairs.iter().zip(strata);
    zipped.map(|((truth, prediction), &stratum)| ScoredExcerpt { truth, prediction, stratum }).collect()
}

fn resampling() -> Resampling {
    Resampling::new(200, 8, 7)
}

fn naive_correlation(truth: &[f64], prediction: &[f64]) -> Option<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_truth, mean_prediction) = (mean(truth), mean(prediction));
    let constant = |values: &[f64]| values.iter().all(|value| *value == values[0]);
    if truth.is_empty() || constant(truth) || constant(prediction) {
        return None;
    }
    let covariance: f64 =
        truth.iter().zip(prediction).map(|(y, p)| (y - mean_truth) * (p - mean_prediction)).sum();
    let spread =
        |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt();
    Some(covariance / spread(truth, mean_truth) / spread(prediction, mean_prediction))
}

fn close(left: Option<f64>, right: Option<f64>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => (left - right).abs() <= 1e-6 * (1.0 + right.abs()),
        (left, right) => left == right,
    }
}

/// Small integers make constants and ties common.
fn excerpt() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    let value = || prop_oneof![(-2_i8..4).prop_map(f32::from), -3.0_f32..3.0];
    prop::collection::vec((value(), value()), 1..12).prop_map(|pairs| pairs.into_iter().unzip())
}

proptest! {
    #[test]
    fn measures_match_their_formulas(pairs in prop::collection::vec(excerpt(), 1..7), maximum in -1.0_f32..5.0) {
        let strata: Vec<_> = (0..pairs.len()).map(|i| if i % 2 == 0 { Stratum::Top } else { Stratum::Random }).collect();
        let excerpts = excerpts(&pairs, &strata);
        let calibration = Calibration::Linear { slope: 0.7, intercept: 0.2 };
        let scores = Scores::of(&excerpts, Some(&calibration), maximum, &resampling());
        let sets: [(Measures, &dyn Fn(Stratum) -> bool); 3] = [
            (scores.top_and_random, &|_| true),
            (scores.top_only, &|stratum| stratum == Stratum::Top),
            (scores.random_only, &|stratum| stratum == Stratum::Random),
        ];
        for (measures, wanted) in sets {
            let chosen = || excerpts.iter().filter(|excerpt| wanted(excerpt.stratum));
            let truth: Vec<f64> = chosen().flat_map(|e| e.truth).map(|y| f64::from(*y)).collect();
            let prediction: Vec<f64> = chosen().flat_map(|e| e.prediction).map(|p| f64::from(*p)).collect();
            prop_assert!(close(measures.correlation.value, naive_correlation(&truth, &prediction)));

            let mean = truth.iter().sum::<f64>() / truth.len() as f64;
            let variance: f64 = truth.iter().map(|y| (y - mean).powi(2)).sum();
            let pairs = || truth.iter().zip(&prediction).map(|(y, p)| (y, 0.7 * p + 0.2));
            let residual: f64 = pairs().map(|(y, c)| (y - c).powi(2)).sum();
            let constant = truth.iter().all(|y| *y == truth[0]);
            let r_squared = (!truth.is_empty() && !constant).then(|| 1.0 - residual / variance);
            prop_assert!(close(measures.r_squared.value, r_squared));

            let magnitude: f64 = truth.iter().map(|y| y.abs()).sum();
            let deviation: f64 = pairs().map(|(y, c)| (y - c).abs()).sum();
            prop_assert!(close(measures.absolute_deviation.value, (magnitude > 0.0).then(|| 1.0 - deviation / magnitude)));

            let half = f64::from(maximum) / 2.0;
            let fires = |value: &f64| half > 0.0 && *value >= half;
            let (fired, predicted) = (truth.iter().filter(|y| fires(y)).count(), prediction.iter().filter(|p| fires(p)).count());
            let hits = truth.iter().zip(&prediction).filter(|(y, p)| fires(y) && fires(p)).count();
            let share = |n: usize, of: usize| (of > 0).then(|| n as f64 / of as f64);
            prop_assert!(close(measures.precision.value, share(hits, predicted)));
            prop_assert!(close(measures.recall.value, share(hits, fired)));
            prop_assert!(close(measures.f1.value, share(2 * hits, predicted + fired)));
        }
    }

    #[test]
    fn calibration_is_least_squares(pairs in prop::collection::vec(excerpt(), 1..5), step in -0.5_f64..0.5) {
        let excerpts = excerpts(&pairs, &[Stratum::Top; 5]);
        let fitted = Calibration::linear(&excerpts).unwrap();
        let Calibration::Linear { slope, intercept } = fitted else { panic!() };
        let loss = |calibration: Calibration| -> f64 {
            let tokens = excerpts.iter().flat_map(|e| e.truth.iter().zip(e.prediction));
            tokens.map(|(y, p)| (f64::from(*y) - calibration.apply(f64::from(*p))).powi(2)).sum()
        };
        let steeper = loss(Calibration::Linear { slope: slope + step, intercept });
        let higher = loss(Calibration::Linear { slope, intercept: intercept + step });
        prop_assert!(loss(fitted) <= steeper.min(higher) + 1e-9);
    }

    /// The fast resampling equals concatenating the drawn excerpts' tokens.
    #[test]
    fn resamples_equal_concatenation(pairs in prop::collection::vec(excerpt(), 2..5)) {
        let strata = [Stratum::Random; 5];
        let excerpts = excerpts(&pairs, &strata);
        let resampling = Resampling::new(20, 5, 3);
        let sums: Vec<Sums> = excerpts.iter().map(|e| Sums::of(*e, sums::Centre::of(&excerpts), None, 1.0)).collect();
        let mut tokens = Vec::new();
        resampling.for_each(&[], &sums, |resample| tokens.push(resample.tokens));
        prop_assert_eq!(tokens.len(), 20);
        let smallest = pairs.iter().map(|pair| pair.0.len()).min().unwrap_or(0) * pairs.len();
        let largest = pairs.iter().map(|pair| pair.0.len()).max().unwrap_or(0) * pairs.len();
        prop_assert!(tokens.iter().all(|&n| n as usize >= smallest && n as usize <= largest));
    }
}

#[test]
fn a_constant_prediction_has_no_correlation() {
    let pairs = vec![(vec![0.0, 1.0, 3.0], vec![0.25; 3]), (vec![0.0, 0.5, 0.0], vec![0.25; 3])];
    let scores = Scores::of(&excerpts(&pairs, &[Stratum::Top, Stratum::Random]), None, 3.0, &resampling());
    assert_eq!(scores.top_and_random.correlation, Estimate::default());
    assert_eq!(scores.top_and_random.r_squared.value, None, "no calibration, no R²");
    assert_eq!(scores.top_and_random.precision.value, None, "nothing was predicted to fire");
    assert_eq!(scores.top_and_random.recall.value, Some(0.0));
    assert_eq!(scores.top_and_random.f1.value, Some(0.0));
}

#[test]
fn the_constant_explanation_explains_nothing() {
    use crate::{Constant, Predictor};
    let truth = [vec![0.0, 1.0, 3.0], vec![0.0, 0.5, 0.0]];
    let pairs: Vec<(Vec<f32>, Vec<f32>)> =
        truth.map(|truth| (truth, Constant(0.25).predict(&[1, 2, 3]))).to_vec();
    let excerpts = excerpts(&pairs, &[Stratum::Top, Stratum::Random]);
    let calibration = Calibration::linear(&excerpts).unwrap();
    assert_eq!(calibration, Calibration::Linear { slope: 0.0, intercept: 0.75 });
    let scores = Scores::of(&excerpts, Some(&calibration), 3.0, &resampling());
    assert_eq!(scores.top_and_random.correlation.value, None);
    assert!(scores.top_and_random.r_squared.value.unwrap().abs() < 1e-12);
}

#[test]
fn values_that_are_not_finite_leave_measures_undefined() {
    let pairs =
        vec![(vec![0.0, f32::NAN, 3.0], vec![0.0, 1.0, 2.0]), (vec![0.0, 0.5, 0.0], vec![0.0, 1.0, 0.0])];
    let excerpts = excerpts(&pairs, &[Stratum::Top, Stratum::Random]);
    assert_eq!(Calibration::linear(&excerpts).as_ref(), None);
    let scores = Scores::of(&excerpts, Calibration::linear(&excerpts).as_ref(), 3.0, &resampling());
    assert_eq!(scores.top_and_random.correlation.value, None);
    assert_eq!(scores.top_and_random.absolute_deviation.value, None);
}

#[test]
fn one_excerpt_has_a_value_but_no_interval() {
    let pairs = vec![(vec![0.0, 1.0, 3.0], vec![0.0, 1.0, 2.0])];
    let scores = Scores::of(&excerpts(&pairs, &[Stratum::Top]), None, 3.0, &resampling());
    assert!(scores.top_only.correlation.value.is_some());
    assert_eq!(scores.top_only.correlation.interval, None);
    assert_eq!(scores.random_only, Measures::default());
}

#[test]
fn no_excerpts_leave_everything_undefined() {
    let scores = Scores::of(&[], Calibration::linear(&[]).as_ref(), 1.0, &resampling());
    assert_eq!(scores.top_and_random, Measures::default());
}

#[test]
fn intervals_hold_the_value_and_repeat_with_the_seed() {
    let pairs: Vec<(Vec<f32>, Vec<f32>)> = (0..8_u8)
        .map(|i| {
            let truth: Vec<f32> = (0..10_u8).map(|t| f32::from((t * (i + 1)) % 7)).collect();
            let prediction = truth.iter().enumerate().map(|(t, y)| y + f32::from((t % 3) as u8)).collect();
            (truth, prediction)
        })
        .collect();
    let strata: Vec<Stratum> = (0..8).map(|i| if i < 4 { Stratum::Top } else { Stratum::Random }).collect();
    let excerpts = excerpts(&pairs, &strata);
    let calibration = Calibration::linear(&excerpts);
    let scores = Scores::of(&excerpts, calibration.as_ref(), 6.0, &resampling());
    assert_eq!(scores, Scores::of(&excerpts, calibration.as_ref(), 6.0, &resampling()));
    let correlation = scores.top_and_random.correlation;
    let (value, interval) = (correlation.value.unwrap(), correlation.interval.unwrap());
    assert!(interval.low < value && value < interval.high, "{interval:?} around {value}");
}

#[test]
fn percentiles_match_by_rank() {
    let pairs = [(vec![0.0, 4.0, 1.0], vec![10.0, 30.0, 20.0])];
    let matching = Calibration::percentile(&excerpts(&pairs, &[Stratum::Top])).unwrap();
    let mapped = [5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 99.0].map(|prediction| matching.apply(prediction));
    assert_eq!(mapped, [0.0, 0.0, 0.5, 1.0, 2.5, 4.0, 4.0]);
    // Equal predictions get the mean of their ranks.
    let tied = [(vec![0.0, 1.0, 5.0, 9.0], vec![0.0, 0.0, 0.0, 2.0])];
    let matching = Calibration::percentile(&excerpts(&tied, &[Stratum::Top])).unwrap();
    assert_eq!([-1.0, 0.0, 1.0, 2.0].map(|prediction| matching.apply(prediction)), [2.0, 2.0, 5.5, 9.0]);
    assert_eq!(Calibration::percentile(&[]), None);
    let broken = [(vec![f32::NAN], vec![0.0])];
    assert_eq!(Calibration::percentile(&excerpts(&broken, &[Stratum::Top])), None);
}

proptest! {
    /// Matching is monotonous and stays within the activations it was fitted on.
    #[test]
    fn percentile_matching_is_monotonous(pair in excerpt(), low in -4.0_f64..4.0, step in 0.0_f64..4.0) {
        let pairs = [pair];
        let matching = Calibration::percentile(&excerpts(&pairs, &[Stratum::Random])).unwrap();
        let (first, second) = (matching.apply(low), matching.apply(low + step));
        let range = pairs[0].0.iter().fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(f64::from(*y)), high.max(f64::from(*y))));
        prop_assert!(first <= second + 1e-9);
        prop_assert!(first >= range.0 - 1e-9 && second <= range.1 + 1e-9);
    }
}
