//! Rotary position embedding (Su et al. 2021) in the half-split ("rotate half") convention.
//!
//! For the first `dims` coordinates of a head, with θᵢ = position · `inverse_frequencies`ᵢ and h = dims / 2:
//! yᵢ = a (xᵢ cos θᵢ − xᵢ₊ₕ sin θᵢ), yᵢ₊ₕ = a (xᵢ₊ₕ cos θᵢ + xᵢ sin θᵢ), for i < h. The attention factor a is 1
//! except under YaRN scaling; coordinates from `dims` on pass through.

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
            for head in x[row * stride..][..heads * d_head].chunks_exact_mut(d_head) {
                let (low, high) = head[..2 * self.half].split_at_mut(self.half);
                rotate_head(low, high, cosines, sines);
            }
        }
    }
}

fn rotate_head(low: &mut [f32], high: &mut [f32], cosines: &[f32], sines: &[f32]) {
    for (((a, b), cosine), sine) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
        let (x, y) = (*a, *b);
        *a = x * cosine - y * sine;
        *b = y * cosine + x * sine;
    }
}
