//! A simulator's distributions in the published form, written and read.
//!
//! The release gives for each token the values that the simulator named, and their probabilities; on the scale of the neuron
//! the values are calibrated, and the simulation as it was before that is inside, with the whole numbers from 0 to 10 as
//! values. An atlas keeps whole numbers from 0 to a largest one (9 where a model writes 10 as two digits, written as tenths of
//! 10/9) whose activations are evenly spaced, as they are without calibration and with a linear one.

use glossator_atlas::Distributions;

use super::objects::{ActivationScale, SequenceSimulation};

/// The largest published number.
const MOST: f64 = 10.0;
/// Scales on which published values may be whole numbers.
const SCALES: [u8; 2] = [10, 9];
/// How far from one a value may be, as a share of the scale.
const TOLERANCE: f64 = 1e-4;

/// A number on the published scale.
pub(super) fn normalised(distributions: &Distributions, number: u8) -> f64 {
    MOST * f64::from(number) / f64::from(distributions.most())
}

/// `[position]` the values of the numbers that have a probability.
pub(super) fn values(distributions: &Distributions, value: impl Fn(u8) -> f64) -> Vec<Vec<f64>> {
    let position = |place| distributions.at(place).map(|(number, _)| value(number)).collect();
    (0..distributions.len()).map(position).collect()
}

/// `[position]` their probabilities.
pub(super) fn probabilities(distributions: &Distributions) -> Vec<Vec<f64>> {
    let position = |place| distributions.at(place).map(|(_, probability)| probability).collect();
    (0..distributions.len()).map(position).collect()
}

/// `[position]` the expected values on the published scale; 0 where nothing is known.
pub(super) fn means(distributions: &Distributions) -> Vec<f64> {
    let mean = |place| {
        let numbers = distributions.at(place);
        numbers.map(|(number, probability)| normalised(distributions, number) * probability).sum()
    };
    (0..distributions.len()).map(mean).collect()
}

/// The distributions of a published simulation of a neuron with this maximum; `None` where there are none, an error where they are
/// on no scale that an atlas can keep.
pub(super) fn read(simulation: &SequenceSimulation, maximum: f32) -> Result<Option<Distributions>, NoScale> {
    if simulation.distribution_values.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let as_given = simulation.uncalibrated_simulation.as_deref().unwrap_or(simulation);
    if as_given.activation_scale != ActivationScale::SimulatedNormalizedActivations
        || !alike(&as_given.distribution_values, &simulation.distribution_values)
    {
        return Err(NoScale);
    }
    let most = SCALES.into_iter().find(|most| {
        let mut values = as_given.distribution_values.iter().flatten();
        values.all(|value| number(*value, *most).is_some())
    });
    let most = most.ok_or(NoScale)?;
    let ends = match simulation.activation_scale {
        ActivationScale::SimulatedNormalizedActivations => [0.0, f64::from(maximum)],
        ActivationScale::NeuronActivations => ends(as_given, simulation, most, f64::from(maximum))?,
    };
    let ends = ends.map(|end| end as f32);
    if !ends.iter().all(|end| end.is_finite()) {
        return Err(NoScale);
    }
    let mut distributions = Distributions::new(most, ends);
    for (values, probabilities) in
        as_given.distribution_values.iter().zip(&simulation.distribution_probabilities)
    {
        let mut weights = vec![0.0; usize::from(most) + 1];
        for (value, probability) in values.iter().zip(probabilities) {
            weights[usize::from(number(*value, most).ok_or(NoScale)?)] += probability;
        }
        distributions.push(&weights);
    }
    Ok(Some(distributions))
}

/// Distributions that an atlas cannot keep.
#[derive(Debug, PartialEq)]
pub(super) struct NoScale;

/// Whether two lists have as many values at each position.
fn alike(a: &[Vec<f64>], b: &[Vec<f64>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.len() == b.len())
}

/// The number up to `most` that a value from 0 to 10 stands for.
fn number(value: f64, most: u8) -> Option<u8> {
    let number = value * f64::from(most) / MOST;
    let whole = number.round();
    let close = (number - whole).abs() <= TOLERANCE * f64::from(most);
    (close && (0.0..=f64::from(most)).contains(&whole)).then_some(whole as u8)
}

