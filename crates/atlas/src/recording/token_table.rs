//! Activation sums per token and unit: `[kept token][unit]`, on the grid of
//! [`glossator_kernels::statistics::on_grid`].
//!
//! Most tokens are rare and their sums small: these are kept in 32 bits, as adding to them is bound by the memory
//! they lie in. Before a token's sums could grow too large for that, they move on to 64 bits and begin anew; both
//! parts are exact, so that their total does not depend on when this happens.
//!
//! Features that are seldom active have sums for few tokens: as long as these are few, only they are kept
//! ([`SparseSums`]), exact as well.

use glossator_kernels::statistics::{STEPS_LIMIT, add_on_grid, add_tokens, from_steps, on_grid};

use super::large_array::LargeArray;
use super::sparse_sums::SparseSums;

/// Bytes of a sum, at most.
pub(super) const SUM_BYTES: u64 = 4 + 8;
/// What the small sums of a token may reach; the rest of [`STEPS_LIMIT`] covers rounding.
const LIMIT: f32 = STEPS_LIMIT - 16.0;

/// The sums of a block of units.
#[derive(Debug)]
pub(crate) struct TokenTable {
    units: usize,
    /// `[kept token, unit]`, in steps of the grid.
    small: LargeArray,
    /// `[kept token]`: no unit's small sum is larger than this.
    reach: Vec<f32>,
    /// `[kept token]`: the rest of the sums `[unit]`, where there is any.
    large: Vec<Vec<f64>>,
    /// All sums, while `small` is not there yet.
    sparse: Option<SparseSums>,
}

impl TokenTable {
    /// No sums yet, for `kept` tokens and `units` units.
    pub(super) fn new(kept: usize, units: usize) -> Self {
        Self {
            units,
            small: LargeArray::zeroed(kept * units),
            reach: vec![0.0; kept],
            large: vec![Vec::new(); kept],
            sparse: None,
        }
    }

    /// No sums yet, and most of them staying 0.
    pub(super) fn sparse(kept: usize, units: usize) -> Self {
        let sparse = Some(SparseSums::default());
        let (reach, large) = (vec![0.0; kept], vec![Vec::new(); kept]);
        Self { units, small: LargeArray::zeroed(0), reach, large, sparse }
    }

    /// Adds activations one by one: (column, unit, activation).
    pub(super) fn add_entries(&mut self, entries: impl Iterator<Item = (u32, u32, f32)>) {
        for (column, unit, value) in entries {
            let cell = column as usize * self.units + unit as usize;
            if let Some(sparse) = &mut self.sparse {
                sparse.add(cell, on_grid(value));
            } else {
                let large = &mut self.large[column as usize];
                large.resize(self.units, 0.0);
                large[unit as usize] += on_grid(value);
            }
        }
        self.densify_if_full();
    }

    fn densify_if_full(&mut self) {
        let cells = self.kept() * self.units;
        if self.sparse.as_ref().is_some_and(|sparse| sparse.is_dense(cells)) {
            self.densify();
        }
    }

    /// Gives every sum its place.
    fn densify(&mut self) {
        let Some(sparse) = self.sparse.take() else { return };
        self.small = LargeArray::zeroed(self.kept() * self.units);
        for (cell, sum) in sparse.iter() {
            let large = &mut self.large[cell / self.units];
            large.resize(self.units, 0.0);
            large[cell % self.units] += sum;
        }
    }

    /// Adds the activations of tokens: `tokens` are (column, row of `values`), ordered; this block's units begin at
    /// column `first` of `values` `[row, width]`. No activation of a row is larger than its `largest`.
    pub(super) fn add(
        &mut self,
        tokens: &[(u32, u32)],
        largest: impl Fn(u32) -> f32,
        values: &[f32],
        width: usize,
        first: usize,
    ) {
        if self.sparse.is_some() {
            let entries = tokens.iter().flat_map(|(column, row)| {
                let row = &values[*row as usize * width + first..][..self.units];
                row.iter().zip(0..).map(|(value, unit)| (*column, unit, *value))
            });
            let entries: Vec<_> = entries.filter(|(.., value)| *value != 0.0).collect();
            return self.add_entries(entries.into_iter());
        }
        let mut small = Vec::with_capacity(tokens.len());
        for same in tokens.chunk_by(|one, other| one.0 == other.0) {
            let column = same[0].0 as usize;
            let reach: f32 = same.iter().map(|(_, row)| largest(*row)).sum();
            if self.reach[column] + reach > LIMIT {
                self.enlarge(column);
            }
            if reach > LIMIT {
                for (_, row) in same {
                    let row = &values[*row as usize * width + first..][..self.units];
                    add_on_grid(row, &mut self.large[column]);
                }
            } else {
                self.reach[column] += reach;
                small.extend_from_slice(same);
            }
        }
        add_tokens(self.small.as_mut_slice(), self.units, &small, values, width, first);
    }

    /// Moves a token's small sums on to the large ones.
    fn enlarge(&mut self, column: usize) {
        let large = &mut self.large[column];
        large.resize(self.units, 0.0);
        let small = &mut self.small.as_mut_slice()[column * self.units..][..self.units];
        for (large, small) in large.iter_mut().zip(small) {
            *large += from_steps(std::mem::take(small));
        }
        self.reach[column] = 0.0;
    }

