//! From pre-activations to sparse latents: what each dictionary variant keeps of z = W x + b.
//!
//! | variant | latents of z | source |
//! |---|---|---|
//! | ReLU | max(z, 0) | Bricken et al. 2023 |
//! | TopK | the k largest z of a row, then max(·, 0) | Gao et al. 2024 |
//! | signed TopK | the k largest z of a row as they are | early SAELens and sparsify files |
//! | AbsTopK | the k z of largest \|z\|, with their sign | SAELens `abstopk` |
//! | BatchTopK | max(z, 0) where z > θ, one θ for all | Bussmann et al. 2024, at inference |
//! | JumpReLU | max(z, 0) where z > θᵢ | Rajamanoharan et al. 2024 |
//! | Gated | max(eʳ · (z − b) + b_mag, 0) where z > 0 | Rajamanoharan et al. 2024 |
//! | GroupMax | the largest max(z, 0) of each of k equal runs of latents | sparsify `groupmax` |

use glossator_kernels::top_k;
use serde::{Deserialize, Serialize};

use crate::error::DictionaryError;

/// Which values a TopK dictionary ranks and keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// The largest values; those below zero become zero.
    #[default]
    Positive,
    /// The largest values as they are, also below zero.
    Signed,
    /// The values largest in magnitude, with their sign.
    Magnitude,
}

/// What a dictionary makes of its pre-activations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Activation {
    /// max(z, 0).
    Relu,
    /// The k largest of each row.
    TopK {
        /// Latents that are kept for each row.
        k: usize,
        /// How they are ranked.
        sign: Sign,
    },
    /// max(z, 0) above one threshold, which stands for the k · rows largest of a training batch.
    BatchTopK {
        /// Latents per row that were kept on average in training.
        k: usize,
        /// Values up to here are dropped; below zero when training has not set it.
        threshold: f32,
    },
    /// max(z, 0) above a threshold for each latent.
    JumpRelu {
        /// `[latents]`: values up to here are dropped.
        threshold: Vec<f32>,
    },
    /// A gate decides which latents are active, another affine map of the same projection how much.
    ///
    /// The gate's bias is the dictionary's encoder bias.
    Gated {
        /// r `[latents]`: the magnitude's projection is eʳ times the gate's.
        log_magnitude_scale: Vec<f32>,
        /// `[latents]`.
        magnitude_bias: Vec<f32>,
    },
    /// The latents are cut into k runs of equal length, and the largest of each is kept.
    GroupMax {
        /// The number of runs; divides the number of latents.
        k: usize,
    },
}

impl Activation {
    /// Refuses parameters that do not fit a dictionary with this many latents.
    pub fn check(&self, latents: usize) -> Result<(), DictionaryError> {
        let value = |what: &str, message: String| DictionaryError::Value { what: what.into(), message };
        let length = |tensor: &str, found: usize| {
            let mismatch = || DictionaryError::Shape {
                tensor: tensor.into(),
                expected: vec![latents],
                found: vec![found],
            };
            (found == latents).then_some(()).ok_or_else(mismatch)
        };
        match self {
            Self::TopK { k, .. } | Self::BatchTopK { k, .. } if *k == 0 || *k > latents => {
                Err(value("k", format!("{k} of {latents} latents cannot be active")))
            }
            Self::GroupMax { k } if *k == 0 || !latents.is_multiple_of(*k) => {
                Err(value("k", format!("{latents} latents do not divide into {k} groups")))
            }
            Self::BatchTopK { threshold, .. } if threshold.is_nan() => {
                Err(value("threshold", "is not a number".into()))
            }
            Self::Relu | Self::TopK { .. } | Self::BatchTopK { .. } | Self::GroupMax { .. } => Ok(()),
            Self::JumpRelu { threshold } => length("threshold", threshold.len()),
            Self::Gated { log_magnitude_scale, magnitude_bias } => {
                length("log_magnitude_scale", log_magnitude_scale.len())?;
                length("magnitude_bias", magnitude_bias.len())
            }
        }
    }

    /// Hands the latents of one row that are not zero to `keep`, in order of index.
    ///
    /// `pre` `[latents]` is z; `bias` `[latents]` is what it contains as encoder bias, which only gated dictionaries
    /// look at. A value that is not a number is kept, so that it is never hidden.
    pub(crate) fn select(&self, pre: &[f32], bias: &[f32], mut keep: impl FnMut(u32, f32)) {
        match self {
            Self::Relu => keep_above(pre, |_| 0.0, keep),
            Self::BatchTopK { threshold, .. } => keep_above(pre, |_| *threshold, keep),
            Self::JumpRelu { threshold } => keep_above(pre, |i| threshold[i], keep),
            Self::TopK { k, sign } => ranked(pre, *k, *sign, keep),
            Self::Gated { log_magnitude_scale: r, magnitude_bias } => {
                for (i, &z) in pre.iter().enumerate() {
                    if exceeds(z, 0.0) {
                        let value = r[i].exp() * (z - bias[i]) + magnitude_bias[i];
                        if exceeds(value, 0.0) {
                            keep(i as u32, value);
                        }
                    }
                }
            }
            Self::GroupMax { k } => {
                let length = pre.len() / k;
                for (group, values) in pre.chunks_exact(length).enumerate() {
                    if let Some(best) = top_k(values, 1).first()
                        && exceeds(best.value, 0.0)
                    {
                        keep((group * length) as u32 + best.index, best.value);
                    }
                }
            }
        }
    }
}

