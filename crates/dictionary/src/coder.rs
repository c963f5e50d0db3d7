//! A dictionary packed for use: rows of activations to sparse latents, and back.
//!
//! Rows are worked on in blocks that bound the dense pre-activations, so that the memory needed does not grow with
//! rows × latents. The equations are those of [`crate::Dictionary`].

use std::borrow::Borrow;

use glossator_kernels::{PackedMatrix, Precision, Product};
use rayon::prelude::*;

use crate::dictionary::Dictionary;
use crate::sparse_latents::SparseLatents;

/// Dense pre-activations that one thread holds at most, in values, as long as that is at least a row.
const BLOCK_VALUES: usize = 1 << 21;
/// Rows after which a longer block gains nothing.
const BLOCK_ROWS: usize = 256;

/// A [`Dictionary`], borrowed or owned, with its encoder packed for matrix products.
pub struct Coder<D> {
    dictionary: D,
    encoder: PackedMatrix,
    skip: Option<PackedMatrix>,
}

impl<D: Borrow<Dictionary> + Sync> Coder<D> {
    /// Packs the encoder in the given precision; sums are in f32 always.
    ///
    /// # Panics
    /// If the dictionary's shapes contradict each other ([`Dictionary::check`]).
    pub fn new(dictionary: D, precision: Precision) -> Self {
        let &Dictionary { latents, d_input, d_output, ref encoder, ref skip, .. } = dictionary.borrow();
        let encoder = PackedMatrix::pack(encoder, latents, d_input, precision);
        let skip = skip.as_deref().map(|skip| PackedMatrix::pack(skip, d_output, d_input, precision));
        Self { dictionary, encoder, skip }
    }

    /// The dictionary.
    pub fn dictionary(&self) -> &Dictionary {
        self.dictionary.borrow()
    }

    /// f: the latents of activations `inputs` `[rows, d_input]`.
    ///
    /// # Panics
    /// If the inputs are not whole rows.
    pub fn encode(&self, inputs: &[f32]) -> SparseLatents {
        let latents = self.dictionary().latents;
        let rows = self.rows(inputs);
        let block = (BLOCK_VALUES / latents).clamp(1, BLOCK_ROWS);
        // At least a block for each thread.
        let block = block.min(rows.div_ceil(rayon::current_num_threads())).max(1);
        let blocks: Vec<SparseLatents> = inputs
            .par_chunks(block * self.dictionary().d_input)
            .map_init(Vec::new, |pre, inputs| self.encode_block(inputs, pre))
            .collect();
        let mut result = SparseLatents::new(latents);
        for block in &blocks {
            result.append(block);
        }
        result
    }

    /// As [`Coder::encode`], on the calling thread alone.
    pub fn encode_here(&self, inputs: &[f32]) -> SparseLatents {
        let latents = self.dictionary().latents;
        let block = (BLOCK_VALUES / latents).clamp(1, BLOCK_ROWS);
        let (mut result, mut pre) = (SparseLatents::new(latents), Vec::new());
        for inputs in inputs.chunks(block * self.dictionary().d_input) {
            result.append(&self.encode_block(inputs, &mut pre));
        }
        result
    }

    /// z: the pre-activations of `inputs` `[rows, d_input]`, as a dense matrix `[rows, latents]`.
    ///
    /// # Panics
    /// If the inputs are not whole rows.
    pub fn pre_activations(&self, inputs: &[f32]) -> Vec<f32> {
        let mut pre = vec![0.0; self.rows(inputs) * self.dictionary().latents];
        self.project(inputs, &mut pre);
        pre
    }

    /// Dᵀ f + b_d `[rows, d_output]`: what latents stand for, in the space of normalised activations and without the
    /// skip connection.
    ///
    /// # Panics
    /// If the latents are those of a dictionary of another size.
    pub fn decode(&self, latents: &SparseLatents) -> Vec<f32> {
        let dictionary = self.dictionary();
        assert_eq!(latents.latents(), dictionary.latents, "decode: latents of another dictionary");
        let mut out = vec![0.0; latents.rows() * dictionary.d_output];
        out.par_chunks_exact_mut(dictionary.d_output).enumerate().for_each(|(row, out)| {
            out.copy_from_slice(&dictionary.decoder_bias);
            let (indices, values) = latents.row(row);
            for (&index, &value) in indices.iter().zip(values) {
                let direction = dictionary.decoder_row(index as usize);
                out.iter_mut().zip(direction).for_each(|(out, d)| *out += value * d);
            }
        });
        out
    }

