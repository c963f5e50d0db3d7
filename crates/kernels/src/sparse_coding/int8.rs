//! Rows and weights in 8-bit integers, for selections: x ≈ sₓ (q − 128) with bytes q and w ≈ s_w p with signed bytes p, so
//! that x · w ≈ sₓ s_w (Σ q p − 128 Σ p). The inner sums are exact integers.
//!
//! A row has one scale, its largest magnitude over 127, so a column with large values would leave few steps to the others.
//! Columns are therefore evened out beforehand: xⱼ / cⱼ and wⱼ cⱼ have the same products, and with cⱼ = √(aⱼ / bⱼ) the same
//! spread in every column (as `SmoothQuant` does, Xiao et al. 2023, section 4), where aⱼ = (mean √|xⱼ|)² and bⱼ likewise
//! of W. Language models have a few tokens whose activations are a hundred times larger: with their columns' root mean
//! square, or mean, in place of a and b, other tokens lose the most precision.
//!
//! Rounding moves a product by √((‖w‖² Δₓ² + ‖x‖² Δ_w²) / 12) on average, Δ being the steps.
//!
//! Layout: that of [`ByteGroups`] with one group a row, its bytes padded to whole quads with 128; row and block end in a
//! line of 64 bytes per row.

use bytemuck::{Pod, Zeroable};

use super::factors::{Factor, Scaling, sample};
use super::selection::EncoderRows;
use crate::detect::Backend;
use crate::matrix_product::{ByteGroups, Element, LANES, QUAD, RowBlock, Tile};
use crate::multiversion::multiversion;
use crate::reduce;

/// Bytes behind the values of a row.
const TAIL: usize = 64;
/// The integer of a row's largest magnitude.
const LARGEST: f32 = 127.0;
/// Adding it leaves a small value rounded to the nearest even integer in the low bits: 1.5 · 2²³.
const ROUNDER: f32 = 12_582_912.0;
/// The byte of 0.
const ZERO: u8 = 128;
/// Rows of x that stand for all when columns are measured.
const SAMPLED: usize = 1024;

/// One byte of a row or block.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct Byte(u8);

impl Element for Byte {
    const ROW_STEP: usize = 1;

    fn multiply(backend: Backend, rows: RowBlock<'_, Self>, blocks: [&[Self]; 2], tile: &mut Tile) {
        let (values, blocks) = (bytemuck::cast_slice(rows.values), blocks.map(bytemuck::cast_slice));
        let groups = ByteGroups { terms: rows.stride - TAIL, row_bytes: rows.stride };
        groups.multiply(backend, RowBlock { values, stride: rows.stride, count: rows.count }, blocks, tile);
    }

    fn prepared(_: Backend, work: impl FnOnce()) {
        work();
    }
}

/// The bytes of values in a row.
fn padded(d: usize) -> usize {
    d.next_multiple_of(QUAD)
}

impl Factor for Byte {
    fn depth(d: usize) -> usize {
        padded(d) + TAIL
    }

    fn scaling(x: &[f32], encoder: EncoderRows<'_>) -> Scaling {
        let d = encoder.d();
        let step = (x.len() / d).div_ceil(SAMPLED).max(1);
        let rows = usual_sizes(x.chunks_exact(d).step_by(step), d);
        let weights = usual_sizes(sample(encoder), d);
        let ratio = |(x, w): (f32, f32)| {
            let ratio = (x / w).sqrt();
            if ratio > 0.0 && ratio.is_finite() { ratio } else { 1.0 }
        };
        let weight_factors: Vec<f32> = rows.into_iter().zip(weights).map(ratio).collect();
        let row_factors = weight_factors.iter().map(|factor| 1.0 / factor).collect();
        let mut scaling = Scaling { d, row_factors, weight_factors, ..Scaling::default() };
        let mut bytes = vec![0; padded(d)];
        let mut count = 0.0;
        for row in sample(encoder) {
            let [scale, square] = quantise(row, &scaling.weight_factors, &mut bytes);
            scaling.weight_square += f64::from(square);
            scaling.weight_step_square += f64::from(scale) * f64::from(scale);
            count += 1.0;
        }
        scaling.weight_square /= count;
        scaling.weight_step_square /= count;
        scaling
    }

    fn convert(row: &[f32], scaling: &Scaling, out: &mut [Self]) -> f32 {
        let (values, tail) = bytemuck::cast_slice_mut(out).split_at_mut(padded(row.len()));
        let [scale, square] = quantise(row, &scaling.row_factors, values);
        tail.fill(0);
        tail[..4].copy_from_slice(&scale.to_ne_bytes());
        let (scale, square) = (f64::from(scale), f64::from(square));
        ((scaling.weight_square * scale * scale + square * scaling.weight_step_square) / 12.0).sqrt() as f32
    }

    fn pack(rows: &[&[f32]], scaling: &Scaling, block: &mut [Self]) {
        let width = padded(scaling.d);
        let (values, tail) = bytemuck::cast_slice_mut::<_, u8>(block).split_at_mut(LANES * width);
        let mut bytes = vec![ZERO; width];
        tail.fill(0);
        if rows.len() < LANES {
            values.fill(0);
        }
        for (lane, row) in rows.iter().enumerate() {
            let [scale, _] = quantise(row, &scaling.weight_factors, &mut bytes);
            let sum: i32 = bytes.iter().map(|byte| i32::from(*byte) - i32::from(ZERO)).sum();
            for (line, quad) in values.chunks_exact_mut(QUAD * LANES).zip(bytes.chunks_exact(QUAD)) {
                // Flipping the highest bit turns q into the signed q − 128.
                let signed = [quad[0] ^ ZERO, quad[1] ^ ZERO, quad[2] ^ ZERO, quad[3] ^ ZERO];
                line[QUAD * lane..][..QUAD].copy_from_slice(&signed);
            }
            tail[4 * lane..][..4].copy_from_slice(&scale.to_ne_bytes());
            tail[TAIL + 4 * lane..][..4].copy_from_slice(&(-i32::from(ZERO) * sum).to_ne_bytes());
        }
    }
}