/// The activations that 0 and the largest number stand for, from values before and after calibration. Where only one number is
/// there, 0 stands for no activation, or the largest number for the maximum more than 0 does.
fn ends(
    as_given: &SequenceSimulation,
    calibrated: &SequenceSimulation,
    most: u8,
    maximum: f64,
) -> Result<[f64; 2], NoScale> {
    let numbers = as_given.distribution_values.iter().flatten().map(|value| number(*value, most));
    let pairs = || numbers.clone().zip(calibrated.distribution_values.iter().flatten());
    let known = || pairs().filter_map(|(number, value)| Some((number?, *value)));
    let ends = (known().min_by_key(|(number, _)| *number), known().max_by_key(|(number, _)| *number));
    let (Some((least, lowest)), Some((largest, highest))) = ends else { return Err(NoScale) };
    let most = f64::from(most);
    let step = if largest > least {
        (highest - lowest) / f64::from(largest - least)
    } else if least > 0 {
        lowest / f64::from(least)
    } else {
        maximum / most
    };
    let zero = lowest - step * f64::from(least);
    let even = pairs().all(|(number, value)| {
        let expected = number.map(|number| zero + step * f64::from(number));
        expected.is_some_and(|expected| (value - expected).abs() <= TOLERANCE * (most * step).abs())
    });
    if even { Ok([zero, zero + most * step]) } else { Err(NoScale) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Calibrate<'a> = Option<&'a dyn Fn(f64) -> f64>;

    /// A simulation on the published scale, and one of the same neuron after `calibrate`.
    fn published(values: &[&[f64]], calibrate: Calibrate<'_>) -> SequenceSimulation {
        let probabilities = values.iter().map(|values| vec![1.0 / values.len() as f64; values.len()]);
        let as_given = SequenceSimulation {
            tokens: vec!["a".to_owned(); values.len()],
            expected_activations: vec![0.0; values.len()],
            activation_scale: ActivationScale::SimulatedNormalizedActivations,
            distribution_values: values.iter().map(|values| values.to_vec()).collect(),
            distribution_probabilities: probabilities.collect(),
            uncalibrated_simulation: None,
        };
        let Some(calibrate) = calibrate else { return as_given };
        let calibrated = |values: &&[f64]| values.iter().map(|value| calibrate(*value)).collect();
        SequenceSimulation {
            activation_scale: ActivationScale::NeuronActivations,
            distribution_values: values.iter().map(calibrated).collect(),
            uncalibrated_simulation: Some(Box::new(as_given.clone())),
            ..as_given
        }
    }

    const VALUES: [&[f64]; 3] = [&[0.0, 10.0], &[], &[3.0]];

    #[test]
    fn scales_that_are_evenly_spaced_are_kept() {
        let linear = |value: f64| 0.5 * value - 1.0;
        let as_they_are = |value: f64| value;
        let cases: [(Calibrate<'_>, [f64; 2]); 3] =
            [(None, [0.0, 4.0]), (Some(&linear), [-1.0, 4.0]), (Some(&as_they_are), [0.0, 10.0])];
        for (calibrate, ends) in cases {
            let kept = read(&published(&VALUES, calibrate), 4.0).unwrap().unwrap();
            assert_eq!((kept.most(), kept.len()), (10, 3));
            assert_eq!([kept.activation(0), kept.activation(10)], ends);
            let halves: Vec<(u8, f64)> = kept.at(0).collect();
            assert!(halves[0].0 == 0 && halves[1].0 == 10 && (halves[0].1 - 0.5).abs() < 1e-4, "{halves:?}");
            assert_eq!((kept.at(1).count(), kept.at(2).collect::<Vec<_>>()), (0, vec![(3, 1.0)]));
        }
        // One number alone.
        for (value, ends) in [(0.0, [-1.0, 3.0]), (5.0, [0.0, 3.0])] {
            let kept = read(&published(&[&[value]], Some(&linear)), 4.0).unwrap().unwrap();
            assert_eq!([kept.activation(0), kept.activation(10)], ends);
        }
    }

    #[test]
    fn digits_are_a_scale_of_their_own() {
        let third = 10.0 / 3.0;
        let kept = read(&published(&[&[0.0, third, 10.0]], None), 4.0).unwrap().unwrap();
        let numbers: Vec<u8> = kept.at(0).map(|(number, _)| number).collect();
        assert_eq!((kept.most(), numbers), (9, vec![0, 3, 9]));
        assert!((normalised(&kept, 3) - third).abs() < 1e-12);
    }

    #[test]
    fn other_scales_are_told_from_none() {
        let bent = |value: f64| value * value;
        assert_eq!(read(&published(&[&[0.0, 3.0, 10.0]], Some(&bent)), 4.0), Err(NoScale));
        assert_eq!(read(&published(&[&[0.0, 2.5]], None), 4.0), Err(NoScale), "no whole numbers");
        assert_eq!(read(&published(&[&[11.0]], None), 4.0), Err(NoScale));
        let calibrated = published(&VALUES, Some(&|value| value));
        let alone = SequenceSimulation { uncalibrated_simulation: None, ..calibrated.clone() };
        assert_eq!(read(&alone, 4.0), Err(NoScale), "nobody knows what the numbers were");
        let mut shorter = calibrated;
        shorter.distribution_values[0].pop();
        assert_eq!(read(&shorter, 4.0), Err(NoScale));
        assert_eq!(read(&published(&[&[], &[]], None), 4.0), Ok(None));
    }
}
