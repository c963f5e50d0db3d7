//! What a simulator expects at each position of an excerpt: the probabilities of the whole numbers from 0 to a largest one, and
//! the activations that these numbers stand for.
//!
//! Probabilities are kept as multiples of 1 / 65,535 that sum to exactly 1 (by largest remainders), each less than that off.
//! As bytes, little endian:
//!
//! ```text
//! u8         the largest number, at most 15
//! f32, f32   the activations that 0 and the largest number stand for, those between them evenly spaced
//! for each position:
//!   u16      which numbers have a probability: bit n for the number n; none where nothing is known
//!   u16 …    the probability of each of them, smallest number first
//! ```

use serde::{Deserialize, Serialize};

/// What all probabilities of a position sum to.
const WHOLE: u16 = u16::MAX;

/// The largest number that there is a bit for.
const LARGEST: u8 = 15;

/// Bytes before the positions.
const HEADER: usize = 9;

/// The distributions over whole numbers at the positions of an excerpt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distributions {
    most: u8,
    ends: [f32; 2],
    /// `[position]` numbers with their probabilities as multiples of 1 / [`WHOLE`], smallest number first.
    positions: Vec<Vec<(u8, u16)>>,
}

impl Distributions {
    /// No position yet, on a scale of the numbers from 0 to `most` (at most 15), which stand for the activations from
    /// `ends[0]` to `ends[1]`.
    pub fn new(most: u8, ends: [f32; 2]) -> Self {
        Self { most: most.clamp(1, LARGEST), ends, positions: Vec::new() }
    }

    /// Adds a position, given the weight of each number from 0. Weights need not sum to 1; nothing is known of a position
    /// where they sum to nothing.
    pub fn push(&mut self, weights: &[f64]) {
        self.positions.push(shared_out(&weights[..weights.len().min(usize::from(self.most) + 1)]));
    }

    /// The same after `unknown` positions of which nothing is known.
    #[must_use]
    pub fn after(mut self, unknown: usize) -> Self {
        self.positions.splice(..0, std::iter::repeat_n(Vec::new(), unknown));
        self
    }

    /// The same numbers for other activations.
    #[must_use]
    pub fn between(self, ends: [f32; 2]) -> Self {
        Self { ends, ..self }
    }

    /// The largest number.
    pub fn most(&self) -> u8 {
        self.most
    }

    /// The number of positions.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The numbers that have a probability at a position, smallest first, each with it; none where nothing is known.
    pub fn at(&self, position: usize) -> impl Iterator<Item = (u8, f64)> {
        let known = self.positions.get(position).into_iter().flatten();
        known.map(|(number, part)| (*number, f64::from(*part) / f64::from(WHOLE)))
    }

    /// The activation that a number stands for.
    pub fn activation(&self, number: u8) -> f64 {
        let [lowest, highest] = self.ends.map(f64::from);
        lowest + (highest - lowest) * f64::from(number) / f64::from(self.most)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.most];
        self.ends.iter().for_each(|end| bytes.extend(end.to_le_bytes()));
        for position in &self.positions {
            let mask = position.iter().fold(0_u16, |mask, (number, _)| mask | 1 << number);
            bytes.extend(mask.to_le_bytes());
            position.iter().for_each(|(_, part)| bytes.extend(part.to_le_bytes()));
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let (ends, _) = header[1..].as_chunks::<4>();
        let ends = [f32::from_le_bytes(ends[0]), f32::from_le_bytes(ends[1])];
        let most = header[0];
        let (words, []) = rest.as_chunks::<2>() else { return None };
        let mut words = words.iter().map(|word| u16::from_le_bytes(*word));
        let mut positions = Vec::new();
        while let Some(mask) = words.next() {
            let mut position = Vec::with_capacity(mask.count_ones() as usize);
            for number in (0..=LARGEST).filter(|number| mask & (1 << number) != 0) {
                position.push((number, words.next().filter(|part| *part > 0)?));
            }
            let sum: u32 = position.iter().map(|(_, part)| u32::from(*part)).sum();
            let fits = position.last().is_none_or(|(number, _)| *number <= most);
            if !fits || (mask != 0 && sum != u32::from(WHOLE)) {
                return None;
            }
            positions.push(position);
        }
        let valid = (1..=LARGEST).contains(&most) && ends.iter().all(|end| end.is_finite());
        valid.then_some(Self { most, ends, positions })
    }
}

