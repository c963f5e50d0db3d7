//! Latents of many rows, without their zeros.

use glossator_model::SparseRows;

/// Latents `[rows, latents]` in compressed rows: only values that are not zero, in order of index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseLatents {
    latents: usize,
    /// Where each row ends.
    ends: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseLatents {
    /// No rows yet, of a dictionary with this many latents.
    pub fn new(latents: usize) -> Self {
        Self { latents, ..Self::default() }
    }

    /// The latents of a dense matrix `[rows, latents]`.
    ///
    /// # Panics
    /// If the values are not whole rows.
    pub fn from_dense(dense: &[f32], latents: usize) -> Self {
        assert!(latents > 0 && dense.len().is_multiple_of(latents), "latents: not whole rows");
        let mut result = Self::new(latents);
        for row in dense.chunks_exact(latents) {
            for (index, &value) in row.iter().enumerate() {
                // What is not a number is kept as well.
                if value != 0.0 {
                    result.push(index as u32, value);
                }
            }
            result.end_row();
        }
        result
    }

    /// The rows as the forward pass hands them on.
    pub(crate) fn into_rows(self) -> SparseRows {
        SparseRows { ends: self.ends, indices: self.indices, values: self.values }
    }

    /// Latents per row, zeros included.
    pub fn latents(&self) -> usize {
        self.latents
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Values that are not zero, over all rows.
    pub fn active(&self) -> usize {
        self.values.len()
    }

    /// Indices (rising) and values of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range = start..self.ends[row];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Indices and values of every row in turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u32], &[f32])> {
        (0..self.rows()).map(|row| self.row(row))
    }

    /// Every row written out, zeros included: `[rows, latents]`.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.rows() * self.latents];
        for (out, (indices, values)) in dense.chunks_exact_mut(self.latents.max(1)).zip(self.iter()) {
            for (&index, &value) in indices.iter().zip(values) {
                out[index as usize] = value;
            }
        }
        dense
    }

    /// Adds a value to the row that has not ended; indices must rise.
    pub(crate) fn push(&mut self, index: u32, value: f32) {
        self.indices.push(index);
        self.values.push(value);
    }

    /// Ends the row.
    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.values.len());
    }

    /// Appends the rows of another result of the same dictionary.
    pub(crate) fn append(&mut self, other: &Self) {
        let offset = self.values.len();
        self.ends.extend(other.ends.iter().map(|end| end + offset));
        self.indices.extend_from_slice(&other.indices);
        self.values.extend_from_slice(&other.values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_and_back() {
        let dense = [0.0, 1.0, -2.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.5];
        let sparse = SparseLatents::from_dense(&dense, 3);
        assert_eq!((sparse.rows(), sparse.active(), sparse.latents()), (3, 4, 3));
        assert_eq!(sparse.row(0), (&[1, 2][..], &[1.0, -2.0][..]));
        assert_eq!(sparse.row(1), (&[][..], &[][..]));
        assert_eq!(sparse.to_dense(), dense);
        let mut twice = sparse.clone();
        twice.append(&sparse);
        assert_eq!(twice.to_dense(), [dense, dense].concat());
    }
}
