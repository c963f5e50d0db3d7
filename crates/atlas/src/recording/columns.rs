//! Reads single units out of a window's rows `[position, width]`.
//!
//! One unit's values lie a row apart, which the nearest cache serves badly; as neighbouring units are often wanted
//! of the same window, 16 columns are copied at once and read from the copy. Rows without zeros hold the columns of some
//! units only; the others are 0.

/// The column of a unit that has none.
pub(super) const NO_COLUMN: u32 = u32::MAX;
/// Columns copied together: a cache line of each row.
const LANE: usize = 16;

/// A window's rows, and a copy of some columns.
pub(super) struct Columns<'a> {
    rows: &'a [f32],
    /// `[unit]`: the column of a unit, or [`NO_COLUMN`]; none if columns are units.
    places: Option<&'a [u32]>,
    width: usize,
    /// Which columns, counted in lanes, are in the copy.
    lane: Option<usize>,
    /// `[position, LANE]`.
    copy: Vec<f32>,
}

impl<'a> Columns<'a> {
    /// Of `rows` `[position, width]`.
    pub(super) fn new(rows: &'a [f32], width: usize) -> Self {
        Self { rows, places: None, width, lane: None, copy: Vec::new() }
    }

    /// Of rows `[position, width]` with columns for some units, at their `places`.
    pub(super) fn of_some(rows: &'a [f32], width: usize, places: &'a [u32]) -> Self {
        Self { places: Some(places), ..Self::new(rows, width) }
    }

    /// Copies the column of a unit to `into` `[position]`.
    pub(super) fn read(&mut self, unit: usize, into: &mut [f32]) {
        let column = match self.places.map(|places| places[unit]) {
            None => unit,
            Some(NO_COLUMN) => {
                // What is zero already may be memory that was never touched.
                if into.iter().any(|value| *value != 0.0) {
                    into.fill(0.0);
                }
                return;
            }
            Some(column) => column as usize,
        };
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

    #[test]
    fn units_without_a_column_are_zero() {
        let places = [NO_COLUMN, 1, NO_COLUMN, 0];
        let mut columns = Columns::of_some(&[1.0, 2.0, 3.0, 4.0], 2, &places);
        let read = [0, 1, 2, 3].map(|unit| {
            let mut read = [9.0; 2];
            columns.read(unit, &mut read);
            read
        });
        assert_eq!(read, [[0.0; 2], [2.0, 4.0], [0.0; 2], [1.0, 3.0]]);
    }
}
