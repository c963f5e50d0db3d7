//! Activation sums per token and unit: `[kept token][unit]`, on the grid of
//! [`glossator_kernels::statistics::on_grid`].
//!
//! Most tokens are rare and their sums small: these are kept in 32 bits, as adding to them is bound by the memory
//! they lie in. Before a token's sums could grow too large for that, they move on to 64 bits and begin anew; both
//! parts are exact, so that their total does not depend on when this happens.

use glossator_kernels::statistics::{STEPS_LIMIT, add_on_grid, add_tokens, from_steps};

use super::large_array::LargeArray;

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
}

impl TokenTable {
    /// No sums yet, for `kept` tokens and `units` units.
    pub(super) fn new(kept: usize, units: usize) -> Self {
        Self {
            units,
            small: LargeArray::zeroed(kept * units),
            reach: vec![0.0; kept],
            large: vec![Vec::new(); kept],
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
        for column in 0..self.reach.len() {
            self.enlarge(column);
            let theirs = (0..self.units).map(|unit| other.sum(column, unit));
            self.large[column].iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
    }

    /// The sum of a token and a unit.
    pub(crate) fn sum(&self, column: usize, unit: usize) -> f64 {
        let large = self.large[column].get(unit).copied().unwrap_or(0.0);
        large + from_steps(self.small.as_slice()[column * self.units + unit])
    }

    /// The sums of a token, `[unit]`, for storage.
    pub(super) fn row(&self, column: usize) -> Vec<f64> {
        (0..self.units).map(|unit| self.sum(column, unit)).collect()
    }

    /// Takes the sums of a token from storage, `[unit]`.
    pub(super) fn set_row(&mut self, column: usize, sums: Vec<f64>) {
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
    }
}
