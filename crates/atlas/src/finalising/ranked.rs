//! The k largest of a long row of numbers, in one pass.

/// Values that are looked at together: one comparison each, and a look at single ones only if any could rank.
const CHUNK: usize = 64;

/// The indices and values of the `k` largest, largest first, ties by index. Undefined values never rank.
pub(super) fn largest(values: impl Iterator<Item = f32>, k: usize) -> Vec<(u32, f32)> {
    let mut largest = Largest::new(k);
    values.enumerate().for_each(|(index, value)| largest.offer(index as u32, value));
    largest.best
}

/// The `k` largest of the values so far.
#[derive(Clone, Debug)]
pub(super) struct Largest {
    k: usize,
    best: Vec<(u32, f32)>,
    threshold: f32,
}

impl Largest {
    pub(super) fn new(k: usize) -> Self {
        Self { k, best: Vec::with_capacity(k + 1), threshold: f32::NEG_INFINITY }
    }

    /// Takes in the next values, of indices from `first` on.
    pub(super) fn extend(&mut self, first: usize, values: &[f32]) {
        for (chunk, values) in values.chunks(CHUNK).enumerate() {
            let full = self.best.len() == self.k;
            let ranking = values.iter().map(|value| u32::from(*value > self.threshold)).sum::<u32>();
            if full && ranking == 0 {
                continue;
            }
            for (place, value) in values.iter().enumerate() {
                self.offer((first + chunk * CHUNK + place) as u32, *value);
            }
        }
    }

    fn offer(&mut self, index: u32, value: f32) {
        let free = self.best.len() < self.k;
        if value > self.threshold || (free && value == f32::NEG_INFINITY) {
            let place = self.best.partition_point(|(_, other)| *other >= value);
            self.best.insert(place, (index, value));
            self.best.truncate(self.k);
            if self.best.len() == self.k {
                self.threshold = self.best.last().map_or(f32::INFINITY, |(_, value)| *value);
            }
        }
    }

    /// The largest, largest first, ties by index.
    pub(super) fn into_best(self) -> Vec<(u32, f32)> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_sorting(values in prop::collection::vec(-5_i8..5, 0..300), k in 1_usize..12) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let mut expected: Vec<(u32, f32)> =
                values.iter().enumerate().map(|(index, value)| (index as u32, *value)).collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            expected.truncate(k);
            let mut in_parts = Largest::new(k);
            in_parts.extend(0, &values[..values.len() / 3]);
            in_parts.extend(values.len() / 3, &values[values.len() / 3..]);
            prop_assert_eq!(in_parts.into_best(), expected.clone());
            prop_assert_eq!(largest(values.into_iter(), k), expected);
        }
    }
}
