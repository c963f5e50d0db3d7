//! A dictionary as a subject model carries it: its latents are a hook point of the forward pass.

use glossator_kernels::{Precision, Threads};
use glossator_model::checkpoint::Matrix;
use glossator_model::{FeatureDictionary, HookPoint};

use crate::coder::Coder;
use crate::dictionary::Dictionary;
use crate::error::DictionaryError;

/// A dictionary that reads one hook point and reconstructs the same or another one.
pub struct SplicedDictionary {
    coder: Coder<Dictionary>,
    writes_to: HookPoint,
}

impl SplicedDictionary {
    /// Packs a dictionary that reconstructs `writes_to`. Latents are computed in f32: which of them are chosen should not
    /// depend on the precision of the forward pass alone.
    ///
    /// # Errors
    /// What [`Dictionary::check`] finds.
    pub fn new(dictionary: Dictionary, writes_to: HookPoint) -> Result<Self, DictionaryError> {
        dictionary.check()?;
        Ok(Self { coder: Coder::new(dictionary, Precision::F32), writes_to })
    }

    /// The dictionary.
    pub fn dictionary(&self) -> &Dictionary {
        self.coder.dictionary()
    }

    fn rows(&self, matrix: &[f32], cols: usize) -> Matrix {
        Matrix { rows: self.dictionary().latents, cols, data: matrix.to_vec() }
    }
}

impl FeatureDictionary for SplicedDictionary {
    fn features(&self) -> usize {
        self.dictionary().latents
    }

    fn width(&self) -> usize {
        self.dictionary().d_input
    }

    fn encode(&self, activations: &[f32], features: &mut [f32], threads: Threads) {
        let latents = match threads {
            Threads::One => self.coder.encode_here(activations),
            Threads::All => self.coder.encode(activations),
        };
        features.fill(0.0);
        for (row, (indices, values)) in features.chunks_exact_mut(self.features()).zip(latents.iter()) {
            for (index, value) in indices.iter().zip(values) {
                row[*index as usize] = *value;
            }
        }
    }

    fn change(&self, before: &[f32], after: &[f32], activations: &mut [f32]) {
        let (dictionary, features) = (self.dictionary(), self.features());
        let rows = before.chunks_exact(features).zip(after.chunks_exact(features));
        for (activations, (before, after)) in activations.chunks_exact_mut(dictionary.d_output).zip(rows) {
            let restore = dictionary.input.restore;
            let back = if restore { dictionary.input.normalisation.row_map(activations).back } else { 1.0 };
            for (latent, (before, after)) in before.iter().zip(after).enumerate() {
                if before != after {
                    let change = (after - before) * back;
                    let direction = dictionary.decoder_row(latent);
                    activations.iter_mut().zip(direction).for_each(|(x, d)| *x += change * d);
                }
            }
        }
    }

    fn writes_to(&self) -> HookPoint {
        self.writes_to
    }

    fn decoder(&self) -> Matrix {
        self.rows(&self.dictionary().decoder, self.dictionary().d_output)
    }

    fn encoder(&self) -> Matrix {
        self.rows(&self.dictionary().encoder, self.dictionary().d_input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, inputs};
    use crate::{Activation, InputConvention, Normalisation};

    fn spliced(normalisation: Normalisation) -> SplicedDictionary {
        let mut dictionary = example(6, 6, 20, Activation::Relu);
        dictionary.input = InputConvention { subtract_decoder_bias: true, normalisation, restore: true };
        SplicedDictionary::new(dictionary, HookPoint::resid_post(0)).unwrap()
    }

    #[test]
    fn features_are_the_latents_written_out() {
        let spliced = spliced(Normalisation::None);
        let rows = inputs(9, 6);
        let expected = Coder::new(spliced.dictionary(), Precision::F32).encode(&rows).to_dense();
        for threads in [Threads::One, Threads::All] {
            let mut features = vec![f32::NAN; 9 * 20];
            spliced.encode(&rows, &mut features, threads);
            assert_eq!(features, expected);
        }
    }

    #[test]
    fn a_change_adds_the_difference_of_the_reconstructions() {
        for normalisation in [
            Normalisation::None,
            Normalisation::LayerNorm { epsilon: 1e-5 },
            Normalisation::ConstantNorm,
            Normalisation::Scale(0.6),
        ] {
            let spliced = spliced(normalisation);
            let coder = Coder::new(spliced.dictionary(), Precision::F32);
            let rows = inputs(9, 6);
            let before = coder.encode(&rows);
            let mut after = before.to_dense();
            for row in after.chunks_exact_mut(20) {
                row[3] = 1.5;
                row[7] = 0.0;
            }
            let mut changed = rows.clone();
            spliced.change(&before.to_dense(), &after, &mut changed);
            let after = crate::SparseLatents::from_dense(&after, 20);
            let (old, new) = (coder.reconstruct(&before, &rows), coder.reconstruct(&after, &rows));
            for (i, x) in rows.iter().enumerate() {
                let expected = x + new[i] - old[i];
                assert!((changed[i] - expected).abs() < 1e-5, "{normalisation:?}: {} {expected}", changed[i]);
            }
        }
    }
}
