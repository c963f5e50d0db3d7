//! Sums over a row in a fixed order: 16 interleaved partial sums, then their sum, then the tail.

use crate::matrix_product::LANES;

/// Σ f(xᵢ).
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (vectors, tail) = x.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for vector in vectors {
        for (sum, value) in sums.iter_mut().zip(vector) {
            *sum += f(*value);
        }
    }
    total(&sums) + tail.iter().map(|value| f(*value)).sum::<f32>()
}

/// Σ xᵢ yᵢ.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let ((x_vectors, x_tail), (y_vectors, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (x, y) in x_vectors.iter().zip(y_vectors) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = x.mul_add(*y, *sum);
        }
    }
    total(&sums) + x_tail.iter().zip(y_tail).map(|(x, y)| x * y).sum::<f32>()
}

/// Σ xᵢ yᵢ in 64 interleaved partial sums, of which none waits for the one before: for rows that are in the cache.
#[inline(always)]
pub(crate) fn wide_dot(x: &[f32], y: &[f32]) -> f32 {
    const WIDTH: usize = 4 * LANES;
    let ((x_blocks, x_tail), (y_blocks, y_tail)) = (x.as_chunks::<WIDTH>(), y.as_chunks::<WIDTH>());
    let mut sums = [0.0_f32; WIDTH];
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = x.mul_add(*y, *sum);
        }
    }
    let mut folded = [0.0_f32; LANES];
    for (lane, folded) in folded.iter_mut().enumerate() {
        *folded = (sums[lane] + sums[lane + LANES]) + (sums[lane + 2 * LANES] + sums[lane + 3 * LANES]);
    }
    total(&folded) + dot(x_tail, y_tail)
}

/// The largest of `start` and x; NaN is passed over.
#[inline(always)]
pub(crate) fn maximum(x: &[f32], start: f32) -> f32 {
    let (vectors, tail) = x.as_chunks::<LANES>();
    let mut maxima = [start; LANES];
    for vector in vectors {
        raise(&mut maxima, vector);
    }
    tail.iter().copied().fold(largest(&maxima), f32::max)
}

/// The smallest of `start` and x; NaN is passed over.
#[inline(always)]
pub(crate) fn minimum(x: &[f32], start: f32) -> f32 {
    let (vectors, tail) = x.as_chunks::<LANES>();
    let mut minima = [start; LANES];
    for vector in vectors {
        for (min, value) in minima.iter_mut().zip(vector) {
            *min = if *value < *min { *value } else { *min };
        }
    }
    minima.into_iter().chain(tail.iter().copied()).fold(start, f32::min)
}

/// Replaces each lane by the larger of itself and the value; NaN is passed over.
#[inline(always)]
pub(crate) fn raise(maxima: &mut [f32; LANES], values: &[f32; LANES]) {
    for (max, value) in maxima.iter_mut().zip(values) {
        *max = if *value > *max { *value } else { *max };
    }
}

/// The largest of 16 lanes, none of which is NaN.
#[inline(always)]
pub(crate) fn largest(lanes: &[f32; LANES]) -> f32 {
    let mut lanes = *lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            let other = lanes[lane + width];
            lanes[lane] = if other > lanes[lane] { other } else { lanes[lane] };
        }
        width /= 2;
    }
    lanes[0]
}

/// The sum of 16 lanes: pairwise, which vectorises.
#[inline(always)]
pub(crate) fn total(sums: &[f32; LANES]) -> f32 {
    let mut sums = *sums;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}
