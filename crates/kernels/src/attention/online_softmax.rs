//! Softmax over keys that arrive chunk by chunk (Milakov & Gimelshein 2018; Dao et al. 2022).
//!
//! Each row keeps the maximum m seen so far and the sum of e^(s − m). A chunk with a larger maximum m′ scales what
//! was summed before by e^(m − m′).

use std::ops::Range;

use crate::elementary::{exp_weight, tanh};
use crate::matrix_product::{LANES, TILE_ROWS};
use crate::multiversion::multiversion;
use crate::reduce::{largest, raise, total};

/// The running state of a block of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowStates {
    max: [f32; TILE_ROWS],
    /// Σ e^(s − m) so far.
    pub(super) sum: [f32; TILE_ROWS],
    /// The factor by which sums from before the last chunk must be scaled.
    pub(super) rescale: [f32; TILE_ROWS],
}

impl RowStates {
    pub(super) const START: Self =
        Self { max: [f32::NEG_INFINITY; TILE_ROWS], sum: [0.0; TILE_ROWS], rescale: [1.0; TILE_ROWS] };

    /// The states of some rows, from row 0 on; the others as at the start.
    pub(super) fn part(&self, first: usize, count: usize) -> Self {
        let mut part = Self::START;
        part.max[..count].copy_from_slice(&self.max[first..first + count]);
        part.sum[..count].copy_from_slice(&self.sum[first..first + count]);
        part
    }

    /// Puts back what [`RowStates::part`] took out.
    pub(super) fn replace(&mut self, first: usize, count: usize, part: &Self) {
        self.max[first..first + count].copy_from_slice(&part.max[..count]);
        self.sum[first..first + count].copy_from_slice(&part.sum[..count]);
    }
}

multiversion! {
    /// Takes a chunk of scores, rows of `width` (a multiple of 16), of which each row sees the keys `visible`: replaces
    /// them by e^(s − m), and by zero outside.
    pub(super) fn absorb(
        scores: &mut [f32],
        width: usize,
        visible: &[Range<usize>],
        cap: Option<f32>,
        states: &mut RowStates,
    ) {
        let mut references = [0.0_f32; TILE_ROWS];
        let before = states.max;
        let mut sums = [0.0_f32; TILE_ROWS];
        for (row, (scores, visible)) in scores.chunks_exact_mut(width).zip(visible).enumerate() {
            let scores = scores.as_chunks_mut::<LANES>().0;
            if let Some(cap) = cap {
                scores.as_flattened_mut().iter_mut().for_each(|score| *score = cap * tanh(*score / cap));
            }
            states.max[row] = mask(scores, visible, before[row]);
            // A row may see nothing of a chunk: −∞ − (−∞) would be NaN.
            references[row] = if states.max[row] == f32::NEG_INFINITY { 0.0 } else { states.max[row] };
            sums[row] = exponentials(scores, references[row]);
        }
        for row in 0..TILE_ROWS {
            states.rescale[row] = exp_weight(before[row] - references[row]);
            states.sum[row] = states.sum[row].mul_add(states.rescale[row], sums[row]);
        }
    }
}

/// Sets the scores of keys outside `visible` to −∞; returns the largest of `max` and the others.
#[inline(always)]
fn mask(scores: &mut [[f32; LANES]], visible: &Range<usize>, max: f32) -> f32 {
    let (first, count) = (visible.start as u32, visible.len() as u32);
    let mut maxima = [max; LANES];
    for (block, lanes) in scores.iter_mut().enumerate() {
        for (lane, score) in lanes.iter_mut().enumerate() {
            let key = (block * LANES + lane) as u32;
            *score = if key.wrapping_sub(first) < count { *score } else { f32::NEG_INFINITY };
        }
        raise(&mut maxima, lanes);
    }
    largest(&maxima)
}

/// Replaces scores by e^(s − `reference`) and returns their sum.
#[inline(always)]
fn exponentials(scores: &mut [[f32; LANES]], reference: f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for lanes in scores {
        for (score, sum) in lanes.iter_mut().zip(&mut sums) {
            *score = exp_weight(*score - reference);
            *sum += *score;
        }
    }
    total(&sums)
}