    /// Adds the sums of other windows.
    pub(super) fn merge(&mut self, other: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.sparse, &other.sparse) {
            theirs.iter().for_each(|(cell, sum)| mine.add(cell, sum));
            return self.densify_if_full();
        }
        self.densify();
        for column in 0..self.reach.len() {
            self.enlarge(column);
            let theirs = (0..self.units).map(|unit| other.sum(column, unit));
            self.large[column].iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
    }

    /// The sum of a token and a unit.
    pub(crate) fn sum(&self, column: usize, unit: usize) -> f64 {
        if let Some(sparse) = &self.sparse {
            return sparse.get(column * self.units + unit);
        }
        let large = self.large[column].get(unit).copied().unwrap_or(0.0);
        large + from_steps(self.small.as_slice()[column * self.units + unit])
    }

    /// The sums of a token, `[unit]`, for storage.
    pub(super) fn row(&self, column: usize) -> Vec<f64> {
        (0..self.units).map(|unit| self.sum(column, unit)).collect()
    }

    /// Takes the sums of a token from storage, `[unit]`.
    pub(super) fn set_row(&mut self, column: usize, sums: Vec<f64>) {
        if let Some(sparse) = &mut self.sparse {
            let cells = sums.into_iter().zip(column * self.units..).filter(|(sum, _)| *sum != 0.0);
            cells.for_each(|(sum, cell)| sparse.add(cell, sum));
            return self.densify_if_full();
        }
        self.large[column] = sums;
    }

    /// Number of kept tokens.
    pub(super) fn kept(&self) -> usize {
        self.reach.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNITS: usize = 5;

    /// The sums of `tokens` (column of each row) in 64 bits from the beginning.
    fn naive(kept: usize, tokens: &[u32], rows: &[Vec<f32>]) -> Vec<Vec<f64>> {
        let mut sums = vec![vec![0.0; UNITS]; kept];
        tokens.iter().zip(rows).for_each(|(token, row)| add_on_grid(row, &mut sums[*token as usize]));
        sums
    }

    /// Adds rows in groups of `group`, as the recorder does.
    fn table(kept: usize, tokens: &[u32], rows: &[Vec<f32>], group: usize) -> TokenTable {
        let mut table = TokenTable::new(kept, UNITS);
        for (tokens, rows) in tokens.chunks(group).zip(rows.chunks(group)) {
            let mut pairs: Vec<(u32, u32)> =
                tokens.iter().enumerate().map(|(row, token)| (*token, row as u32)).collect();
            pairs.sort_unstable();
            let largest = |row: u32| rows[row as usize].iter().fold(0.0, |max: f32, x| max.max(x.abs()));
            table.add(&pairs, largest, &rows.concat(), UNITS, 0);
        }
        table
    }

    proptest! {
        /// Sums are those in 64 bits, however large the activations are and whenever sums move on.
        #[test]
        fn sums_are_exact_beyond_32_bits(
            rows in prop::collection::vec(
                (0_u32..3, prop::collection::vec(prop_oneof![-1.0_f32..1.0, -1e3_f32..1e3, -1e6_f32..1e6], UNITS)),
                1..60,
            ),
            group in 1_usize..20,
            cut in 0_usize..60,
        ) {
            let (tokens, rows): (Vec<u32>, Vec<Vec<f32>>) = rows.into_iter().unzip();
            let expected = naive(3, &tokens, &rows);
            let whole = table(3, &tokens, &rows, group);
            let cut = cut.min(rows.len());
            let mut merged = table(3, &tokens[cut..], &rows[cut..], group);
            merged.merge(&table(3, &tokens[..cut], &rows[..cut], group));
            for (column, expected) in expected.iter().enumerate() {
                prop_assert_eq!(&whole.row(column), expected);
                prop_assert_eq!(&merged.row(column), expected);
            }
        }

        /// Sparse sums are the same, before and after they become dense, however they are added.
        #[test]
        fn sparse_sums_are_the_same(
            rows in prop::collection::vec(
                (0_u32..3, prop::collection::vec(prop_oneof![Just(0.0_f32), -1e3_f32..1e3], UNITS)), 1..20,
            ),
            cut in 0_usize..20,
        ) {
            let cut = cut.min(rows.len());
            let expected = naive(3, &rows.iter().map(|row| row.0).collect::<Vec<_>>(), &rows.iter().map(|row| row.1.clone()).collect::<Vec<_>>());
            let build = |rows: &[(u32, Vec<f32>)]| {
                let mut table = TokenTable::sparse(3, UNITS);
                for (column, row) in rows {
                    let entries = row.iter().zip(0..).filter(|(value, _)| **value != 0.0);
                    table.add_entries(entries.map(|(value, unit)| (*column, unit, *value)));
                }
                table
            };
            let (whole, mut merged) = (build(&rows), build(&rows[cut..]));
            merged.merge(&build(&rows[..cut]));
            let mut written_out = TokenTable::sparse(3, UNITS);
            for (column, row) in &rows {
                written_out.add(&[(*column, 0)], |_| 1e3, row, UNITS, 0);
            }
            for (column, expected) in expected.iter().enumerate() {
                prop_assert_eq!(&whole.row(column), expected);
                prop_assert_eq!(&merged.row(column), expected);
                prop_assert_eq!(&written_out.row(column), expected);
            }
        }
    }
}
