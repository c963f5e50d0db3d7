//! A number that differs from call to call, for "show me any unit".
//!
//! Nothing that is measured depends on it, so the standard library's randomly keyed hasher is enough.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number in `0..bound`; 0 where `bound` is 0.
pub(crate) fn below(bound: u64) -> u64 {
    RandomState::new().build_hasher().finish() % bound.max(1)
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn stays_below_its_bound_and_varies() {
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| below(10)).collect();
        assert!(drawn.iter().all(|&n| n < 10));
        assert!(drawn.len() > 5);
        assert_eq!(below(0), 0);
    }
}
