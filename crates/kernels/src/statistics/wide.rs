//! A window's statistics and histogram with 512-bit vectors: 16 units at a time, their sums in registers.
//!
//! The same operations on each unit in the same order as in [`super::window`], so the same bits. The
//! histogram's scalar increments run beside the vector arithmetic: on their own each would wait for the other.

use std::arch::x86_64::{
    __m512, __m512d, __m512i, _CMP_GT_OQ, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm256_storeu_si256,
    _mm512_add_epi32, _mm512_add_pd, _mm512_add_ps, _mm512_castps_si512, _mm512_castps512_ps256,
    _mm512_castsi512_si256, _mm512_cmp_ps_mask, _mm512_cvtps_pd, _mm512_extractf32x8_ps,
    _mm512_extracti32x8_epi32, _mm512_mask_add_epi32, _mm512_mask_storeu_epi32, _mm512_mask_storeu_pd,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_max_epu32, _mm512_max_ps, _mm512_min_epu32,
    _mm512_min_ps, _mm512_mul_pd, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_pd, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srai_epi32, _mm512_srli_epi32, _mm512_sub_epi32,
    _mm512_xor_si512,
};
use std::hint::black_box;

use super::WindowStatistics;
use super::histogram::{BUCKETS, LOWEST, SIDE};

/// Units in a vector.
const LANES: usize = 16;
/// How many values ahead of a row's current ones the cache is asked for: rows lie too far apart for it to guess.
const AHEAD: usize = 2 * LANES;

/// Cache lines of a unit's histogram, and of these the middle ones, which hold most activations: sizes from 2⁻¹⁵
/// to 2.
const LINES: usize = BUCKETS / 16;
const MIDDLE: [usize; 4] = [2, 3, 4, 5];

/// As [`WindowStatistics::compute`], whose checks it relies on.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn compute(
    to: &mut WindowStatistics,
    rows: &[f32],
    width: usize,
    first: usize,
    histogram: &mut [u32],
) {
    let units = to.min.len();
    for (lane, counts) in histogram.chunks_mut(LANES * BUCKETS).enumerate() {
        let lane = lane * LANES;
        let (count, column) = ((units - lane).min(LANES), first + lane);
        let sums = if let Ok(counts) = counts.try_into() {
            lanes::<true>(rows, width, column, count, counts)
        } else {
            let mut some = [0; LANES * BUCKETS];
            some[..counts.len()].copy_from_slice(counts);
            let sums = lanes::<false>(rows, width, column, count, &mut some);
            counts.copy_from_slice(&some[..counts.len()]);
            sums
        };
        sums.store(to, lane, count);
    }
}

/// The buckets of 16 values, on one cache line: what straddles two cannot be read until it is in the cache.
#[repr(align(64))]
struct Places([u32; LANES]);

/// The statistics of 16 units.
struct Sums {
    /// `[power − 1]`, units 0 to 7 and 8 to 15.
    powers: [[__m512d; 2]; 4],
    min: __m512,
    max: __m512,
    positive: __m512i,
}