    /// y `[rows, d_output]`: what `latents` say about the activations `inputs` `[rows, d_input]` they were read from,
    /// in the space of the original activations.
    ///
    /// # Panics
    /// If the latents are those of a dictionary of another size or of another number of rows.
    pub fn reconstruct(&self, latents: &SparseLatents, inputs: &[f32]) -> Vec<f32> {
        assert_eq!(latents.rows(), self.rows(inputs), "reconstruct: another number of rows");
        self.restore(self.decode(latents), inputs)
    }

    /// From the space of [`Coder::decode`] to that of the original activations `inputs` `[rows, d_input]`: normalisation is
    /// undone, and what the skip connection carries is added.
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn restore(&self, decoded: Vec<f32>, inputs: &[f32]) -> Vec<f32> {
        let mut out = decoded;
        assert_eq!(
            out.len(),
            self.rows(inputs) * self.dictionary().d_output,
            "restore: another number of rows"
        );
        if self.dictionary().input.restore {
            let rows = inputs.par_chunks_exact(self.dictionary().d_input);
            out.par_chunks_exact_mut(self.dictionary().d_output).zip(rows).for_each(|(out, row)| {
                self.dictionary().input.normalisation.row_map(row).invert(out);
            });
        }
        if let Some(skip) = &self.skip {
            Product::new(skip).accumulate().run(inputs, &mut out);
        }
        out
    }

    fn rows(&self, inputs: &[f32]) -> usize {
        assert!(inputs.len().is_multiple_of(self.dictionary().d_input), "encode: inputs are not whole rows");
        inputs.len() / self.dictionary().d_input
    }

