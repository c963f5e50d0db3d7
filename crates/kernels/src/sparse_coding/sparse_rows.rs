//! A matrix `[rows, n]` of which every row has a few entries: their column and value. Each row has places for some
//! entries, as many as the others or not.

use rayon::prelude::*;

use super::thinning::keep_largest;

/// The entries of some rows, stored row by row.
#[derive(Clone, Debug, Default)]
pub struct SparseRows {
    /// `[rows + 1]`: where the places of each row begin.
    starts: Vec<usize>,
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

/// One row for writing: all its places, of which the first `count` are entries.
#[derive(Debug)]
pub struct SparseRowMut<'a> {
    /// The number of entries.
    pub count: &'a mut u32,
    /// Columns.
    pub indices: &'a mut [u32],
    /// Values.
    pub values: &'a mut [f32],
}

impl SparseRows {
    /// `rows` empty rows with room for `width` entries each.
    pub fn new(rows: usize, width: usize) -> Self {
        let mut empty = Self::default();
        empty.reset(rows, width);
        empty
    }

    /// Makes all rows empty and gives each of `rows` rows `width` places, keeping the memory.
    pub fn reset(&mut self, rows: usize, width: usize) {
        self.reset_to((0..rows).map(|_| width));
    }

    /// Makes all rows empty and gives each as many places as `rooms` says, keeping the memory.
    pub fn reset_to(&mut self, rooms: impl IntoIterator<Item = usize>) {
        self.starts.clear();
        self.starts.push(0);
        let mut end = 0;
        self.starts.extend(rooms.into_iter().map(|room| {
            end += room;
            end
        }));
        self.counts.clear();
        self.counts.resize(self.starts.len() - 1, 0);
        self.indices.resize(end, 0);
        self.values.resize(end, 0.0);
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.counts.len()
    }

    /// The entries that a row has room for.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn room(&self, row: usize) -> usize {
        self.starts[row + 1] - self.starts[row]
    }

    /// The places of all rows together.
    pub fn places(&self) -> usize {
        self.values.len()
    }

    /// The parts of `values`, an array with a value for each place, that belong to each row.
    ///
    /// # Panics
    /// If there are not as many values as places.
    pub fn split_mut<'v, T>(&self, values: &'v mut [T]) -> Vec<&'v mut [T]> {
        split_at_all(&self.starts, values)
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
        let places = self.places_of(row);
        SparseRow { indices: &self.indices[places.clone()], values: &self.values[places] }
    }

    /// Where the entries of row `row` lie among all places.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn places_of(&self, row: usize) -> std::ops::Range<usize> {
        self.starts[row]..self.starts[row] + self.counts[row] as usize
    }

    /// All rows, for writing in parallel.
    pub fn par_rows_mut(&mut self) -> impl IndexedParallelIterator<Item = SparseRowMut<'_>> {
        let indices = split_at_all(&self.starts, &mut self.indices);
        let places = indices.into_par_iter().zip(split_at_all(&self.starts, &mut self.values));
        self.counts.par_iter_mut().zip(places).map(|(count, (indices, values))| SparseRowMut {
            count,
            indices,
            values,
        })
    }
}

/// The parts of `values` between each of `starts` and the next.
fn split_at_all<'v, T>(starts: &[usize], mut values: &'v mut [T]) -> Vec<&'v mut [T]> {
    let end = starts.last().copied().unwrap_or(0);
    assert_eq!(values.len(), end, "sparse rows: an array with another number of places");
    let mut parts = Vec::with_capacity(starts.len());
    for bounds in starts.windows(2) {
        let (part, rest) = values.split_at_mut(bounds[1] - bounds[0]);
        parts.push(part);
        values = rest;
    }
    parts
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
    fn rows_may_have_different_room() {
        let mut rows = SparseRows::default();
        rows.reset_to([2, 0, 3]);
        let mut marks = vec![0; rows.places()];
        for (row, mut entries) in rows.par_rows_mut().collect::<Vec<_>>().into_iter().enumerate() {
            *entries.count = entries.indices.len() as u32;
            entries.indices.fill(row as u32);
            entries.retain(|index, _| index < 3);
        }
        for (row, part) in rows.split_mut(&mut marks).into_iter().enumerate() {
            part.fill(row);
        }
        assert_eq!((rows.rows(), rows.places(), rows.entries()), (3, 5, 5));
        assert_eq!((0..3).map(|row| rows.room(row)).collect::<Vec<_>>(), [2, 0, 3]);
        assert_eq!(
            (rows.row(0).indices, rows.row(1).indices, rows.row(2).indices),
            (&[0, 0][..], &[][..], &[2; 3][..])
        );
        assert_eq!(marks[rows.places_of(2)], [2; 3]);
        assert_eq!(marks, [0, 0, 2, 2, 2]);
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
