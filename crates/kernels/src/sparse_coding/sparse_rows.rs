//! A matrix `[rows, n]` of which every row has a few entries: their column and value, at most `width` a row.

use rayon::prelude::*;

use super::thinning::keep_largest;

/// The entries of some rows, stored row by row with room for `width` each.
#[derive(Clone, Debug, Default)]
pub struct SparseRows {
    width: usize,
    counts: Vec<u32>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// The entries of one row.
#[derive(Clone, Copy, Debug)]
pub struct SparseRow<'a> {
    /// Columns.
    pub indices: &'a [u32],
    /// Their values.
    pub values: &'a [f32],
}

/// One row for writing: all `width` places, of which the first `count` are entries.
#[derive(Debug)]
pub struct SparseRowMut<'a> {
    /// The number of entries.
    pub count: &'a mut u32,
    /// Columns `[width]`.
    pub indices: &'a mut [u32],
    /// Values `[width]`.
    pub values: &'a mut [f32],
}

impl SparseRows {
    /// `rows` empty rows with room for `width` entries each.
    pub fn new(rows: usize, width: usize) -> Self {
        let mut empty = Self::default();
        empty.reset(rows, width);
        empty
    }

    /// Makes all rows empty and gives them this shape, keeping the memory.
    pub fn reset(&mut self, rows: usize, width: usize) {
        self.width = width;
        self.counts.clear();
        self.counts.resize(rows, 0);
        self.indices.resize(rows * width, 0);
        self.values.resize(rows * width, 0.0);
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.counts.len()
    }

    /// The entries that a row has room for. Row `r` begins at place `r · width`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The entries of all rows together.
    pub fn entries(&self) -> usize {
        self.counts.iter().map(|&count| count as usize).sum()
    }

    /// The entries of row `row`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> SparseRow<'_> {
        let places = row * self.width..row * self.width + self.counts[row] as usize;
        SparseRow { indices: &self.indices[places.clone()], values: &self.values[places] }
    }

    /// All rows, for writing in parallel.
    ///
    /// # Panics
    /// If rows have no room at all.
    pub fn par_rows_mut(&mut self) -> impl IndexedParallelIterator<Item = SparseRowMut<'_>> {
        let places = self.indices.par_chunks_exact_mut(self.width);
        let places = places.zip(self.values.par_chunks_exact_mut(self.width));
        self.counts.par_iter_mut().zip(places).map(|(count, (indices, values))| SparseRowMut {
            count,
            indices,
            values,
        })
    }
}

impl SparseRowMut<'_> {
    /// The entries as they stand.
    pub fn entries(&self) -> SparseRow<'_> {
        let count = *self.count as usize;
        SparseRow { indices: &self.indices[..count], values: &self.values[..count] }
    }

    /// Keeps the `k` entries with the largest values, in their order. Of equal values those that come first stay; NaN
    /// counts as smallest.
    pub fn keep_largest(&mut self, k: usize) {
        let count = *self.count as usize;
        if count <= k {
            return;
        }
        *self.count = keep_largest(&mut self.values[..count], &mut self.indices[..count], k..=k).0 as u32;
    }

    /// Keeps the entries for which `keep` holds, in their order.
    pub fn retain(&mut self, keep: impl Fn(u32, f32) -> bool) {
        let mut kept = 0;
        for place in 0..*self.count as usize {
            let (index, value) = (self.indices[place], self.values[place]);
            if keep(index, value) {
                (self.indices[kept], self.values[kept]) = (index, value);
                kept += 1;
            }
        }
        *self.count = kept as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_the_largest_in_order_of_index(values in prop::collection::vec(-4_i8..4, 1..60), k in 0_usize..70) {
            let mut rows = SparseRows::new(1, values.len());
            for row in rows.par_rows_mut().collect::<Vec<_>>() {
                *row.count = values.len() as u32;
                for (i, value) in values.iter().enumerate() {
                    (row.indices[i], row.values[i]) = (i as u32, f32::from(*value));
                }
            }
            rows.par_rows_mut().for_each(|mut row| row.keep_largest(k));
            let wide: Vec<f32> = values.iter().map(|v| f32::from(*v)).collect();
            let mut expected: Vec<u32> = crate::top_k(&wide, k).iter().map(|r| r.index).collect();
            prop_assert!(rows.row(0).values.iter().zip(rows.row(0).indices).all(|(v, i)| *v == wide[*i as usize]));
            expected.sort_unstable();
            prop_assert_eq!(rows.row(0).indices, expected);
        }
    }

    #[test]
    fn retains_in_order() {
        let mut rows = SparseRows::new(1, 4);
        for mut row in rows.par_rows_mut().collect::<Vec<_>>() {
            *row.count = 3;
            row.indices[..3].copy_from_slice(&[7, 2, 9]);
            row.values[..3].copy_from_slice(&[1.0, -1.0, 2.0]);
            row.retain(|_, value| value > 0.0);
        }
        assert_eq!((rows.row(0).indices, rows.row(0).values), ([7, 9].as_slice(), [1.0, 2.0].as_slice()));
        assert_eq!(rows.entries(), 2);
    }
}