    /// N(x) of every row.
    fn normalised(&self, inputs: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; inputs.len()];
        let d_input = self.dictionary().d_input;
        for (row, out) in inputs.chunks_exact(d_input).zip(out.chunks_exact_mut(d_input)) {
            self.dictionary().input.normalisation.row_map(row).apply(row, out);
        }
        out
    }

    /// E (u − s b_d) + b_e of every row. The bias is subtracted before the product, since the difference can be far
    /// smaller than either.
    fn project(&self, inputs: &[f32], pre: &mut [f32]) {
        let dictionary = self.dictionary();
        let mut rows = self.normalised(inputs);
        if dictionary.input.subtract_decoder_bias {
            for row in rows.chunks_exact_mut(dictionary.d_input) {
                row.iter_mut().zip(&dictionary.decoder_bias).for_each(|(u, b)| *u -= b);
            }
        }
        Product::new(&self.encoder).bias(Some(&dictionary.encoder_bias)).run(&rows[..], pre);
    }

    /// The latents of a few rows; `pre` is scratch.
    fn encode_block(&self, inputs: &[f32], pre: &mut Vec<f32>) -> SparseLatents {
        let latents = self.dictionary().latents;
        pre.resize(self.rows(inputs) * latents, 0.0);
        self.project(inputs, pre);
        let mut result = SparseLatents::new(latents);
        for row in pre.chunks_exact(latents) {
            self.dictionary()
                .activation
                .select(row, &self.dictionary().encoder_bias, |index, value| result.push(index, value));
            result.end_row();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{example, inputs};
    use crate::{Activation, Normalisation};

    /// The equations of `dictionary.rs`, one number at a time in f64.
    fn naive(dictionary: &Dictionary, row: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let map = dictionary.input.normalisation.row_map(row);
        let u: Vec<f64> = row.iter().map(|&x| f64::from(x - map.shift) * f64::from(map.scale)).collect();
        let mut f = vec![0.0; dictionary.latents];
        for (latent, f) in f.iter_mut().enumerate() {
            let read = |(i, &e): (usize, &f32)| {
                let bias = f64::from(dictionary.decoder_bias[i.min(dictionary.d_output - 1)]);
                f64::from(e) * (u[i] - if dictionary.input.subtract_decoder_bias { bias } else { 0.0 })
            };
            let z: f64 = dictionary.encoder_row(latent).iter().enumerate().map(read).sum();
            *f = (z + f64::from(dictionary.encoder_bias[latent])).max(0.0);
        }
        let mut y = vec![0.0; dictionary.d_output];
        for (i, y) in y.iter_mut().enumerate() {
            let write = |(latent, f): (usize, &f64)| f * f64::from(dictionary.decoder_row(latent)[i]);
            *y = f64::from(dictionary.decoder_bias[i]) + f.iter().enumerate().map(write).sum::<f64>();
            if dictionary.input.restore {
                *y = *y * f64::from(map.back) + f64::from(map.shift);
            }
            if let Some(skip) = &dictionary.skip {
                let through =
                    |(j, &x): (usize, &f32)| f64::from(x) * f64::from(skip[i * dictionary.d_input + j]);
                *y += row.iter().enumerate().map(through).sum::<f64>();
            }
        }
        (f, y)
    }

    fn assert_follows_equations(dictionary: &Dictionary) {
        dictionary.check().unwrap();
        let inputs = inputs(37, dictionary.d_input);
        let coder = Coder::new(dictionary, Precision::F32);
        let latents = coder.encode(&inputs);
        let reconstruction = coder.reconstruct(&latents, &inputs);
        let dense = latents.to_dense();
        assert_eq!(latents.rows(), 37);
        for (row, x) in inputs.chunks_exact(dictionary.d_input).enumerate() {
            let (f, y) = naive(dictionary, x);
            let close = |(&a, b): (&f32, &f64)| (f64::from(a) - b).abs() < 2e-5;
            assert!(dense[row * dictionary.latents..].iter().zip(&f).all(close), "latents of row {row}");
            assert!(reconstruction[row * dictionary.d_output..].iter().zip(&y).all(close), "row {row}");
        }
    }

    #[test]
    fn autoencoders_follow_their_equations() {
        for normalisation in [
            Normalisation::None,
            Normalisation::LayerNorm { epsilon: 1e-5 },
            Normalisation::ConstantNorm,
            Normalisation::Scale(0.6),
        ] {
            for subtract_decoder_bias in [false, true] {
                let mut dictionary = example(6, 6, 20, Activation::Relu);
                dictionary.input =
                    crate::InputConvention { subtract_decoder_bias, normalisation, restore: true };
                assert_follows_equations(&dictionary);
            }
        }
    }

    #[test]
    fn skip_transcoders_follow_their_equations() {
        let mut dictionary = example(6, 4, 20, Activation::Relu);
        dictionary.skip = Some(inputs(4, 6));
        assert_follows_equations(&dictionary);
        dictionary.input.normalisation = Normalisation::LayerNorm { epsilon: 1e-5 };
        assert_follows_equations(&dictionary);
        dictionary.input.restore = false;
        assert_follows_equations(&dictionary);
    }

    #[test]
    fn selection_follows_the_pre_activations() {
        let dictionary = example(6, 6, 20, Activation::TopK { k: 3, sign: crate::Sign::Positive });
        let inputs = inputs(500, 6);
        let coder = Coder::new(&dictionary, Precision::F32);
        let (latents, pre) = (coder.encode(&inputs), coder.pre_activations(&inputs));
        for (pre, (indices, values)) in pre.chunks_exact(20).zip(latents.iter()) {
            let smallest = values.iter().copied().fold(f32::INFINITY, f32::min);
            assert!(indices.iter().zip(values).all(|(&i, v)| pre[i as usize] == *v));
            assert!(indices.len() == 3 || pre.iter().filter(|z| **z > 0.0).count() == indices.len());
            assert!(pre.iter().filter(|z| **z > smallest).count() < 3);
        }
    }

    #[test]
    fn nothing_in_nothing_out() {
        let dictionary = example(6, 6, 20, Activation::Relu);
        let coder = Coder::new(&dictionary, Precision::F32);
        let latents = coder.encode(&[]);
        assert_eq!((latents.rows(), coder.reconstruct(&latents, &[])), (0, Vec::new()));
    }
}