/// Takes columns `column..column + count` of `rows` `[token, width]`, counting them in `counts` `[unit, BUCKETS]`;
/// `FULL` where they are 16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn lanes<const FULL: bool>(
    rows: &[f32],
    width: usize,
    column: usize,
    count: usize,
    counts: &mut [u32; LANES * BUCKETS],
) -> Sums {
    assert!(
        count <= LANES && (count == LANES || !FULL) && column + count <= width,
        "statistics: the columns go beyond the width"
    );
    let count = if FULL { LANES } else { count };
    let mask = ((1_u32 << count) - 1) as u16;
    let mut sums = Sums {
        powers: [[_mm512_setzero_pd(); 2]; 4],
        min: _mm512_set1_ps(f32::INFINITY),
        max: _mm512_set1_ps(f32::NEG_INFINITY),
        positive: _mm512_setzero_si512(),
    };
    let mut places = Places([0; LANES]);
    // The histograms of the next lanes, which lie behind these, are asked for line by line.
    let next = counts.as_ptr().wrapping_add(counts.len());
    for (index, row) in rows.chunks_exact(width).enumerate() {
        let from = row[column..].as_ptr();
        let (unit, line) = (index / MIDDLE.len() % LANES, MIDDLE[index % MIDDLE.len()]);
        let line = next.wrapping_add((unit * LINES + line) * 16);
        // SAFETY: `count` values from `column` on lie in the row; the others are masked. A prefetch reads nothing.
        let x = unsafe {
            _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(AHEAD).cast());
            _mm_prefetch::<_MM_HINT_T0>(line.cast());
            _mm512_maskz_loadu_ps(mask, from)
        };
        sums.add(x);
        let found = buckets(x);
        let (low, high) = places.0.split_at_mut(LANES / 2);
        // In halves: a small read from the upper half of a 512-bit write waits until the write is in the cache.
        // SAFETY: each half is 8 numbers of 32 bits.
        unsafe {
            _mm256_storeu_si256(low.as_mut_ptr().cast(), _mm512_castsi512_si256(found));
            _mm256_storeu_si256(high.as_mut_ptr().cast(), _mm512_extracti32x8_epi32::<1>(found));
        }
        // Through memory: taking numbers out of a vector register would keep the arithmetic waiting.
        let Places(places) = black_box(&places);
        for (place, counts) in places[..count].iter().zip(counts.as_chunks_mut::<BUCKETS>().0) {
            // SAFETY: `buckets` gives numbers below BUCKETS.
            unsafe { *counts.get_unchecked_mut(*place as usize) += 1 };
        }
    }
    sums
}

/// As [`super::bucket`], of 16 values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn buckets(x: __m512) -> __m512i {
    let constant = |value: u32| _mm512_set1_epi32(value as i32);
    // Adding 0 turns −0 into 0.
    let bits = _mm512_castps_si512(_mm512_add_ps(x, _mm512_setzero_ps()));
    let size = _mm512_srli_epi32::<23>(_mm512_slli_epi32::<1>(bits));
    let size = _mm512_min_epu32(_mm512_max_epu32(size, constant(LOWEST)), constant(LOWEST + SIDE - 1));
    let size = _mm512_sub_epi32(size, constant(LOWEST));
    // SIDE + size, or SIDE − 1 − size where the sign is set: there the bits of size are flipped.
    _mm512_add_epi32(_mm512_xor_si512(size, _mm512_srai_epi32::<31>(bits)), constant(SIDE))
}

impl Sums {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn add(&mut self, x: __m512) {
        let halves =
            [_mm512_cvtps_pd(_mm512_castps512_ps256(x)), _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(x))];
        for (half, wide) in halves.into_iter().enumerate() {
            let square = _mm512_mul_pd(wide, wide);
            let terms = [wide, square, _mm512_mul_pd(square, wide), _mm512_mul_pd(square, square)];
            for (sums, term) in self.powers.iter_mut().zip(terms) {
                sums[half] = _mm512_add_pd(sums[half], term);
            }
        }
        // Both give their second operand where the first is undefined.
        self.min = _mm512_min_ps(x, self.min);
        self.max = _mm512_max_ps(x, self.max);
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_setzero_ps());
        self.positive = _mm512_mask_add_epi32(self.positive, above, self.positive, _mm512_set1_epi32(1));
    }

    /// Writes the first `count` units to places `lane..`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn store(&self, to: &mut WindowStatistics, lane: usize, count: usize) {
        let mask = ((1_u32 << count) - 1) as u16;
        for (sums, to) in self.powers.iter().zip(&mut to.powers) {
            for (half, sums) in sums.iter().enumerate() {
                let place = (lane + half * 8).min(lane + count);
                let to = &mut to[place..lane + count];
                // SAFETY: the mask lets through as many numbers as the slice has at most.
                unsafe { _mm512_mask_storeu_pd(to.as_mut_ptr(), (mask >> (half * 8)) as u8, *sums) };
            }
        }
        let (min, max) = (&mut to.min[lane..lane + count], &mut to.max[lane..lane + count]);
        let positive = &mut to.positive[lane..lane + count];
        // SAFETY: the mask lets through `count` numbers, which is how many each slice has.
        unsafe {
            _mm512_mask_storeu_ps(min.as_mut_ptr(), mask, self.min);
            _mm512_mask_storeu_ps(max.as_mut_ptr(), mask, self.max);
            _mm512_mask_storeu_epi32(positive.as_mut_ptr().cast(), mask, self.positive);
        }
    }
}