/// Whether a value is above a bound, or hides that by not being a number.
fn exceeds(value: f32, bound: f32) -> bool {
    value > bound || value.is_nan()
}

/// The positive values above a threshold.
fn keep_above(pre: &[f32], threshold: impl Fn(usize) -> f32, mut keep: impl FnMut(u32, f32)) {
    for (i, &z) in pre.iter().enumerate() {
        if exceeds(z, threshold(i).max(0.0)) {
            keep(i as u32, z);
        }
    }
}

/// The k largest values by `sign`, zeros left out.
fn ranked(pre: &[f32], k: usize, sign: Sign, mut keep: impl FnMut(u32, f32)) {
    let mut best = match sign {
        Sign::Magnitude => {
            let magnitudes: Vec<f32> = pre.iter().map(|z| z.abs()).collect();
            top_k(&magnitudes, k)
        }
        Sign::Positive | Sign::Signed => top_k(pre, k),
    };
    best.sort_unstable_by_key(|entry| entry.index);
    for entry in best {
        let value = pre[entry.index as usize];
        if value != 0.0 && (sign != Sign::Positive || exceeds(value, 0.0)) {
            keep(entry.index, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRE: [f32; 6] = [0.5, -3.0, 2.0, 0.0, 1.0, -0.25];

    fn kept(activation: &Activation) -> Vec<(u32, f32)> {
        let mut kept = Vec::new();
        activation.select(&PRE, &[0.25; 6], |index, value| kept.push((index, value)));
        kept
    }

    #[test]
    fn each_variant_keeps_what_its_equation_says() {
        let top = |k, sign| Activation::TopK { k, sign };
        assert_eq!(kept(&Activation::Relu), [(0, 0.5), (2, 2.0), (4, 1.0)]);
        assert_eq!(kept(&top(2, Sign::Positive)), [(2, 2.0), (4, 1.0)]);
        assert_eq!(kept(&top(5, Sign::Positive)), [(0, 0.5), (2, 2.0), (4, 1.0)]);
        assert_eq!(kept(&top(5, Sign::Signed)), [(0, 0.5), (2, 2.0), (4, 1.0), (5, -0.25)]);
        assert_eq!(kept(&top(2, Sign::Magnitude)), [(1, -3.0), (2, 2.0)]);
        assert_eq!(kept(&Activation::BatchTopK { k: 1, threshold: 0.5 }), [(2, 2.0), (4, 1.0)]);
        assert_eq!(kept(&Activation::BatchTopK { k: 1, threshold: -1.0 }), [(0, 0.5), (2, 2.0), (4, 1.0)]);
        let threshold = vec![0.0, 0.0, 2.0, 0.0, 0.9, -1.0];
        assert_eq!(kept(&Activation::JumpRelu { threshold }), [(0, 0.5), (4, 1.0)]);
        assert_eq!(kept(&Activation::GroupMax { k: 3 }), [(0, 0.5), (2, 2.0), (4, 1.0)]);
        let gated = Activation::Gated {
            log_magnitude_scale: vec![0.0, 0.0, 2.0_f32.ln(), 0.0, 0.0, 0.0],
            magnitude_bias: vec![0.0, 9.0, 0.5, 9.0, -0.75, 9.0],
        };
        assert_eq!(kept(&gated), [(0, 0.25), (2, 4.0)]);
    }

    #[test]
    fn what_is_not_a_number_is_kept() {
        let mut kept = Vec::new();
        Activation::Relu
            .select(&[f32::NAN, -1.0], &[0.0; 2], |index, value| kept.push((index, value.is_nan())));
        assert_eq!(kept, [(0, true)]);
    }

    #[test]
    fn impossible_parameters_are_refused() {
        for (activation, reason) in [
            (Activation::TopK { k: 0, sign: Sign::Positive }, "0 of 6 latents"),
            (Activation::BatchTopK { k: 7, threshold: 0.0 }, "7 of 6 latents"),
            (Activation::BatchTopK { k: 2, threshold: f32::NAN }, "not a number"),
            (Activation::GroupMax { k: 4 }, "do not divide into 4 groups"),
            (Activation::JumpRelu { threshold: vec![0.0; 5] }, "threshold has shape [5]"),
        ] {
            let error = activation.check(6).unwrap_err().to_string();
            assert!(error.contains(reason), "`{error}` does not say `{reason}`");
        }
    }
}
