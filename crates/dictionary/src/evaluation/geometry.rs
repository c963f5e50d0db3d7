//! How what a latent reads relates to what it writes: cos(eᵢ, dᵢ), a property of the weights alone.
//!
//! A latent with a cosine near 1 reads what it writes; the ultra-low-density latents of Bricken et al. 2023 have small
//! ones. It is undefined where encoder and decoder live in spaces of different width, or a row is zero.

use serde::Serialize;

use super::defined::{median, ratio};
use crate::dictionary::Dictionary;

/// Bins of the histogram between −1 and 1.
const BINS: usize = 40;

/// Cosines between encoder and decoder rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GeometryMetrics {
    /// The mean over the latents where it is defined.
    pub encoder_decoder_cosine: Option<f64>,
    /// The median over them.
    pub encoder_decoder_cosine_median: Option<f64>,
    /// Latents where it is undefined.
    pub undefined: u64,
    /// Latents by cosine, in equal bins between −1 and 1; the last holds 1 too.
    pub histogram: Vec<u64>,
}

impl GeometryMetrics {
    /// The cosines of a dictionary.
    pub fn new(dictionary: &Dictionary) -> Self {
        let latents = dictionary.latents;
        let cosines: Vec<f64> = if dictionary.d_input == dictionary.d_output {
            let of_latent = |i| cosine(dictionary.encoder_row(i), dictionary.decoder_row(i));
            (0..latents).filter_map(of_latent).collect()
        } else {
            Vec::new()
        };
        let mut histogram = vec![0; BINS];
        for cosine in &cosines {
            let bin = ((cosine + 1.0) / 2.0 * BINS as f64).max(0.0) as usize;
            histogram[bin.min(BINS - 1)] += 1;
        }
        Self {
            encoder_decoder_cosine: ratio(cosines.iter().sum(), cosines.len() as f64),
            encoder_decoder_cosine_median: median(&cosines),
            undefined: (latents - cosines.len()) as u64,
            histogram,
        }
    }
}

/// The cosine of the angle between two vectors; none if one is zero.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    ratio(dot(a, b), (dot(a, a) * dot(b, b)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;
    use crate::testing::example;

    #[test]
    fn cosines_by_hand() {
        let mut dictionary = example(2, 2, 4, Activation::Relu);
        dictionary.encoder = vec![1.0, 0.0, 3.0, 4.0, 0.0, 2.0, 0.0, 0.0];
        dictionary.decoder = vec![2.0, 0.0, 4.0, 3.0, 0.0, -1.0, 1.0, 1.0];
        let metrics = GeometryMetrics::new(&dictionary);
        assert!((metrics.encoder_decoder_cosine.unwrap() - 0.96 / 3.0).abs() < 1e-12);
        assert!((metrics.encoder_decoder_cosine_median.unwrap() - 0.96).abs() < 1e-12);
        assert_eq!((metrics.undefined, metrics.histogram[0], metrics.histogram[39]), (1, 1, 2));
    }

    #[test]
    fn a_transcoder_between_widths_has_none() {
        let metrics = GeometryMetrics::new(&example(2, 3, 5, Activation::Relu));
        assert_eq!((metrics.encoder_decoder_cosine, metrics.undefined), (None, 5));
    }
}
