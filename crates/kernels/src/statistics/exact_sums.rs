//! Sums that do not depend on the order of the terms: `Σ v` of f64 terms as a few f64 limbs, each a
//! multiple of its own power of two.
//!
//! A term is cut at fixed places, 28 bits to a limb, `v = Σₖ qₖ` with `qₖ` a multiple of `2^gₖ` and what lies
//! below the last place dropped. Each limb's sum is exact while it is below `2^(53 + gₖ)`, that is for
//! 2²⁵ terms, so any order of adding and merging gives the same bits. (Kulisch's accumulator, sized for
//! the case; the cut is Dekker's addition of `1.5 · 2^(52 + g)`.)

use super::for_each_processor;

/// Limbs of the sums of the first four powers, together.
pub const LIMBS: usize = 21;
/// Bits of a limb.
const BITS: i32 = 28;
/// Per power: the exponent that window sums stay below (for |x| < 2²⁰ in windows of 64), and the limbs. The
/// lowest places are 2⁻⁵⁸, 2⁻⁹⁴, 2⁻¹⁰² and 2⁻¹¹⁰; values up to 2²⁷ are still summed exactly.
const POWERS: [(i32, usize); 4] = [(26, 3), (46, 5), (66, 6), (86, 7)];

/// Exact sums of four quantities for many units.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactSums {
    units: usize,
    /// `[limb][unit]`, the limbs of a power one after the other, highest first.
    limbs: Vec<f64>,
}

impl ExactSums {
    /// Sums of nothing for `units` units.
    pub fn new(units: usize) -> Self {
        Self { units, limbs: vec![0.0; LIMBS * units] }
    }

    /// Adds one term per unit to the sum of each power: `terms[power − 1][unit]`.
    ///
    /// # Panics
    /// If a slice has another number of units.
    pub fn add(&mut self, terms: &[Vec<f64>; 4]) {
        let mut limbs = self.limbs.as_mut_slice();
        for (terms, (top, count)) in terms.iter().zip(POWERS) {
            assert_eq!(terms.len(), self.units, "exact sums: another number of units");
            let (own, rest) = limbs.split_at_mut(count * self.units);
            add_terms(terms, top, own);
            limbs = rest;
        }
    }

    /// As [`ExactSums::add`] for some units only: `terms[power − 1][i]` to the sums of unit `units[i]`. To the last bit what
    /// [`ExactSums::add`] gives with 0 for all others.
    ///
    /// # Panics
    /// If there is no such unit, or a slice has another length.
    pub fn add_at(&mut self, units: &[usize], terms: &[Vec<f64>; 4]) {
        let mut limbs = self.limbs.as_mut_slice();
        for (terms, (top, count)) in terms.iter().zip(POWERS) {
            assert_eq!(terms.len(), units.len(), "exact sums: another number of units");
            let (own, rest) = limbs.split_at_mut(count * self.units);
            for (unit, term) in units.iter().zip(terms) {
                let mut rest = *term;
                for (number, limbs) in own.chunks_exact_mut(self.units).enumerate() {
                    let magic = magic(top, number);
                    let cut = (rest + magic) - magic;
                    limbs[*unit] += cut;
                    rest -= cut;
                }
            }
            limbs = rest;
        }
    }

    /// Adds the sums of other windows.
    ///
    /// # Panics
    /// If the number of units differs.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.units, other.units, "exact sums: another number of units");
        self.limbs.iter_mut().zip(&other.limbs).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The sums of a unit's first four powers.
    pub fn totals(&self, unit: usize) -> [f64; 4] {
        let mut first = 0;
        POWERS.map(|(_, count)| {
            let limbs = (first..first + count).map(|limb| self.limbs[limb * self.units + unit]);
            first += count;
            limbs.rev().sum()
        })
    }

    /// All limbs, for storage: `[limb][unit]`.
    pub fn limbs(&self) -> &[f64] {
        &self.limbs
    }

    /// All limbs, to be filled from storage.
    pub fn limbs_mut(&mut self) -> &mut [f64] {
        &mut self.limbs
    }
}

/// What cuts a term at a limb's place when it is added and subtracted: 1.5 · 2^(52 + place), written as its bits.
#[inline(always)]
fn magic(top: i32, limb: usize) -> f64 {
    let place = top - BITS * (limb as i32 + 1);
    f64::from_bits((((1023 + 52 + place) as u64) << 52) | (1 << 51))
}

for_each_processor! {
    fn add_terms(terms: &[f64], top: i32, limbs: &mut [f64]) {
        let units = terms.len();
        let mut rest = [0.0; 64];
        for (chunk, terms) in terms.chunks(64).enumerate() {
            let rest = &mut rest[..terms.len()];
            rest.copy_from_slice(terms);
            for (number, limbs) in limbs.chunks_exact_mut(units).enumerate() {
                let magic = magic(top, number);
                let limbs = &mut limbs[chunk * 64..chunk * 64 + rest.len()];
                for (rest, limb) in rest.iter_mut().zip(limbs) {
                    let cut = (*rest + magic) - magic;
                    *limb += cut;
                    *rest -= cut;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(values: &[f64]) -> [Vec<f64>; 4] {
        [1, 2, 3, 4].map(|power| values.iter().map(|value| value.powi(power)).collect())
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_bits(
            mut rows in prop::collection::vec(prop::collection::vec(-1e6_f64..1e6, 3), 1..60), cut in 0_usize..60,
        ) {
            let mut forward = ExactSums::new(3);
            rows.iter().for_each(|row| forward.add(&terms(row)));
            rows.reverse();
            let cut = cut.min(rows.len());
            let mut parts = [ExactSums::new(3), ExactSums::new(3)];
            rows[..cut].iter().for_each(|row| parts[0].add(&terms(row)));
            rows[cut..].iter().for_each(|row| parts[1].add(&terms(row)));
            let [mut first, second] = parts;
            first.merge(&second);
            prop_assert_eq!(&first, &forward);
        }

        #[test]
        fn totals_are_the_sums(rows in prop::collection::vec(prop::collection::vec(-1e3_f64..1e3, 2), 1..50)) {
            let mut sums = ExactSums::new(2);
            rows.iter().for_each(|row| sums.add(&terms(row)));
            for unit in 0..2 {
                for (power, total) in sums.totals(unit).into_iter().enumerate() {
                    let powered = rows.iter().map(|row| row[unit].powi(power as i32 + 1));
                    let (naive, size) = powered.fold((0.0, 0.0), |(sum, size), v: f64| (sum + v, size + v.abs()));
                    prop_assert!((total - naive).abs() <= 1e-13 * size, "{total} {naive}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn some_units_alone_give_the_same_bits(
            rows in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0.0_f64), -1e6_f64..1e6], 5), 1..40),
        ) {
            let (mut all, mut some) = (ExactSums::new(5), ExactSums::new(5));
            for row in &rows {
                all.add(&terms(row));
                let units: Vec<usize> = (0..5).filter(|unit| row[*unit] != 0.0).collect();
                let values: Vec<f64> = units.iter().map(|unit| row[*unit]).collect();
                some.add_at(&units, &terms(&values));
            }
            prop_assert_eq!(&some, &all);
        }
    }

    #[test]
    fn small_and_large_terms_both_count() {
        let mut sums = ExactSums::new(1);
        for value in [1e5, 1e-6, -1e5] {
            sums.add(&terms(&[value]));
        }
        let [one, two, ..] = sums.totals(0);
        assert!((one - 1e-6).abs() < 1e-16, "{one}");
        assert!((two - 2e10).abs() < 1e-5, "{two}");
    }
}
