//! Rewriting a dictionary into another convention without changing what it computes.
//!
//! With the equations of `dictionary.rs`:
//!
//! - subtraction: E (u − b_d) + b_e = E u + (b_e − E b_d), so s can be 0 or 1 for any autoencoder;
//! - one scale for all inputs, u = c x: E (c x − b_d) + b_e = (c E)(x − b_d / c) + b_e, and
//!   (Dᵀ f + b_d) / c = (D / c)ᵀ f + b_d / c where the normalisation is undone;
//! - decoder norms that multiply pre-activations and divide decoder rows: E and b_e rows times ‖D_i‖, D rows over it.

use std::borrow::Cow;

use crate::activation::Activation;
use crate::dictionary::Dictionary;
use crate::normalisation::Normalisation;

/// The same dictionary with the decoder bias subtracted from inputs, or not. `None` for transcoders that change width.
pub(super) fn with_subtraction(dictionary: &Dictionary, subtract: bool) -> Option<Cow<'_, Dictionary>> {
    if dictionary.input.subtract_decoder_bias == subtract {
        return Some(Cow::Borrowed(dictionary));
    }
    if dictionary.d_input != dictionary.d_output {
        return None;
    }
    let mut folded = dictionary.clone();
    folded.input.subtract_decoder_bias = subtract;
    let sign = if subtract { 1.0 } else { -1.0 };
    let rows = dictionary.encoder.chunks_exact(dictionary.d_input);
    for (latent, row) in rows.enumerate() {
        let product = |(&e, &b): (&f32, &f32)| f64::from(e) * f64::from(b);
        let shift = sign * row.iter().zip(&dictionary.decoder_bias).map(product).sum::<f64>();
        let moved = |bias: f32, scale: f64| (f64::from(bias) + scale * shift) as f32;
        folded.encoder_bias[latent] = moved(dictionary.encoder_bias[latent], 1.0);
        if let Activation::Gated { log_magnitude_scale, magnitude_bias } = &mut folded.activation {
            let scale = f64::from(log_magnitude_scale[latent]).exp();
            magnitude_bias[latent] = moved(magnitude_bias[latent], scale);
        }
    }
    Some(Cow::Owned(folded))
}

/// The same dictionary without a scale for all inputs; other normalisations stay.
pub(super) fn without_scale(dictionary: &Dictionary) -> Cow<'_, Dictionary> {
    let Normalisation::Scale(scale) = dictionary.input.normalisation else {
        return Cow::Borrowed(dictionary);
    };
    let mut folded = dictionary.clone();
    folded.input.normalisation = Normalisation::None;
    folded.encoder.iter_mut().for_each(|value| *value *= scale);
    if dictionary.input.restore {
        folded.decoder.iter_mut().for_each(|value| *value /= scale);
        folded.decoder_bias.iter_mut().for_each(|value| *value /= scale);
        return Cow::Owned(folded);
    }
    if dictionary.input.subtract_decoder_bias {
        // The bias that is added stays as it is, so the one that is subtracted has to go first.
        if let Some(moved) = with_subtraction(dictionary, false) {
            return Cow::Owned(without_scale(&moved).into_owned());
        }
    }
    Cow::Owned(folded)
}

/// Makes a dictionary that ranks and reports latents times their decoder norm into one that needs no such rule.
pub(super) fn fold_decoder_norms(dictionary: &mut Dictionary) {
    let (d_input, d_output) = (dictionary.d_input, dictionary.d_output);
    for latent in 0..dictionary.latents {
        let row = &mut dictionary.decoder[latent * d_output..][..d_output];
        let norm = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt() as f32;
        dictionary.encoder_bias[latent] *= norm;
        dictionary.encoder[latent * d_input..][..d_input].iter_mut().for_each(|value| *value *= norm);
        if norm > 0.0 {
            row.iter_mut().for_each(|value| *value /= norm);
        }
    }
}

#[cfg(test)]
mod tests {
    use glossator_kernels::Precision;

    use super::*;
    use crate::Coder;
    use crate::testing::{example, inputs, numbers};

    fn assert_same(a: &Dictionary, b: &Dictionary) {
        let inputs = inputs(30, a.d_input);
        let run = |dictionary: &Dictionary| {
            let coder = Coder::new(dictionary, Precision::F32);
            let latents = coder.encode(&inputs);
            (latents.to_dense(), coder.reconstruct(&latents, &inputs))
        };
        let ((latents_a, out_a), (latents_b, out_b)) = (run(a), run(b));
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(&latents_a, &latents_b) && close(&out_a, &out_b));
    }

    #[test]
    fn folding_changes_nothing() {
        let gated = Activation::Gated { log_magnitude_scale: numbers(8, 20), magnitude_bias: numbers(9, 20) };
        for activation in [Activation::Relu, gated] {
            for subtract in [false, true] {
                let mut dictionary = example(6, 6, 20, activation.clone());
                dictionary.input.subtract_decoder_bias = subtract;
                assert_same(&dictionary, &with_subtraction(&dictionary, !subtract).unwrap());
                dictionary.input.normalisation = Normalisation::Scale(0.7);
                assert_same(&dictionary, &without_scale(&dictionary));
                dictionary.input.restore = false;
                let folded = without_scale(&dictionary);
                assert_eq!(folded.input.normalisation, Normalisation::None);
                assert_same(&dictionary, &folded);
            }
        }
        assert!(with_subtraction(&example(6, 4, 20, Activation::Relu), true).is_none());
    }
}
