//! The weights of a dictionary in training, with Adam's moments.

use glossator_kernels::sparse_coding::{AdamStep, Moments};

use super::progress::Progress;

/// Weights and their moments, each of the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// The weights.
    pub weights: Vec<f32>,
    /// The mean gradient.
    pub mean: Vec<f32>,
    /// The mean squared gradient.
    pub square: Vec<f32>,
}

impl From<Vec<f32>> for Tensor {
    /// Weights that have had no step yet.
    fn from(weights: Vec<f32>) -> Self {
        let (mean, square) = (vec![0.0; weights.len()], vec![0.0; weights.len()]);
        Self { weights, mean, square }
    }
}

impl Tensor {
    /// Everything, for writing.
    pub(super) fn all(&mut self) -> TensorChunk<'_> {
        TensorChunk { weights: &mut self.weights, mean: &mut self.mean, square: &mut self.square }
    }

    /// Consecutive chunks of `size` values.
    fn chunks(&mut self, size: usize) -> impl Iterator<Item = TensorChunk<'_>> {
        let moments = self.mean.chunks_mut(size).zip(self.square.chunks_mut(size));
        let chunks = self.weights.chunks_mut(size).zip(moments);
        chunks.map(|(weights, (mean, square))| TensorChunk { weights, mean, square })
    }
}

/// Part of a [`Tensor`].
pub(super) struct TensorChunk<'a> {
    pub(super) weights: &'a mut [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
}

impl<'a> TensorChunk<'a> {
    /// The values from `start`, `count` of them.
    pub(super) fn part(&mut self, start: usize, count: usize) -> TensorChunk<'_> {
        let TensorChunk { weights, mean, square } = self;
        TensorChunk { weights, mean, square }.into_part(start, count)
    }

    fn into_part(self, start: usize, count: usize) -> TensorChunk<'a> {
        let range = start..start + count;
        TensorChunk {
            weights: &mut self.weights[range.clone()],
            mean: &mut self.mean[range.clone()],
            square: &mut self.square[range],
        }
    }

    /// One step of Adam.
    pub(super) fn apply(&mut self, adam: &AdamStep, gradient: &[f32]) {
        adam.apply(self.weights, Moments { mean: self.mean, square: self.square }, gradient);
    }
}

/// A dictionary in training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// Width of the activations that are read.
    pub d_input: usize,
    /// Width of the activations that are reconstructed.
    pub d_output: usize,
    /// Number of latents.
    pub latents: usize,
    /// E `[latents, d_input]`.
    pub encoder: Tensor,
    /// b_e `[latents]`.
    pub encoder_bias: Tensor,
    /// D `[latents, d_output]`.
    pub decoder: Tensor,
    /// b_d `[d_output]`.
    pub decoder_bias: Tensor,
    /// S `[d_output, d_input]`; empty without a skip connection.
    pub skip: Tensor,
    /// t `[latents]`, of JumpReLU only: thresholds are eᵗ.
    pub log_threshold: Tensor,
    /// r `[latents]`, of gated dictionaries only.
    pub log_magnitude_scale: Tensor,
    /// b_mag `[latents]`, of gated dictionaries only.
    pub magnitude_bias: Tensor,
    /// What else goes from step to step.
    pub progress: Progress,
    /// Steps made.
    pub steps: u64,
    /// `[latents]`: rows since each latent fired last.
    pub idle_rows: Vec<u64>,
}

/// Consecutive latents' weights.
pub(super) struct LatentChunk<'a> {
    pub(super) first: usize,
    pub(super) encoder: TensorChunk<'a>,
    pub(super) encoder_bias: TensorChunk<'a>,
    pub(super) decoder: TensorChunk<'a>,
}

