//! What a dictionary has to beat, each as sparse as it is: with k its L0, rounded, and μ the mean activation,
//!
//! | baseline | x̂ |
//! |---|---|
//! | coordinates | μ + the k coordinates of x − μ of largest magnitude, zeros elsewhere |
//! | principal components | μ + the projection of x − μ on the k leading principal components |
//! | random dictionary | μ + Dᵀ f; f the k largest of max(D (x − μ), 0), rows of D random unit vectors |
//!
//! The mean and the components come from other text than the evaluation. All three are dictionaries in form, so that
//! everything that is measured of a dictionary is measured of them. The random dictionary has as many latents as the
//! dictionary it stands beside.

use super::candidate::CandidateKind;
use super::moments::Moments;
use super::principal_components::leading_components;
use crate::activation::{Activation, Sign};
use crate::dictionary::{Dictionary, InputConvention};
use crate::metadata::Metadata;
use crate::random::Random;

/// A baseline of activations with these moments, as sparse as `l0`, with `latents` latents if it can have any number.
///
/// None without rows, for principal components without a covariance, and for what is no baseline.
pub fn baseline(kind: CandidateKind, moments: &Moments, l0: f64, latents: usize) -> Option<Dictionary> {
    let mean: Vec<f32> = moments.mean()?.into_iter().map(|value| value as f32).collect();
    let d = mean.len();
    let k = (l0.round() as usize).max(1);
    let (directions, activation) = match kind {
        CandidateKind::Dictionary | CandidateKind::ShuffledModel => return None,
        CandidateKind::Coordinates => (identity(d), Activation::TopK { k: k.min(d), sign: Sign::Magnitude }),
        CandidateKind::PrincipalComponents => {
            let k = k.min(d);
            let basis = leading_components(&moments.covariance()?, d, k);
            let basis = basis.into_iter().map(|value| value as f32).collect();
            (basis, Activation::TopK { k, sign: Sign::Signed })
        }
        CandidateKind::RandomDictionary => {
            (random_directions(latents, d), Activation::TopK { k: k.min(latents), sign: Sign::Positive })
        }
    };
    let latents = directions.len() / d;
    Some(Dictionary {
        d_input: d,
        d_output: d,
        latents,
        encoder: directions.clone(),
        encoder_bias: vec![0.0; latents],
        decoder: directions,
        decoder_bias: mean,
        skip: None,
        activation,
        input: InputConvention { subtract_decoder_bias: true, ..InputConvention::default() },
        metadata: Metadata::default(),
    })
}

/// The unit vectors along the axes `[d, d]`.
fn identity(d: usize) -> Vec<f32> {
    (0..d * d).map(|i| f32::from(u8::from(i % (d + 1) == 0))).collect()
}

/// Unit vectors that are uniform over the sphere `[count, d]`.
fn random_directions(count: usize, d: usize) -> Vec<f32> {
    let mut random = Random::new(0);
    let mut directions = Vec::with_capacity(count * d);
    for _ in 0..count {
        let direction: Vec<f64> = (0..d).map(|_| random.normal()).collect();
        let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
        directions.extend(direction.into_iter().map(|x| (x / norm) as f32));
    }
    directions
}

#[cfg(test)]
mod tests {
    use glossator_kernels::Precision;

    use super::*;
    use crate::Coder;
    use crate::testing::numbers;

    /// Rows around (10, −5, 0, 2), long along the first axis and short along the last.
    fn rows() -> Vec<f32> {
        let shape = |(i, x): (usize, &f32)| [10.0, -5.0, 0.0, 2.0][i % 4] + x * [4.0, 2.0, 1.0, 0.25][i % 4];
        numbers(11, 4 * 500).iter().enumerate().map(shape).collect()
    }

    fn moments() -> Moments {
        let mut moments = Moments::new(4, true);
        moments.add(&rows());
        moments
    }

    fn reconstruct(kind: CandidateKind, l0: f64, rows: &[f32]) -> Vec<f32> {
        let coder = Coder::new(baseline(kind, &moments(), l0, 30).unwrap(), Precision::F32);
        coder.dictionary().check().unwrap();
        coder.reconstruct(&coder.encode(rows), rows)
    }

    #[test]
    fn coordinates_keep_the_largest_deviations() {
        let mean = moments().mean().unwrap();
        let row: Vec<f32> = [1.0, -3.0, 0.5, 2.0].iter().zip(&mean).map(|(x, m)| x + *m as f32).collect();
        let found = reconstruct(CandidateKind::Coordinates, 1.8, &row);
        let expected = [mean[0] as f32, row[1], mean[2] as f32, row[3]];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    }

    #[test]
    fn components_keep_the_longest_axes() {
        let (rows, mean) = (rows(), moments().mean().unwrap());
        let found = reconstruct(CandidateKind::PrincipalComponents, 2.0, &rows);
        // The axes are the components up to sampling error.
        let error = |i: usize, truth: f64| {
            let differences = found.iter().skip(i).step_by(4).map(|y| (f64::from(*y) - truth).abs());
            differences.sum::<f64>() / 500.0
        };
        assert!(error(2, mean[2]) < 0.15 && error(3, mean[3]) < 0.05);
        let kept = rows.iter().step_by(4).zip(found.iter().step_by(4)).all(|(x, y)| (x - y).abs() < 0.3);
        assert!(kept, "the first axis is the first component");
        let all = reconstruct(CandidateKind::PrincipalComponents, 9.0, &rows);
        assert!(all.iter().zip(&rows).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn random_dictionaries_have_unit_rows_and_the_wanted_sparsity() {
        let dictionary = baseline(CandidateKind::RandomDictionary, &moments(), 3.0, 30).unwrap();
        for row in dictionary.decoder.chunks_exact(4) {
            assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let latents = Coder::new(dictionary, Precision::F32).encode(&rows());
        assert_eq!(latents.active(), 3 * 500);
    }

    #[test]
    fn nothing_comes_of_no_rows() {
        let empty = Moments::new(4, true);
        assert_eq!(baseline(CandidateKind::Coordinates, &empty, 2.0, 8), None);
        assert_eq!(baseline(CandidateKind::PrincipalComponents, &Moments::new(4, false), 2.0, 8), None);
        assert_eq!(baseline(CandidateKind::Dictionary, &moments(), 2.0, 8), None);
    }
}
