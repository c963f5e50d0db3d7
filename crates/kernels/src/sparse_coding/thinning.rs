//! Keeping the largest entries of a short list.
//!
//! A threshold is found by bisection: counting the values above a number is a few vector instructions, where sorting
//! is a chain of mispredicted branches. Entries above it move to the front in their order.

use std::ops::RangeInclusive;

use crate::detect::Backend;
use crate::matrix_product::LANES;
use crate::multiversion::multiversion;
use crate::reduce;

/// Bisections at most; a list whose values are closer than that is sorted.
const BISECTIONS: usize = 28;

/// Moves the largest entries to the front in their order: as many as `wanted` allows, of which the list must have at
/// least the lower end. Of equal values the first stay; NaN counts as smallest. Returns the number kept and a
/// threshold: all entries dropped are at most as large, and all kept ones at least.
pub(super) fn keep_largest(
    values: &mut [f32],
    indices: &mut [u32],
    wanted: RangeInclusive<usize>,
) -> (usize, f32) {
    assert!(values.len() == indices.len() && *wanted.start() <= values.len(), "thinning: list too short");
    let (threshold, above) = bisect(values, *wanted.start(), *wanted.end());
    if wanted.contains(&above) {
        return (move_above_to_front(values, indices, threshold), threshold);
    }
    keep_by_sorting(values, indices, *wanted.start())
}

/// For many equal values.
#[cold]
fn keep_by_sorting(values: &mut [f32], indices: &mut [u32], keep: usize) -> (usize, f32) {
    let key = |value: f32| if value.is_nan() { f32::NEG_INFINITY } else { value };
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|&a, &b| key(values[b]).total_cmp(&key(values[a])));
    places.truncate(keep);
    let threshold = places.last().map_or(f32::INFINITY, |&place| values[place]);
    places.sort_unstable();
    for (target, place) in places.into_iter().enumerate() {
        (values[target], indices[target]) = (values[place], indices[place]);
    }
    (keep, threshold)
}

multiversion! {
    /// A threshold and how many values exceed it: between `least` and `most`, if one was found.
    fn bisect(values: &[f32], least: usize, most: usize) -> (f32, usize) {
        let count = |threshold: f32| {
            let (vectors, tail) = values.as_chunks::<LANES>();
            let mut counts = [0_u32; LANES];
            for vector in vectors {
                for (count, value) in counts.iter_mut().zip(vector) {
                    *count += u32::from(*value > threshold);
                }
            }
            let rest = tail.iter().filter(|value| **value > threshold).count();
            counts.iter().sum::<u32>() as usize + rest
        };
        let mut high = reduce::maximum(values, f32::NEG_INFINITY);
        let mut low = reduce::minimum(values, high);
        let mut above = count(low);
        for _ in 0..BISECTIONS {
            let middle = low + 0.5 * (high - low);
            if above <= most || middle <= low || middle >= high {
                break;
            }
            let middle_count = count(middle);
            if middle_count >= least {
                (low, above) = (middle, middle_count);
            } else {
                high = middle;
            }
        }
        (low, above)
    }
}

/// Moves the entries above `threshold` to the front, in order, and counts them.
fn move_above_to_front(values: &mut [f32], indices: &mut [u32], threshold: f32) -> usize {
    #[cfg(target_arch = "x86_64")]
    if Backend::best() >= Backend::Avx512 {
        // SAFETY: AVX-512 F, BW, DQ and VL were detected.
        return unsafe { move_to_front_avx512(values, indices, threshold) };
    }
    move_to_front(values, indices, threshold, 0, 0)
}

/// Moves entries from place `next` on behind the first `kept`.
fn move_to_front(
    values: &mut [f32],
    indices: &mut [u32],
    threshold: f32,
    next: usize,
    mut kept: usize,
) -> usize {
    for place in next..values.len() {
        let (value, index) = (values[place], indices[place]);
        (values[kept], indices[kept]) = (value, index);
        kept += usize::from(value > threshold);
    }
    kept
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn move_to_front_avx512(values: &mut [f32], indices: &mut [u32], threshold: f32) -> usize {
    use std::arch::x86_64::{
        _CMP_GT_OQ, _mm512_cmp_ps_mask, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_maskz_compress_epi32,
        _mm512_maskz_compress_ps, _mm512_set1_ps, _mm512_storeu_ps, _mm512_storeu_si512,
    };
    let limit = _mm512_set1_ps(threshold);
    let whole = values.len() / LANES * LANES;
    let mut kept = 0;
    for place in (0..whole).step_by(LANES) {
        // SAFETY: 16 entries from `place` lie inside both lists, which are equally long. `kept` is at most `place`,
        // so the stores stay inside the lists and before the loads still to come.
        unsafe {
            let value = _mm512_loadu_ps(values.as_ptr().add(place));
            let index = _mm512_loadu_si512(indices.as_ptr().add(place).cast());
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, limit);
            _mm512_storeu_ps(values.as_mut_ptr().add(kept), _mm512_maskz_compress_ps(above, value));
            let index = _mm512_maskz_compress_epi32(above, index);
            _mm512_storeu_si512(indices.as_mut_ptr().add(kept).cast(), index);
            kept += above.count_ones() as usize;
        }
    }
    move_to_front(values, indices, threshold, whole, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_as_many_as_wanted(
            values in prop::collection::vec(-300_i16..300, 1..200), least in 0_usize..200, slack in 0_usize..30,
            coarse: bool,
        ) {
            let divisor = if coarse { 100 } else { 1 };
            let mut kept: Vec<f32> = values.iter().map(|v| f32::from(v / divisor)).collect();
            let all = kept.clone();
            let mut indices: Vec<u32> = (0..all.len() as u32).collect();
            let least = least.min(all.len());
            let (count, threshold) = keep_largest(&mut kept, &mut indices, least..=least + slack);
            prop_assert!(count >= least && count <= least + slack);
            let mut expected: Vec<u32> = crate::top_k(&all, count).iter().map(|r| r.index).collect();
            expected.sort_unstable();
            prop_assert_eq!(&indices[..count], expected);
            for (value, index) in kept[..count].iter().zip(&indices) {
                prop_assert!(*value == all[*index as usize] && *value >= threshold);
            }
        }
    }
}
