//! How well a dictionary reconstructs activations.
//!
//! With targets y, reconstructions ŷ and the mean target ȳ over rows:
//!
//! - explained variance = 1 − Σ‖y − ŷ‖² / Σ‖y − ȳ‖², one number over all rows and coordinates;
//! - cosine = mean over rows of y·ŷ / (‖y‖ ‖ŷ‖), rows of norm 0 left out;
//! - norm ratio = Σ‖ŷ‖ / Σ‖y‖;
//! - L0 = mean number of latents that are not zero.

use glossator_kernels::Precision;
use serde::Serialize;

use crate::coder::Coder;
use crate::dictionary::Dictionary;

/// A dictionary measured on some rows. What is undefined (no rows, constant targets) is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Share of the targets' variance that the reconstructions have.
    pub explained_variance: Option<f64>,
    /// Mean cosine between target and reconstruction.
    pub cosine: Option<f64>,
    /// Length of reconstructions over length of targets.
    pub norm_ratio: Option<f64>,
    /// Mean number of active latents.
    pub l0: Option<f64>,
    /// Number of rows.
    pub rows: usize,
}

impl Fit {
    /// Reconstructs `targets` `[rows, d_output]` from `inputs` `[rows, d_input]`.
    ///
    /// # Panics
    /// If the two have different numbers of rows.
    pub fn measure(dictionary: &Dictionary, inputs: &[f32], targets: &[f32]) -> Self {
        let coder = Coder::new(dictionary, Precision::F32);
        let latents = coder.encode(inputs);
        let reconstructions = coder.reconstruct(&latents, inputs);
        assert_eq!(reconstructions.len(), targets.len(), "fit: inputs and targets differ in rows");
        let rows = latents.rows();
        let width = dictionary.d_output;
        let mean = mean(targets, width);
        let (mut error, mut variance, mut target_norms, mut own_norms) = (0.0, 0.0, 0.0, 0.0);
        let (mut cosines, mut directions) = (0.0, 0_usize);
        for (y, own) in targets.chunks_exact(width).zip(reconstructions.chunks_exact(width)) {
            let pairs = || y.iter().zip(own).map(|(&y, &own)| (f64::from(y), f64::from(own)));
            error += pairs().map(|(y, own)| (y - own).powi(2)).sum::<f64>();
            variance += y.iter().zip(&mean).map(|(&y, mean)| (f64::from(y) - mean).powi(2)).sum::<f64>();
            let norm = pairs().map(|(y, _)| y * y).sum::<f64>().sqrt();
            let own_norm = pairs().map(|(_, own)| own * own).sum::<f64>().sqrt();
            target_norms += norm;
            own_norms += own_norm;
            if norm > 0.0 && own_norm > 0.0 {
                cosines += pairs().map(|(y, own)| y * own).sum::<f64>() / (norm * own_norm);
                directions += 1;
            }
        }
        let share = |value: f64, of: f64| (of > 0.0).then(|| value / of);
        Self {
            explained_variance: share(error, variance).map(|unexplained| 1.0 - unexplained),
            cosine: share(cosines, directions as f64),
            norm_ratio: share(own_norms, target_norms),
            l0: share(latents.active() as f64, rows as f64),
            rows,
        }
    }
}

/// The mean row.
fn mean(rows: &[f32], width: usize) -> Vec<f64> {
    let mut mean = vec![0.0; width];
    let count = (rows.len() / width).max(1) as f64;
    for row in rows.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value) / count);
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;
    use crate::testing::{identity, inputs};

    #[test]
    fn a_perfect_dictionary_explains_everything() {
        let rows = inputs(50, 6);
        let fit = Fit::measure(&identity(6), &rows, &rows);
        assert!((fit.explained_variance.unwrap() - 1.0).abs() < 1e-9);
        assert!((fit.cosine.unwrap() - 1.0).abs() < 1e-9);
        assert_eq!((fit.norm_ratio, fit.l0, fit.rows), (Some(1.0), Some(6.0), 50));
    }

    #[test]
    fn the_mean_alone_explains_nothing() {
        let rows = inputs(50, 6);
        let mut dictionary = identity(6);
        dictionary.activation = Activation::JumpRelu { threshold: vec![9.0; 12] };
        dictionary.decoder_bias = mean(&rows, 6).iter().map(|&value| value as f32).collect();
        let fit = Fit::measure(&dictionary, &rows, &rows);
        assert!(fit.explained_variance.unwrap().abs() < 1e-6);
        assert_eq!(fit.l0, Some(0.0));
    }

    #[test]
    fn what_is_undefined_is_none() {
        let fit = Fit::measure(&identity(6), &[1.0; 12], &[1.0; 12]);
        assert_eq!(fit.explained_variance, None);
        let fit = Fit::measure(&identity(6), &[], &[]);
        assert_eq!((fit.explained_variance, fit.cosine, fit.norm_ratio, fit.l0), (None, None, None, None));
    }
}
