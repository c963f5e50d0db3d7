//! Ablation scoring: how much of what a unit does to the model's predictions its simulation does as well.
//!
//! With m(x) the subject model's next-token distributions on excerpt x, m(x, s) those with the unit replaced by its
//! calibrated simulation, m(x, μ) those with the unit replaced by its mean, and AvgJSD the Jensen–Shannon divergence
//! averaged over positions (Bills et al. 2023, "Ablation scoring"):
//!
//! ```text
//! JSD(p ‖ q) = ½ KL(p ‖ ½(p+q)) + ½ KL(q ‖ ½(p+q))                     nats, at most ln 2
//! score      = 1 − Σₓ AvgJSD(m(x, s) ‖ m(x)) / Σₓ AvgJSD(m(x, μ) ‖ m(x))
//! ```
//!
//! 1 is a perfect stand-in, 0 one that is no better than the mean, and below 0 one that is worse. Where the mean changes
//! nothing that can be measured, the unit does nothing there, and the score is undefined.

use super::{Estimate, Resampling, Stratum};

/// Mean divergences below this are rounding of f32 log-probabilities, not an effect, nats.
const NOTHING: f64 = 1e-9;

/// The Jensen–Shannon divergence of two rows of log-probabilities, nats.
pub fn jensen_shannon(p: &[f32], q: &[f32]) -> f64 {
    let mut sum = 0.0;
    for (&p, &q) in p.iter().zip(q) {
        // ½[p ln(p/m) + q ln(q/m)] with m = (p+q)/2, in terms of the difference of the logarithms, so that no two
        // nearly equal sums are subtracted.
        let (p, q) = (f64::from(p), f64::from(q));
        let difference = q - p;
        if difference == 0.0 || p.max(q) < -60.0 {
            continue;
        }
        // Written around the larger of the two, whose share of the mean is at least ½.
        let (larger, gap) = if difference > 0.0 { (q, -difference) } else { (p, difference) };
        let (rest, shift) = (gap.exp_m1(), (0.5 * gap.exp_m1()).ln_1p());
        // larger·(−shift) + smaller·(gap − shift), smaller = larger·(1 + rest)
        let smaller = if gap == f64::NEG_INFINITY { 0.0 } else { (1.0 + rest) * (gap - shift) };
        sum += 0.5 * larger.exp() * (smaller - shift);
    }
    sum.max(0.0)
}

/// The divergences of one excerpt, averaged over its counted positions, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExcerptDivergence {
    /// Where the excerpt was drawn from.
    pub stratum: Stratum,
    /// Of the model with the simulation in the unit's place from the model as it is.
    pub simulated: f64,
    /// The same with the unit's mean in its place.
    pub ablated: f64,
}

/// The score over the excerpts of the given strata, with its interval; undefined where the unit does nothing.
pub fn ablation_score(
    excerpts: &[ExcerptDivergence],
    strata: &[Stratum],
    resampling: &Resampling,
) -> Estimate {
    let of = |stratum: Stratum| -> Vec<ExcerptDivergence> {
        let chosen = excerpts.iter().filter(|excerpt| excerpt.stratum == stratum);
        chosen.filter(|excerpt| strata.contains(&excerpt.stratum)).copied().collect()
    };
    let kinds = [of(Stratum::Top), of(Stratum::Random)];
    let score = |times: [&[u8]; 2]| {
        let (mut simulated, mut ablated, mut count) = (0.0, 0.0, 0.0);
        for (kind, times) in kinds.iter().zip(times) {
            for (excerpt, times) in kind.iter().zip(times) {
                simulated += f64::from(*times) * excerpt.simulated;
                ablated += f64::from(*times) * excerpt.ablated;
                count += f64::from(*times);
            }
        }
        (ablated > NOTHING * count).then(|| 1.0 - simulated / ablated).filter(|score| score.is_finite())
    };
    let sizes = [kinds[0].len(), kinds[1].len()];
    let once = sizes.map(|size| vec![1; size]);
    let value = score([&once[0], &once[1]]);
    Estimate { value, interval: value.and_then(|_| resampling.interval(sizes, score)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn logarithms(weights: &[f64]) -> Vec<f32> {
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| (weight / total).ln() as f32).collect()
    }

    /// Straight from the definition, with the probabilities themselves.
    fn naive(p: &[f32], q: &[f32]) -> f64 {
        let kl = |a: f64, m: f64| if a > 0.0 { a * (a / m).ln() } else { 0.0 };
        let pairs = p.iter().zip(q).map(|(p, q)| (f64::from(*p).exp(), f64::from(*q).exp()));
        pairs.map(|(p, q)| 0.5 * kl(p, f64::midpoint(p, q)) + 0.5 * kl(q, f64::midpoint(p, q))).sum()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pairs in prop::collection::vec((0.001_f64..10.0, 0.001_f64..10.0), 1..30)) {
            let (p, q): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (p, q) = (logarithms(&p), logarithms(&q));
            let (forward, backward) = (jensen_shannon(&p, &q), jensen_shannon(&q, &p));
            prop_assert!((forward - naive(&p, &q)).abs() < 1e-6, "{} {}", forward, naive(&p, &q));
            prop_assert!((forward - backward).abs() < 1e-12);
            prop_assert!((0.0..=std::f64::consts::LN_2 + 1e-6).contains(&forward));
        }
    }

    #[test]
    fn ends_of_the_scale() {
        let certain = [0.0, f32::NEG_INFINITY];
        let opposite = [f32::NEG_INFINITY, 0.0];
        assert!((jensen_shannon(&certain, &opposite) - std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!(jensen_shannon(&certain, &certain), 0.0);
        // ½ KL + ½ KL of a shift by 1e-5 is (1e-5)²/8 at ½: two nearly equal sums would lose it.
        let near = logarithms(&[0.5 + 1e-3, 0.5 - 1e-3]);
        let found = jensen_shannon(&logarithms(&[0.5, 0.5]), &near);
        assert!((found - 5e-7).abs() < 2e-9, "{found}");
    }

    fn excerpt(stratum: Stratum, simulated: f64, ablated: f64) -> ExcerptDivergence {
        ExcerptDivergence { stratum, simulated, ablated }
    }

    #[test]
    fn score_by_hand() {
        let excerpts = [
            excerpt(Stratum::Top, 0.1, 0.4),
            excerpt(Stratum::Top, 0.2, 0.4),
            excerpt(Stratum::Random, 0.1, 0.1),
            excerpt(Stratum::Random, 0.0, 0.1),
        ];
        let resampling = Resampling::new(100, 4, 0);
        let both = ablation_score(&excerpts, &[Stratum::Top, Stratum::Random], &resampling);
        assert!((both.value.unwrap() - 0.6).abs() < 1e-12);
        assert!(both.interval.is_some_and(|interval| interval.low < 0.6 && interval.high > 0.6));
        let random = ablation_score(&excerpts, &[Stratum::Random], &resampling);
        assert!((random.value.unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_unit_that_does_nothing_has_no_score() {
        let nothing = [excerpt(Stratum::Top, 1e-13, 1e-12), excerpt(Stratum::Top, 0.0, 0.0)];
        let resampling = Resampling::new(100, 4, 0);
        assert_eq!(ablation_score(&nothing, &[Stratum::Top], &resampling), Estimate::default());
        assert_eq!(ablation_score(&[], &[Stratum::Top], &resampling), Estimate::default());
    }
}