impl Parameters {
    /// Fresh parameters from weights.
    ///
    /// # Panics
    /// If the lengths contradict each other.
    pub fn new(encoder: Vec<f32>, encoder_bias: Vec<f32>, decoder: Vec<f32>, decoder_bias: Vec<f32>) -> Self {
        let (latents, d_output) = (encoder_bias.len(), decoder_bias.len());
        assert!(
            latents > 0 && encoder.len().is_multiple_of(latents),
            "parameters: encoder is not whole rows"
        );
        assert_eq!(decoder.len(), latents * d_output, "parameters: decoder has the wrong length");
        Self {
            d_input: encoder.len() / latents,
            d_output,
            latents,
            encoder: encoder.into(),
            encoder_bias: encoder_bias.into(),
            decoder: decoder.into(),
            decoder_bias: decoder_bias.into(),
            steps: 0,
            idle_rows: vec![0; latents],
            ..Self::default()
        }
    }

    /// With a skip connection that is 0 at first.
    #[must_use]
    pub fn with_skip(self) -> Self {
        Self { skip: vec![0.0; self.d_output * self.d_input].into(), ..self }
    }

    /// With thresholds for JumpReLU, all the same at first.
    ///
    /// # Panics
    /// Unless `threshold` is above 0.
    #[must_use]
    pub fn with_thresholds(self, threshold: f32) -> Self {
        assert!(threshold > 0.0, "parameters: a threshold of {threshold} has no logarithm");
        Self { log_threshold: vec![threshold.ln(); self.latents].into(), ..self }
    }

    /// With gates whose magnitudes are at first what the gates read.
    #[must_use]
    pub fn with_gates(self) -> Self {
        let zeros = || vec![0.0; self.latents].into();
        Self { log_magnitude_scale: zeros(), magnitude_bias: zeros(), ..self }
    }

    /// Every tensor, in the order of checkpoints.
    pub fn tensors(&self) -> [&Tensor; Self::TENSORS] {
        [
            &self.encoder,
            &self.encoder_bias,
            &self.decoder,
            &self.decoder_bias,
            &self.skip,
            &self.log_threshold,
            &self.log_magnitude_scale,
            &self.magnitude_bias,
        ]
    }

    /// The same, for writing.
    pub(super) fn tensors_mut(&mut self) -> [&mut Tensor; Self::TENSORS] {
        [
            &mut self.encoder,
            &mut self.encoder_bias,
            &mut self.decoder,
            &mut self.decoder_bias,
            &mut self.skip,
            &mut self.log_threshold,
            &mut self.log_magnitude_scale,
            &mut self.magnitude_bias,
        ]
    }

    /// The number of tensors.
    pub const TENSORS: usize = 8;

    /// All latents in chunks of `size`, and the decoder bias.
    pub(super) fn latent_chunks(&mut self, size: usize) -> Vec<LatentChunk<'_>> {
        let encoder = self.encoder.chunks(size * self.d_input);
        let decoder = self.decoder.chunks(size * self.d_output);
        let chunks = encoder.zip(self.encoder_bias.chunks(size)).zip(decoder).enumerate();
        chunks
            .map(|(index, ((encoder, encoder_bias), decoder))| LatentChunk {
                first: index * size,
                encoder,
                encoder_bias,
                decoder,
            })
            .collect()
    }

    /// `count` latents from `first` on.
    pub(super) fn latent_chunk(&mut self, first: usize, count: usize) -> LatentChunk<'_> {
        let (d_input, d_output) = (self.d_input, self.d_output);
        LatentChunk {
            first,
            encoder: self.encoder.all().into_part(first * d_input, count * d_input),
            encoder_bias: self.encoder_bias.all().into_part(first, count),
            decoder: self.decoder.all().into_part(first * d_output, count * d_output),
        }
    }

    /// The latents that have not fired for `rows` rows, ascending.
    pub fn idle_for(&self, rows: u64) -> Vec<u32> {
        let idle = self.idle_rows.iter().enumerate().filter(|(_, idle)| **idle >= rows);
        idle.map(|(latent, _)| latent as u32).collect()
    }

    /// Memory of weights and moments, in bytes.
    pub fn bytes(&self) -> usize {
        self.tensors().iter().map(|t| 3 * size_of::<f32>() * t.weights.len()).sum()
    }
}
