//! Sums over a few rows of a large table, and products with them: `out += Σⱼ cⱼ W[iⱼ]` and `W[iⱼ] · v`.
//!
//! The rows lie anywhere in memory, so these run at the speed at which rows arrive: [`prefetch_rows`] asks for the
//! rows of the next call while this one computes.

use half::bf16;

use crate::matrix_product::LANES;
use crate::multiversion::multiversion;
use crate::reduce;

multiversion! {
    /// `out [d] += Σⱼ cⱼ W[iⱼ]`, the terms added in order, for rows of `table` `[n, d]`.
    ///
    /// # Panics
    /// If an index lies outside the table or the lists differ in length.
    pub fn weighted_sum(table: &[f32], indices: &[u32], coefficients: &[f32], out: &mut [f32]) {
        add_rows(table, indices, coefficients, out);
    }
}

multiversion! {
    /// As [`weighted_sum`], for a table in bf16; half the memory has to be read.
    ///
    /// # Panics
    /// If an index lies outside the table or the lists differ in length.
    pub fn weighted_sum_bf16(table: &[bf16], indices: &[u32], coefficients: &[f32], out: &mut [f32]) {
        add_rows(table, indices, coefficients, out);
    }
}

/// What a table holds.
trait Value: Copy {
    fn wide(self) -> f32;
}

impl Value for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

impl Value for bf16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// In strips as wide as the registers allow, then narrower ones.
#[inline(always)]
fn add_rows<T: Value>(table: &[T], indices: &[u32], coefficients: &[f32], out: &mut [f32]) {
    assert_eq!(indices.len(), coefficients.len(), "weighted sum: lists differ in length");
    let d = out.len();
    let mut start = 0;
    while start + 12 * LANES <= d {
        add_strip::<T, 12>(table, d, start, indices, coefficients, out);
        start += 12 * LANES;
    }
    while start + 4 * LANES <= d {
        add_strip::<T, 4>(table, d, start, indices, coefficients, out);
        start += 4 * LANES;
    }
    while start + LANES <= d {
        add_strip::<T, 1>(table, d, start, indices, coefficients, out);
        start += LANES;
    }
    for (offset, sum) in out.iter_mut().enumerate().skip(start) {
        for (&index, &coefficient) in indices.iter().zip(coefficients) {
            *sum = table[index as usize * d + offset].wide().mul_add(coefficient, *sum);
        }
    }
}

/// `VECTORS` · 16 columns from `start`, whose sums stay in registers.
#[inline(always)]
fn add_strip<T: Value, const VECTORS: usize>(
    table: &[T],
    d: usize,
    start: usize,
    indices: &[u32],
    coefficients: &[f32],
    out: &mut [f32],
) {
    let mut sums = [[0.0_f32; LANES]; VECTORS];
    let out = &mut out[start..start + VECTORS * LANES];
    sums.as_flattened_mut().copy_from_slice(out);
    for (&index, &coefficient) in indices.iter().zip(coefficients) {
        let row = &table[index as usize * d + start..][..VECTORS * LANES];
        let (row, _) = row.as_chunks::<LANES>();
        for (sums, row) in sums.iter_mut().zip(row) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = value.wide().mul_add(coefficient, *sum);
            }
        }
    }
    out.copy_from_slice(sums.as_flattened());
}

multiversion! {
    /// `outⱼ = W[iⱼ] · v`, for rows of `table` `[n, d]`, each summed in 64 interleaved partial sums.
    ///
    /// # Panics
    /// If an index lies outside the table or the lists differ in length.
    pub fn dots(table: &[f32], indices: &[u32], vector: &[f32], out: &mut [f32]) {
        assert_eq!(indices.len(), out.len(), "dots: lists differ in length");
        let d = vector.len();
        for (out, &index) in out.iter_mut().zip(indices) {
            *out = reduce::wide_dot(&table[index as usize * d..][..d], vector);
        }
    }
}

/// Asks for rows `indices` of `table` `[n, d]`, or the first of them that fit, to be brought into the second-level cache;
/// changes nothing.
///
/// # Panics
/// If an index lies outside the table.
pub fn prefetch_rows<T>(table: &[T], d: usize, indices: &[u32]) {
    let fitting = AHEAD_BYTES / (d * size_of::<T>()).max(1);
    for &index in indices.iter().take(fitting) {
        prefetch(&table[index as usize * d..][..d]);
    }
}

/// Bytes that are asked for at once: half of a typical second-level cache.
const AHEAD_BYTES: usize = 1 << 19;

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

#[cfg(target_arch = "x86_64")]
fn prefetch<T>(row: &[T]) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    for line in row.chunks(LINE_BYTES / size_of::<T>()) {
        // SAFETY: a prefetch of an address inside a slice; it has no effect but on caches.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn prefetch<T>(_: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919) % 211) as f32 / 50.0 - 2.0).collect()
    }

    proptest! {
        #[test]
        fn agree_with_the_definitions(
            d in 1_usize..600,
            entries in prop::collection::vec((0_u32..9, -3.0_f32..3.0), 0..20),
        ) {
            let table = table(9 * d);
            let (indices, coefficients): (Vec<u32>, Vec<f32>) = entries.into_iter().unzip();
            let mut sum = vec![0.25; d];
            prefetch_rows(&table, d, &indices);
            weighted_sum(&table, &indices, &coefficients, &mut sum);
            for (column, sum) in sum.iter().enumerate() {
                let terms = indices.iter().zip(&coefficients);
                let terms = terms.map(|(&i, &c)| f64::from(table[i as usize * d + column]) * f64::from(c));
                let magnitude: f64 = 0.25 + terms.clone().map(f64::abs).sum::<f64>();
                let expected: f64 = 0.25 + terms.sum::<f64>();
                prop_assert!((f64::from(*sum) - expected).abs() <= 2e-6 * magnitude);
            }
            let narrow = crate::round_to_bf16(&table);
            let wide: Vec<f32> = narrow.iter().map(|v| v.to_f32()).collect();
            let (mut from_narrow, mut from_wide) = (vec![0.25; d], vec![0.25; d]);
            prefetch_rows(&narrow, d, &indices);
            weighted_sum_bf16(&narrow, &indices, &coefficients, &mut from_narrow);
            weighted_sum(&wide, &indices, &coefficients, &mut from_wide);
            prop_assert_eq!(from_narrow, from_wide);
            let vector = &table[..d];
            let mut products = vec![0.0; indices.len()];
            dots(&table, &indices, vector, &mut products);
            for (&index, product) in indices.iter().zip(&products) {
                let row = &table[index as usize * d..][..d];
                let terms = row.iter().zip(vector).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let magnitude: f64 = terms.clone().map(f64::abs).sum();
                prop_assert!((f64::from(*product) - terms.sum::<f64>()).abs() <= 2e-6 * magnitude);
            }
        }
    }
}
