//! A dictionary as a subject model carries it: its latents are a hook point of the forward pass.
//!
//! A dictionary of one attention head reads and writes `d_head` of the values of a hook point with heads; the others
//! are none of its business.

use std::borrow::Cow;

use glossator_kernels::{Precision, Threads};
use glossator_model::checkpoint::Matrix;
use glossator_model::{FeatureDictionary, HookPoint, SparseRows};

use crate::coder::Coder;
use crate::dictionary::Dictionary;
use crate::error::DictionaryError;
use crate::sparse_latents::SparseLatents;

/// A dictionary that reads one hook point and reconstructs the same or another one.
pub struct SplicedDictionary {
    coder: Coder<Dictionary>,
    writes_to: HookPoint,
    head: Option<HeadSlice>,
}

/// Which of a hook point's values belong to the head that a dictionary is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeadSlice {
    /// The head.
    pub head: usize,
    /// Heads of the hook point.
    pub heads: usize,
}

impl SplicedDictionary {
    /// Packs a dictionary that reconstructs `writes_to`. Latents are computed in f32: which of them are chosen should not
    /// depend on the precision of the forward pass alone.
    ///
    /// # Errors
    /// What [`Dictionary::check`] finds.
    pub fn new(dictionary: Dictionary, writes_to: HookPoint) -> Result<Self, DictionaryError> {
        dictionary.check()?;
        Ok(Self { coder: Coder::new(dictionary, Precision::F32), writes_to, head: None })
    }

    /// The same, as one that reads and writes one head of a hook point with heads.
    ///
    /// # Errors
    /// [`DictionaryError::Value`] if there is no such head, or its input and output are not the same head.
    pub fn of_head(self, slice: HeadSlice) -> Result<Self, DictionaryError> {
        let dictionary = self.dictionary();
        if slice.head >= slice.heads || dictionary.d_input != dictionary.d_output {
            let message = format!(
                "it is about head {} of {}, and {} wide",
                slice.head, slice.heads, dictionary.d_input
            );
            return Err(DictionaryError::Value { what: "head".to_owned(), message });
        }
        Ok(Self { head: Some(slice), ..self })
    }

    /// The dictionary.
    pub fn dictionary(&self) -> &Dictionary {
        self.coder.dictionary()
    }

    /// What it reads of activations `[rows, width]`: `[rows, d_input]`.
    fn inputs<'a>(&self, activations: &'a [f32]) -> Cow<'a, [f32]> {
        let Some(HeadSlice { head, heads }) = self.head else { return Cow::Borrowed(activations) };
        let d_head = self.dictionary().d_input;
        let rows = activations.chunks_exact(d_head * heads);
        Cow::Owned(rows.flat_map(|row| &row[head * d_head..][..d_head]).copied().collect())
    }

    fn latents(&self, activations: &[f32], threads: Threads) -> SparseLatents {
        let inputs = self.inputs(activations);
        match threads {
            Threads::One => self.coder.encode_here(&inputs),
            Threads::All => self.coder.encode(&inputs),
        }
    }

    /// The rows `[latents, d]`, with zeros for the other heads.
    fn rows(&self, matrix: &[f32], d: usize) -> Matrix {
        let rows = self.dictionary().latents;
        let Some(HeadSlice { head, heads }) = self.head else {
            return Matrix { rows, cols: d, data: matrix.to_vec() };
        };
        let cols = d * heads;
        let mut data = vec![0.0; rows * cols];
        for (row, own) in data.chunks_exact_mut(cols).zip(matrix.chunks_exact(d)) {
            row[head * d..][..d].copy_from_slice(own);
        }
        Matrix { rows, cols, data }
    }
}

impl FeatureDictionary for SplicedDictionary {
    fn features(&self) -> usize {
        self.dictionary().latents
    }

    fn width(&self) -> usize {
        self.dictionary().d_input * self.head.map_or(1, |slice| slice.heads)
    }

    fn encode(&self, activations: &[f32], features: &mut [f32], threads: Threads) {
        let latents = self.latents(activations, threads);
        features.fill(0.0);
        for (row, (indices, values)) in features.chunks_exact_mut(self.features()).zip(latents.iter()) {
            for (index, value) in indices.iter().zip(values) {
                row[*index as usize] = *value;
            }
        }
    }

    fn encode_sparse(&self, activations: &[f32], threads: Threads) -> SparseRows {
        self.latents(activations, threads).into_rows()
    }

    fn change(&self, before: &[f32], after: &[f32], activations: &mut [f32]) {
        let (dictionary, features) = (self.dictionary(), self.features());
        let d_output = dictionary.d_output;
        let (first, width) =
            self.head.map_or((0, d_output), |slice| (slice.head * d_output, slice.heads * d_output));
        let rows = before.chunks_exact(features).zip(after.chunks_exact(features));
        for (activations, (before, after)) in activations.chunks_exact_mut(width).zip(rows) {
            let activations = &mut activations[first..first + d_output];
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
            assert_eq!(spliced.encode_sparse(&rows, threads), SparseRows::from_dense(&expected, 20));
        }
    }

    #[test]
    fn a_head_is_read_and_changed_alone() {
        let whole = spliced(Normalisation::None);
        let head = spliced(Normalisation::None).of_head(HeadSlice { head: 1, heads: 3 }).unwrap();
        let rows = inputs(9, 18);
        let own: Vec<f32> = rows.chunks(18).flat_map(|row| row[6..12].to_vec()).collect();
        assert_eq!((head.width(), head.decoder().cols, head.decoder().rows), (18, 18, 20));
        assert_eq!(head.encode_sparse(&rows, Threads::One), whole.encode_sparse(&own, Threads::One));
        assert_eq!(head.decoder().data[18 * 4..18 * 5][6..12], whole.decoder().data[6 * 4..6 * 5]);
        let mut before = vec![0.0; 9 * 20];
        head.encode(&rows, &mut before, Threads::One);
        let after: Vec<f32> = before.iter().map(|f| f + 0.5).collect();
        let (mut changed, mut changed_own) = (rows.clone(), own.clone());
        head.change(&before, &after, &mut changed);
        whole.change(&before, &after, &mut changed_own);
        for (row, (changed, own)) in rows.chunks(18).zip(changed.chunks(18).zip(changed_own.chunks(6))) {
            assert_eq!((&changed[..6], &changed[6..12], &changed[12..]), (&row[..6], own, &row[12..]));
        }
        assert!(spliced(Normalisation::None).of_head(HeadSlice { head: 3, heads: 3 }).is_err());
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
