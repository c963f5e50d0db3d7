//! Rotary position embedding (Su et al. 2021) in the half-split ("rotate half") convention.
//!
//! For the first `dims` coordinates of a head, with θᵢ = position · `inverse_frequencies`ᵢ and h = dims / 2:
//! yᵢ = a (xᵢ cos θᵢ − xᵢ₊ₕ sin θᵢ), yᵢ₊ₕ = a (xᵢ₊ₕ cos θᵢ + xᵢ sin θᵢ), for i < h. The attention factor a is 1
//! except under YaRN scaling; coordinates from `dims` on pass through.

use crate::multiversion::multiversion;

/// Cosines and sines of every position up to a limit, both times the attention factor.
#[derive(Clone, Debug)]
pub struct RotaryTable {
    half: usize,
    /// `[position, half]`
    cosines: Vec<f32>,
    /// `[position, half]`
    sines: Vec<f32>,
}

impl RotaryTable {
    /// Tabulates positions `0..positions`; `dims` is twice the number of inverse frequencies.
    ///
    /// The angle is the product of two f32, as in PyTorch; its cosine and sine are taken in f64.
    pub fn new(inverse_frequencies: &[f32], attention_factor: f32, positions: usize) -> Self {
        let half = inverse_frequencies.len();
        let mut table = Self { half, cosines: Vec::new(), sines: Vec::new() };
        for position in 0..positions {
            for frequency in inverse_frequencies {
                let (sine, cosine) = f64::from(position as f32 * frequency).sin_cos();
                table.cosines.push(cosine as f32 * attention_factor);
                table.sines.push(sine as f32 * attention_factor);
            }
        }
        table
    }

    /// The number of positions tabulated.
    pub fn positions(&self) -> usize {
        self.cosines.len().checked_div(self.half).unwrap_or(0)
    }

    /// Rotates `rows` rows of heads in place. Head `h` of row `r` is
    /// `x[r · stride + h · d_head ..][.. d_head]` and stands at position `first_position + r`.
    ///
    /// # Panics
    /// If a row lies outside `x` or a position outside the table.
    pub fn rotate(
        &self,
        x: &mut [f32],
        stride: usize,
        heads: usize,
        d_head: usize,
        rows: usize,
        first_position: usize,
    ) {
        for row in 0..rows {
            let start = (first_position + row) * self.half;
            let (cosines, sines) = (&self.cosines[start..][..self.half], &self.sines[start..][..self.half]);
            rotate_row(&mut x[row * stride..][..heads * d_head], d_head, cosines, sines);
        }
    }
}

multiversion! {
    fn rotate_row(row: &mut [f32], d_head: usize, cosines: &[f32], sines: &[f32]) {
        let half = cosines.len();
        for head in row.chunks_exact_mut(d_head) {
            let (low, high) = head[..2 * half].split_at_mut(half);
            for (((low, high), cosine), sine) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
                let (x, y) = (*low, *high);
                *low = x * cosine - y * sine;
                *high = y * cosine + x * sine;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rotates_the_first_dims_of_every_head(
            half in 0_usize..20, rest in 0_usize..5, heads in 1_usize..4, rows in 0_usize..4, first in 0_usize..50,
        ) {
            prop_assume!(half + rest > 0);
            let d_head = 2 * half + rest;
            let stride = heads * d_head + 3;
            let frequencies: Vec<f32> = (0..half).map(|i| 0.7_f32.powi(i as i32)).collect();
            let table = RotaryTable::new(&frequencies, 1.5, first + rows);
            let x: Vec<f32> = (0..rows * stride).map(|i| (i % 19) as f32 - 9.0).collect();
            let mut y = x.clone();
            table.rotate(&mut y, stride, heads, d_head, rows, first);
            for (i, y) in y.iter().enumerate() {
                let (row, column) = (i / stride, i % stride);
                let within = column % d_head;
                let expected = if column >= heads * d_head || within >= 2 * half {
                    f64::from(x[i])
                } else {
                    let frequency = frequencies[within % half];
                    let (sine, cosine) = f64::from((first + row) as f32 * frequency).sin_cos();
                    let (partner, sign) = if within < half { (i + half, -1.0) } else { (i - half, 1.0) };
                    1.5 * (f64::from(x[i]) * cosine + sign * f64::from(x[partner]) * sine)
                };
                prop_assert!((f64::from(*y) - expected).abs() < 1e-5);
            }
        }
    }
}