/// (mean √|xⱼ|)² of every column j.
fn usual_sizes<'a>(rows: impl Iterator<Item = &'a [f32]>, d: usize) -> Vec<f32> {
    let (mut sums, mut count) = (vec![0.0_f32; d], 0.0_f32);
    for row in rows {
        add_roots(row, &mut sums);
        count += 1.0;
    }
    sums.into_iter().map(|sum| (sum / count).powi(2)).collect()
}

multiversion! {
    /// sum += √|x|, by column.
    fn add_roots(row: &[f32], sums: &mut [f32]) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x.abs().sqrt();
        }
    }
}

multiversion! {
    /// Writes `row` times `factors` in bytes, padded with zeros. Returns the scale, and ‖row · factors‖².
    fn quantise(row: &[f32], factors: &[f32], out: &mut [u8]) -> [f32; 2] {
        assert!(row.len() == factors.len() && row.len() <= out.len(), "quantise: lengths differ");
        let (values, padding) = out.split_at_mut(row.len());
        padding.fill(ZERO);
        let (row_vectors, factor_vectors) = (row.as_chunks::<LANES>(), factors.as_chunks::<LANES>());
        let mut largest = [0.0_f32; LANES];
        let mut squares = [0.0_f32; LANES];
        for (row, factors) in row_vectors.0.iter().zip(factor_vectors.0) {
            for lane in 0..LANES {
                let value = row[lane] * factors[lane];
                largest[lane] = if value.abs() > largest[lane] { value.abs() } else { largest[lane] };
                squares[lane] = value.mul_add(value, squares[lane]);
            }
        }
        for (x, factor) in row_vectors.1.iter().zip(factor_vectors.1) {
            let value = x * factor;
            largest[0] = largest[0].max(value.abs());
            squares[0] = value.mul_add(value, squares[0]);
        }
        let largest = reduce::maximum(&largest, 0.0);
        let scale = largest / LARGEST;
        let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
        for ((byte, x), factor) in values.iter_mut().zip(row).zip(factors) {
            let rounded = (x * factor).mul_add(inverse, ROUNDER);
            *byte = rounded.to_bits() as u8 ^ ZERO;
        }
        [scale, squares.iter().sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// x and W with columns of very different sizes, from some seeds.
    fn matrices(rows: usize, n: usize, d: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let x = (0..rows * d).map(|i| next() * if i % d % 7 == 3 { 40.0 } else { 1.0 }).collect();
        (x, (0..n * d).map(|_| next()).collect())
    }

    proptest! {
        /// The products are those of the definition, the same bits on every backend, and off by what is stated.
        #[test]
        fn tiles_agree_with_the_definition(
            rows in 1_usize..=32, d in 1_usize..200, seed in any::<u64>(),
        ) {
            let n = 2 * LANES - 3;
            let (x, weight) = matrices(rows, n, d, seed);
            let bias = vec![0.0; n];
            let encoder = EncoderRows::all(&weight, &bias, d);
            let scaling = Byte::scaling(&x, encoder);
            let depth = Byte::depth(d);
            let mut bytes = vec![Byte(0); rows * depth];
            let lines = bytes.chunks_exact_mut(depth).zip(x.chunks_exact(d));
            let noise: Vec<f32> = lines.map(|(out, row)| Byte::convert(row, &scaling, out)).collect();
            let mut blocks = [vec![Byte(7); LANES * depth], vec![Byte(7); LANES * depth]];
            for (block, values) in blocks.iter_mut().enumerate() {
                let lines: Vec<&[f32]> = weight.chunks_exact(d).skip(LANES * block).take(LANES).collect();
                Byte::pack(&lines, &scaling, values);
            }
            let blocks = [blocks[0].as_slice(), &blocks[1]];
            let block = RowBlock { values: bytes.as_slice(), stride: depth, count: rows };
            let mut tiles = [Tile::new(), Tile::new()];
            Byte::multiply(Backend::Portable, block, blocks, &mut tiles[0]);
            Byte::multiply(Backend::best(), block, blocks, &mut tiles[1]);
            let mut squares = 0.0;
            for row in 0..rows {
                for latent in 0..2 * LANES {
                    let [a, b] = [0, 1].map(|which: usize| tiles[which].0[latent / LANES][row][latent % LANES]);
                    prop_assert_eq!(a.to_bits(), b.to_bits());
                    let exact: f64 = if latent < n {
                        let terms = x[row * d..][..d].iter().zip(&weight[latent * d..]);
                        terms.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
                    } else {
                        0.0
                    };
                    let error = (f64::from(a) - exact) / f64::from(noise[row]);
                    prop_assert!(error.abs() < 8.0, "{a} instead of {exact}, noise {}", noise[row]);
                    squares += error * error;
                }
            }
            prop_assert!(squares < 4.0 * (rows * n) as f64, "{squares} of {}", rows * n);
        }
    }

    #[test]
    fn rows_of_zeros_give_zeros() {
        let mut bytes = vec![0; 8];
        assert_eq!(quantise(&[0.0; 5], &[1.0; 5], &mut bytes), [0.0, 0.0]);
        assert_eq!(bytes, [ZERO; 8]);
    }
}
