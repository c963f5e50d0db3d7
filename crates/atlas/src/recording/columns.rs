//! Reads single units out of a window's rows `[position, width]`.
//!
//! One unit's values lie a row apart, which the nearest cache serves badly; as neighbouring units are often wanted
//! of the same window, 16 columns are copied at once and read from the copy.

/// Columns copied together: a cache line of each row.
const LANE: usize = 16;

/// A window's rows, and a copy of some columns.
pub(super) struct Columns<'a> {
    rows: &'a [f32],
    width: usize,
    /// Which columns, counted in lanes, are in the copy.
    lane: Option<usize>,
    /// `[position, LANE]`.
    copy: Vec<f32>,
}

impl<'a> Columns<'a> {
    /// Of `rows` `[position, width]`.
    pub(super) fn new(rows: &'a [f32], width: usize) -> Self {
        Self { rows, width, lane: None, copy: Vec::new() }
    }

    /// Copies a column to `into` `[position]`.
    pub(super) fn read(&mut self, column: usize, into: &mut [f32]) {
        let (lane, place) = (column / LANE, column % LANE);
        if self.lane != Some(lane) {
            self.fill(lane);
        }
        let values = self.copy.as_chunks::<LANE>().0;
        into.iter_mut().zip(values).for_each(|(into, values)| *into = values[place]);
    }

    fn fill(&mut self, lane: usize) {
        let first = lane * LANE;
        let count = LANE.min(self.width - first);
        self.copy.resize(self.rows.len() / self.width * LANE, 0.0);
        let rows = self.rows.chunks_exact(self.width).zip(self.copy.as_chunks_mut::<LANE>().0);
        if count == LANE {
            rows.for_each(|(row, copy)| copy.copy_from_slice(&row[first..first + LANE]));
        } else {
            rows.for_each(|(row, copy)| copy[..count].copy_from_slice(&row[first..]));
        }
        self.lane = Some(lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_rows() {
        let width = 37;
        let rows: Vec<f32> = (0..5 * width).map(|value| value as f32).collect();
        let mut columns = Columns::new(&rows, width);
        for column in [0, 15, 16, 36, 3, 36] {
            let mut read = [0.0; 5];
            columns.read(column, &mut read);
            assert_eq!(read, [0, 1, 2, 3, 4].map(|row| rows[row * width + column]));
        }
    }
}
