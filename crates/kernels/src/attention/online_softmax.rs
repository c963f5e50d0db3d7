//! Softmax over keys that arrive chunk by chunk (Milakov & Gimelshein 2018; Dao et al. 2022).
//!
//! Each row keeps the maximum m seen so far and the sum of e^(s − m). A chunk with a larger maximum m′ scales what
//! was summed before by e^(m − m′).

use std::ops::Range;

use crate::elementary::{exp_weight, tanh};
use crate::matrix_product::LANES;
use crate::multiversion::multiversion;
use crate::reduce::maximum;

/// The running state of one query.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowState {
    pub(super) max: f32,
    pub(super) sum: f32,
}

impl RowState {
    pub(super) const START: Self = Self { max: f32::NEG_INFINITY, sum: 0.0 };
}

multiversion! {
    /// Replaces a chunk of scores (a multiple of 16) by e^(s − m), zero for keys outside `visible`, and returns the
    /// factor by which earlier sums must be scaled.
    pub(super) fn absorb(scores: &mut [f32], visible: Range<usize>, cap: Option<f32>, state: &mut RowState) -> f32 {
        if let Some(cap) = cap {
            for score in &mut scores[visible.clone()] {
                *score = cap * tanh(*score / cap);
            }
        }
        scores[..visible.start].fill(f32::NEG_INFINITY);
        scores[visible.end..].fill(f32::NEG_INFINITY);
        let max = maximum(scores, state.max);
        // A row may see nothing of a chunk: −∞ − (−∞) would be NaN.
        let reference = if max == f32::NEG_INFINITY { 0.0 } else { max };
        let mut sums = [0.0_f32; LANES];
        for lanes in scores.as_chunks_mut::<LANES>().0 {
            for (score, sum) in lanes.iter_mut().zip(&mut sums) {
                *score = exp_weight(*score - reference);
                *sum += *score;
            }
        }
        let rescale = exp_weight(state.max - reference);
        *state = RowState { max, sum: state.sum.mul_add(rescale, sums.iter().sum()) };
        rescale
    }
}
