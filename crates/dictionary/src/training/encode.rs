//! The forward pass of a batch on active latents: which they are, what they decode to, and the gradients that follow.
//!
//! First the exact pre-activations of the candidates, and the k largest of them. Then, row by row, while the decoder
//! rows that it needs are in the second-level cache: x̂, e = x̂ − y, and dᵢ · e, from which the gradients of the
//! pre-activations follow. Either pass asks for the weights of the next row while it works on one.

use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::{
    EncoderRows, Keep, Selection, SparseRowMut, SparseRows, dots, prefetch_rows, weighted_sum,
};
use rayon::prelude::*;

use super::parameters::Parameters;

/// Rows that one thread works on at least.
pub(super) const ROWS_AT_ONCE: usize = 32;

/// A batch on its active latents.
#[derive(Debug, Default)]
pub(super) struct Code {
    candidates: SparseRows,
    /// Activations: the `k` largest positive exact pre-activations of each row.
    pub(super) rows: SparseRows,
    /// `[rows, k]`, laid out as the code: dᵢ · e.
    pub(super) along: Vec<f32>,
    /// `[rows, d_output]`: e.
    pub(super) errors: Vec<f32>,
    /// `[rows]`: ‖e‖².
    pub(super) squared_errors: Vec<f32>,
}

/// What a code is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding<'a> {
    pub(super) parameters: &'a Parameters,
    /// `[rows, d_input]`: what the encoder reads.
    pub(super) inputs: &'a [f32],
    /// The latents that take part, or all.
    pub(super) chosen: Option<&'a [u32]>,
    pub(super) k: usize,
    pub(super) precision: Precision,
}

/// Candidates beyond the `k` wanted, in case rounding to bf16 changes their order.
fn margin(k: usize) -> usize {
    (k / 8).max(4)
}

impl Code {
    /// Σ‖e‖².
    pub(super) fn squared_error(&self) -> f64 {
        self.squared_errors.iter().map(|square| f64::from(*square)).sum()
    }
}

impl Coding<'_> {
    /// Fills `code.candidates`.
    pub(super) fn select(&self, selection: &mut Selection, code: &mut Code) {
        let Parameters { encoder, encoder_bias, d_input, .. } = self.parameters;
        let rows = EncoderRows::all(&encoder.weights, &encoder_bias.weights, *d_input);
        let rows = self.chosen.map_or(rows, |chosen| rows.only(chosen));
        let available = self.chosen.map_or(self.parameters.latents, <[u32]>::len);
        let keep = Keep::Largest((self.k + margin(self.k)).min(available));
        selection.run(self.inputs, rows, keep, self.precision, &mut code.candidates);
    }

    /// Fills the rest of `code` from its candidates. `start` writes what a row's reconstruction begins with, less its
    /// target.
    pub(super) fn decode(&self, code: &mut Code, start: impl Fn(usize, &mut [f32]) + Sync) {
        let Parameters { d_input, d_output, ref encoder, ref decoder, .. } = *self.parameters;
        let rows = self.inputs.len() / d_input;
        let Code { candidates, rows: active, along, errors, squared_errors } = code;
        active.reset(rows, candidates.width());
        let sources = self.inputs.par_chunks_exact(d_input).zip(active.par_rows_mut());
        sources.enumerate().with_min_len(ROWS_AT_ONCE).for_each(|(row, (input, mut active))| {
            if row + 1 < rows {
                prefetch_rows(&encoder.weights, d_input, candidates.row(row + 1).indices);
            }
            self.activate(input, candidates.row(row).indices, &mut active);
        });
        let width = active.width();
        along.resize(rows * width, 0.0);
        errors.resize(rows * d_output, 0.0);
        squared_errors.resize(rows, 0.0);
        let results = along.par_chunks_exact_mut(width).zip(squared_errors);
        let results = errors.par_chunks_exact_mut(d_output).zip(results);
        results.enumerate().with_min_len(ROWS_AT_ONCE).for_each(|(row, (error, (along, squared_error)))| {
            if row + 1 < rows {
                prefetch_rows(&decoder.weights, d_output, active.row(row + 1).indices);
            }
            start(row, error);
            let code = active.row(row);
            weighted_sum(&decoder.weights, code.indices, code.values, error);
            dots(&decoder.weights, code.indices, error, &mut along[..code.indices.len()]);
            dots(error, &[0], error, std::slice::from_mut(squared_error));
        });
    }

    /// The largest exact pre-activations of the candidates, if positive.
    fn activate(&self, input: &[f32], candidates: &[u32], active: &mut SparseRowMut<'_>) {
        let Parameters { encoder, encoder_bias, .. } = self.parameters;
        let count = candidates.len();
        active.indices[..count].copy_from_slice(candidates);
        dots(&encoder.weights, candidates, input, &mut active.values[..count]);
        for (value, latent) in active.values.iter_mut().zip(candidates) {
            *value += encoder_bias.weights[*latent as usize];
        }
        *active.count = count as u32;
        active.keep_largest(self.k);
        active.retain(|_, value| value > 0.0);
    }
}
