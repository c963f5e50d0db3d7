//! The forward pass of a batch on active latents: which they are, what they decode to, and the gradients that follow.
//!
//! First the exact pre-activations of the candidates, and the k largest of them. Then, row by row, while the decoder
//! rows that it needs are in the second-level cache: x̂, e = x̂ − y, and dᵢ · e, from which the gradients of the
//! pre-activations follow. Either pass asks for the weights of the next row while it works on one.

use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::{
    EncoderRows, Keep, Selection, SelectionPrecision, SparseRowMut, SparseRows, dots, prefetch_rows,
    weighted_sum,
};
use rayon::prelude::*;

use super::doubtful::Doubtful;
use super::parameters::Parameters;

/// Rows that one thread works on at least.
pub(super) const ROWS_AT_ONCE: usize = 32;

/// A batch on its active latents.
#[derive(Debug, Default)]
pub(super) struct Code {
    candidates: SparseRows,
    /// `[rows]`: how far the candidates' values are off.
    noise: Vec<f32>,
    pub(super) doubtful: Doubtful,
    /// Activations: the `k` largest positive exact pre-activations of each row.
    pub(super) rows: SparseRows,
    /// For each place of the code: dᵢ · e.
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

/// Candidates beyond the `k` wanted, in case rounding changes their order.
fn margin(k: usize, precision: SelectionPrecision) -> usize {
    match precision {
        SelectionPrecision::Int8 => (k / 4).max(16),
        SelectionPrecision::Bf16 | SelectionPrecision::F32 => (k / 8).max(4),
    }
}

impl Code {
    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.rows.reset(0, 1);
    }

    /// Σ‖e‖².
    pub(super) fn squared_error(&self) -> f64 {
        self.squared_errors.iter().map(|square| f64::from(*square)).sum()
    }
}

impl Coding<'_> {
    /// Fills `code.candidates`.
    pub(super) fn select(&self, selection: &mut Selection, code: &mut Code) {
        let precision = SelectionPrecision::fastest(self.precision);
        self.select_in(precision, self.inputs, selection, &mut code.candidates);
        code.noise.clear();
        code.noise.extend_from_slice(selection.noise());
    }

    /// Fills `out` with the candidates of the rows `inputs`.
    fn select_in(
        &self,
        precision: SelectionPrecision,
        inputs: &[f32],
        selection: &mut Selection,
        out: &mut SparseRows,
    ) {
        let Parameters { encoder, encoder_bias, d_input, .. } = self.parameters;
        let rows = EncoderRows::all(&encoder.weights, &encoder_bias.weights, *d_input);
        let rows = self.chosen.map_or(rows, |chosen| rows.only(chosen));
        let keep = Keep::Largest((self.k + margin(self.k, precision)).min(self.available()));
        selection.run(inputs, rows, keep, precision, out);
    }

    /// The number of latents that take part.
    fn available(&self) -> usize {
        self.chosen.map_or(self.parameters.latents, <[u32]>::len)
    }

    /// Fills the rest of `code` from its candidates. `start` writes what a row's reconstruction begins with, less its
    /// target.
    pub(super) fn decode(&self, code: &mut Code, start: impl Fn(usize, &mut [f32]) + Sync) {
        self.activate_all(code);
        self.reconstruct(code, start);
    }

    /// Fills `code.rows` from the candidates.
    pub(super) fn activate_all(&self, code: &mut Code) {
        let Parameters { d_input, ref encoder, .. } = *self.parameters;
        let rows = self.inputs.len() / d_input;
        let Code { candidates, rows: active, .. } = code;
        active.reset_to((0..rows).map(|row| candidates.room(row)));
        let sources = self.inputs.par_chunks_exact(d_input).zip(active.par_rows_mut());
        sources.enumerate().with_min_len(ROWS_AT_ONCE).for_each(|(row, (input, mut active))| {
            if row + 1 < rows {
                prefetch_rows(&encoder.weights, d_input, candidates.row(row + 1).indices);
            }
            self.activate(input, candidates.row(row).indices, &mut active);
        });
        if SelectionPrecision::fastest(self.precision) == SelectionPrecision::Int8 {
            self.look_again(code);
        }
    }

    /// Selects again in bf16 where the noise of int8 could have mattered.
    fn look_again(&self, code: &mut Code) {
        let d_input = self.parameters.d_input;
        let Code { candidates, noise, doubtful, rows: active, .. } = code;
        doubtful.find(noise, candidates, active, self.k, self.available());
        if doubtful.rows.is_empty() {
            return;
        }
        doubtful.gather(self.inputs, d_input);
        let Doubtful { selection, rows, inputs, candidates } = doubtful;
        self.select_in(SelectionPrecision::Bf16, inputs, selection, candidates);
        active.par_rows_mut().enumerate().for_each(|(row, mut active)| {
            if let Ok(place) = rows.binary_search(&(row as u32)) {
                let input = &inputs[place * d_input..][..d_input];
                self.activate(input, candidates.row(place).indices, &mut active);
            }
        });
    }

    /// Fills what follows from `code.rows`.
    pub(super) fn reconstruct(&self, code: &mut Code, start: impl Fn(usize, &mut [f32]) + Sync) {
        let Parameters { d_output, ref decoder, .. } = *self.parameters;
        let Code { rows: active, along, errors, squared_errors, .. } = code;
        let rows = active.rows();
        along.resize(active.places(), 0.0);
        errors.resize(rows * d_output, 0.0);
        squared_errors.resize(rows, 0.0);
        let results = active.split_mut(along).into_par_iter().zip(squared_errors);
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
