//! The gradients of a latent's weights, as sums over the rows in which it is active.
//!
//! With e = x̂ − y, activations f and gradients δ of pre-activations: ∂/∂dᵢ = s Σ fᵢ e, ∂/∂eᵢ = Σ δᵢ u, ∂/∂bᵢ = Σ δᵢ,
//! where u is what the encoder reads and s the scale of the loss.

use glossator_kernels::sparse_coding::{LatentLists, prefetch_rows, weighted_sum, weighted_sum_bf16};
use glossator_kernels::{Precision, bf16, narrow};
use rayon::prelude::*;

use super::update::add_scaled;

/// Rows that are summed up one after another; sums of such blocks are then added in order.
pub(super) const BLOCK_ROWS: usize = 128;

/// Rows in the precision in which sums over them are made.
#[derive(Debug, Default)]
pub(super) struct RowTable {
    narrow: Vec<bf16>,
}

/// Rows `[rows, width]` to be summed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

impl RowTable {
    /// `rows` as they are or rounded.
    pub(super) fn hold<'a>(&'a mut self, rows: &'a [f32], width: usize, precision: Precision) -> Rows<'a> {
        match precision {
            Precision::F32 => Rows::F32(rows),
            Precision::Bf16 => {
                self.narrow.resize(rows.len(), bf16::ZERO);
                let block = BLOCK_ROWS * width;
                let blocks = self.narrow.par_chunks_mut(block).zip(rows.par_chunks(block));
                blocks.for_each(|(target, source)| narrow(source, target));
                Rows::Bf16(&self.narrow)
            }
        }
    }
}

impl Rows<'_> {
    /// `out += Σⱼ cⱼ rows[iⱼ]`.
    fn add(&self, indices: &[u32], coefficients: &[f32], out: &mut [f32]) {
        match self {
            Self::F32(rows) => weighted_sum(rows, indices, coefficients, out),
            Self::Bf16(rows) => weighted_sum_bf16(rows, indices, coefficients, out),
        }
    }

    fn prefetch(&self, width: usize, indices: &[u32]) {
        match self {
            Self::F32(rows) => prefetch_rows(rows, width, indices),
            Self::Bf16(rows) => prefetch_rows(rows, width, indices),
        }
    }
}

/// One loss's share of the gradients: its active latents, with the loss's scale s in their numbers, and the errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) lists: &'a LatentLists,
    /// `[rows, d_output]`: e.
    pub(super) errors: Rows<'a>,
}

/// The gradients of one latent.
#[derive(Clone, Debug)]
pub(super) struct LatentGradient {
    /// `[d_input]`
    pub(super) encoder: Vec<f32>,
    pub(super) encoder_bias: f32,
    /// `[d_output]`
    pub(super) decoder: Vec<f32>,
}

impl LatentGradient {
    pub(super) fn new(d_input: usize, d_output: usize) -> Self {
        Self { encoder: vec![0.0; d_input], encoder_bias: 0.0, decoder: vec![0.0; d_output] }
    }
}

/// Everything that the gradients of all latents are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gradients<'a> {
    /// `[rows, d_input]`: u.
    pub(super) inputs: Rows<'a>,
    pub(super) sources: &'a [Source<'a>],
    /// `[latents]`: how much of its decoder row a penalty adds to a latent's decoder gradient.
    pub(super) along_decoder: Option<&'a [f32]>,
}

impl Gradients<'_> {
    /// Sets `out` to the gradients of `latent`, whose decoder row is `decoder`, and asks for the rows of the latent after
    /// it.
    pub(super) fn of(&self, latent: usize, last: bool, decoder: &[f32], out: &mut LatentGradient) {
        out.encoder.fill(0.0);
        out.decoder.fill(0.0);
        out.encoder_bias = 0.0;
        for source in self.sources {
            if !last {
                let next = source.lists.rows(latent + 1);
                source.errors.prefetch(out.decoder.len(), next);
                self.inputs.prefetch(out.encoder.len(), next);
            }
            let rows = source.lists.rows(latent);
            if rows.is_empty() {
                continue;
            }
            let gradients = source.lists.gradients(latent);
            source.errors.add(rows, source.lists.activations(latent), &mut out.decoder);
            self.inputs.add(rows, gradients, &mut out.encoder);
            out.encoder_bias += gradients.iter().sum::<f32>();
        }
        if let Some(factors) = self.along_decoder {
            add_scaled(&mut out.decoder, factors[latent], decoder);
        }
    }
}

/// The sum of `rows` `[rows, width]` over rows, and the sum of all squares.
pub(super) fn column_sums(rows: &[f32], width: usize) -> (Vec<f64>, f64) {
    let blocks: Vec<(Vec<f64>, f64)> =
        rows.par_chunks(BLOCK_ROWS * width).map(|block| block_sums(block, width)).collect();
    let mut sums = vec![0.0; width];
    let mut squares = 0.0;
    for (block, block_squares) in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
        squares += block_squares;
    }
    (sums, squares)
}

fn block_sums(block: &[f32], width: usize) -> (Vec<f64>, f64) {
    let (mut sums, mut squares) = (vec![0.0_f64; width], vec![0.0_f64; width]);
    for row in block.chunks_exact(width) {
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(row) {
            let value = f64::from(*value);
            *sum += value;
            *square += value * value;
        }
    }
    (sums, squares.iter().sum())
}