/// Shares [`WHOLE`] out by weight: everyone gets the part that is owed rounded down, and what is left goes to the largest
/// remainders, one each.
fn shared_out(weights: &[f64]) -> Vec<(u8, u16)> {
    let total: f64 = weights.iter().sum();
    if !(total > 0.0 && total.is_finite()) || weights.iter().any(|weight| *weight < 0.0) {
        return Vec::new();
    }
    let owed: Vec<f64> = weights.iter().map(|weight| weight / total * f64::from(WHOLE)).collect();
    let mut parts: Vec<(u8, u16)> = (0..).zip(owed.iter().map(|part| part.floor() as u16)).collect();
    let given: u32 = parts.iter().map(|(_, part)| u32::from(*part)).sum();
    let mut by_remainder: Vec<usize> = (0..owed.len()).collect();
    by_remainder.sort_by(|a, b| owed[*b].fract().total_cmp(&owed[*a].fract()));
    let left = u32::from(WHOLE).saturating_sub(given) as usize;
    by_remainder.iter().cycle().take(left).for_each(|place| parts[*place].1 += 1);
    parts.retain(|(_, part)| *part > 0);
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(distributions: &Distributions, position: usize) -> Vec<(u8, f64)> {
        distributions.at(position).collect()
    }

    #[test]
    fn what_is_known_is_kept_and_what_is_not_is_empty() {
        let mut distributions = Distributions::new(10, [0.0, 4.0]);
        distributions.push(&[]);
        distributions.push(&[0.0; 11]);
        distributions.push(&[0.25, 0.0, 0.25]);
        distributions.push(&[f64::NAN, 1.0]);
        assert_eq!((read(&distributions, 0), read(&distributions, 1)), (vec![], vec![]));
        let halves = read(&distributions, 2);
        assert_eq!(halves.iter().map(|(number, _)| *number).collect::<Vec<u8>>(), [0, 2]);
        assert_eq!(halves.iter().map(|(_, probability)| probability).sum::<f64>(), 1.0);
        assert!((halves[0].1 - 0.5).abs() < 1e-5);
        assert_eq!((read(&distributions, 3), read(&distributions, 4)), (vec![], vec![]));
        assert_eq!((distributions.len(), distributions.activation(5)), (4, 2.0));
        let after = distributions.clone().after(1).between([1.0, 2.0]);
        assert_eq!((after.len(), after.activation(5)), (5, 1.5));
        assert_eq!((read(&after, 2), read(&after, 3)), (vec![], halves));
        assert_eq!(Distributions::from_bytes(&distributions.to_bytes()), Some(distributions));
    }

    /// The bytes are those of the format, and nothing else is read.
    #[test]
    fn bytes_that_are_no_distributions_are_refused() {
        let mut distributions = Distributions::new(9, [-1.0, 2.0]);
        distributions.push(&[0.0, 1.0]);
        let ends = [(-1.0_f32).to_le_bytes(), 2.0_f32.to_le_bytes()].concat();
        let bytes = [&[9][..], &ends, &[2, 0, 255, 255]].concat();
        assert_eq!(distributions.to_bytes(), bytes);
        let changed = |place: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[place] = byte;
            bytes
        };
        let wrong = [
            bytes[..8].to_vec(),
            bytes[..12].to_vec(),
            bytes[..11].to_vec(),
            [&bytes[..], &[0]].concat(),
            // On a scale without the number, on none, with probabilities that sum to less, with an infinite end.
            changed(0, 0),
            changed(0, 16),
            [&bytes[..9], &[0, 4, 255, 255]].concat(),
            changed(11, 254),
            [&[9][..], &ends[..4], &f32::INFINITY.to_le_bytes(), &[0, 0]].concat(),
        ];
        for wrong in wrong {
            assert_eq!(Distributions::from_bytes(&wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn probabilities_are_kept_to_less_than_a_part(weights in prop::collection::vec(0.0_f64..1.0, 11)) {
            let mut distributions = Distributions::new(10, [0.0, 1.0]);
            distributions.push(&weights);
            let total: f64 = weights.iter().sum();
            let mut kept = [0.0; 11];
            read(&distributions, 0).into_iter().for_each(|(number, probability)| kept[usize::from(number)] = probability);
            for (weight, kept) in weights.iter().zip(kept) {
                prop_assert!((weight / total - kept).abs() < 1.0 / f64::from(WHOLE) + 1e-12);
            }
            prop_assert_eq!(Distributions::from_bytes(&distributions.to_bytes()), Some(distributions));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(read) = Distributions::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }
    }
}
