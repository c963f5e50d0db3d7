//! Random choices without random numbers: every window has a priority, the hash of seed, purpose and window
//! number, and samples are the windows of smallest priority. The sample of a union follows from the samples
//! of its parts.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a sample is for; samples for different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The random windows shared by all units.
    Random = 1,
    /// The quantile intervals.
    Quantile = 2,
}

/// The priority of a window: 32 bits of hash, then the window's number, which makes it unique.
pub(super) fn priority(seed: u64, purpose: Purpose, window: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&(purpose as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&window.to_le_bytes());
    (xxh3_64_with_seed(&bytes, seed) & !0xffff_ffff) | u64::from(window)
}

/// The window of a priority.
pub(super) fn window_of(priority: u64) -> u32 {
    priority as u32
}

/// The `count` windows of smallest priority among `0..windows`, in order of priority.
pub(super) fn sample(seed: u64, purpose: Purpose, windows: u32, count: usize) -> Vec<u32> {
    let mut best = std::collections::BinaryHeap::with_capacity(count + 1);
    for window in 0..windows {
        best.push(priority(seed, purpose, window));
        if best.len() > count {
            best.pop();
        }
    }
    best.into_sorted_vec().into_iter().map(window_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_distinct_and_depend_on_seed_and_purpose() {
        let sampled = sample(7, Purpose::Random, 1000, 20);
        let distinct: std::collections::BTreeSet<_> = sampled.iter().collect();
        assert_eq!(distinct.len(), 20);
        assert_ne!(sampled, sample(8, Purpose::Random, 1000, 20));
        assert_ne!(sampled, sample(7, Purpose::Quantile, 1000, 20));
        assert_eq!(sample(7, Purpose::Random, 3, 20).len(), 3);
    }
}
