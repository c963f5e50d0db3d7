//! A bounded buffer of rows from which batches are drawn at random: what decorrelates the tokens of one text.

use crate::random::Random;

/// Rows of `width` values, in no order that means anything.
#[derive(Clone, Debug, PartialEq)]
pub struct ShuffleBuffer {
    width: usize,
    /// `[rows, width]`
    rows: Vec<f32>,
    random: Random,
}

impl ShuffleBuffer {
    /// An empty buffer.
    ///
    /// # Panics
    /// If rows have no width.
    pub fn new(width: usize, seed: u64) -> Self {
        assert!(width > 0, "shuffle buffer: rows of width 0");
        Self { width, rows: Vec::new(), random: Random::new(seed) }
    }

    /// A buffer as it was: its rows in their order, and its random state.
    ///
    /// # Panics
    /// If the rows are not whole.
    pub fn restore(width: usize, rows: Vec<f32>, random: Random) -> Self {
        assert!(width > 0 && rows.len().is_multiple_of(width), "shuffle buffer: rows are not whole");
        Self { width, rows, random }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len() / self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows `[rows, width]`.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// The random state.
    pub fn random(&self) -> &Random {
        &self.random
    }

    /// Adds rows.
    ///
    /// # Panics
    /// If they are not whole.
    pub fn push(&mut self, rows: &[f32]) {
        assert!(rows.len().is_multiple_of(self.width), "shuffle buffer: rows are not whole");
        self.rows.extend_from_slice(rows);
    }

    /// Moves `count` rows, drawn without replacement, to `out`, whose contents they replace.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn draw(&mut self, count: usize, out: &mut Vec<f32>) {
        assert!(count <= self.len(), "shuffle buffer: not enough rows");
        out.clear();
        for _ in 0..count {
            let last = self.rows.len() - self.width;
            let drawn = self.random.below(self.len()) * self.width;
            out.extend_from_slice(&self.rows[drawn..drawn + self.width]);
            self.rows.copy_within(last.., drawn);
            self.rows.truncate(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_out_once_in_a_seeded_order() {
        let drawn = |seed: u64| {
            let mut buffer = ShuffleBuffer::new(2, seed);
            let mut all = Vec::new();
            let mut out = Vec::new();
            for first in [0_u16, 50] {
                let rows: Vec<f32> =
                    (first..first + 50).flat_map(|i| [f32::from(i), -f32::from(i)]).collect();
                buffer.push(&rows);
                buffer.draw(40, &mut out);
                all.extend_from_slice(&out);
            }
            let mut again = ShuffleBuffer::restore(2, buffer.rows().to_vec(), buffer.random().clone());
            buffer.draw(20, &mut out);
            let rest = out.clone();
            again.draw(20, &mut out);
            assert_eq!(out, rest);
            all.extend(out);
            assert!(buffer.is_empty());
            all
        };
        let all = drawn(1);
        assert!(all.chunks(2).all(|row| row[0] == -row[1]));
        let mut sorted: Vec<u16> = all.chunks(2).map(|row| row[0] as u16).collect();
        assert!(!sorted.is_sorted());
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(all, drawn(1));
        assert_ne!(all, drawn(2));
    }
}
