//! Histograms on one fixed signed logarithmic grid, two buckets to the octave: the bucket of a float is its
//! sign, its exponent and the first bit of its mantissa.
//!
//! From the middle outwards: 63 and 64 hold |x| < 2⁻¹⁵ below and from 0, then edges 2ᵉ and 1.5 · 2ᵉ up to 2¹⁶;
//! the outermost hold everything beyond.

use super::for_each_processor;

/// Buckets of a histogram.
pub const BUCKETS: usize = 128;
/// Buckets of each sign.
pub(super) const SIDE: u32 = 64;
/// Exponent and first mantissa bit of the largest float below 2⁻¹⁵.
pub(super) const LOWEST: u32 = (127 - 15) * 2 - 1;

/// The bucket of a value.
#[inline(always)]
pub fn bucket(x: f32) -> usize {
    // Adding 0 turns −0 into 0.
    let bits = (x + 0.0).to_bits();
    let size = ((bits & 0x7fff_ffff) >> 22).clamp(LOWEST, LOWEST + SIDE - 1) - LOWEST;
    (if bits >> 31 == 1 { SIDE - 1 - size } else { SIDE + size }) as usize
}

/// The edges of a bucket: it holds `low ≤ x < high` where it is positive, `low < x ≤ high` where negative
/// (−0 counts as 0). The outermost edges are infinite.
///
/// # Panics
/// If there is no such bucket.
pub fn bucket_edges(bucket: usize) -> (f32, f32) {
    assert!(bucket < BUCKETS, "histogram: there are {BUCKETS} buckets");
    let edge = |size: u32| match size {
        0 => 0.0,
        SIDE => f32::INFINITY,
        _ => f32::from_bits((LOWEST + size) << 22),
    };
    let bucket = bucket as u32;
    if bucket >= SIDE {
        (edge(bucket - SIDE), edge(bucket - SIDE + 1))
    } else {
        (-edge(SIDE - bucket), -edge(SIDE - 1 - bucket))
    }
}

for_each_processor! {
    /// Counts the values of columns `first..` of `rows` `[token, width]` into `counts` `[unit, BUCKETS]`.
    pub(super) fn count_buckets(rows: &[f32], width: usize, first: usize, counts: &mut [u32]) {
        let units = counts.len() / BUCKETS;
        let mut places = [0_u32; 64];
        for row in rows.chunks_exact(width) {
            let row = &row[first..first + units];
            for (values, counts) in row.chunks(64).zip(counts.chunks_mut(64 * BUCKETS)) {
                for (unit, (value, place)) in values.iter().zip(&mut places).enumerate() {
                    *place = (unit * BUCKETS + bucket(*value)) as u32;
                }
                for place in &places[..values.len()] {
                    counts[*place as usize] += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_lie_in_their_bucket(x in any::<f32>().prop_filter("defined", |x| !x.is_nan())) {
            let (low, high) = bucket_edges(bucket(x));
            prop_assert!(low <= x && x <= high, "{x} in [{low}, {high}]");
        }

        #[test]
        fn counts_agree_with_one_at_a_time(values in prop::collection::vec(-100_f32..100.0, 140)) {
            let mut counts = vec![0; 6 * BUCKETS];
            count_buckets(&values, 7, 1, &mut counts);
            let mut expected = vec![0; 6 * BUCKETS];
            for row in values.chunks(7) {
                for unit in 0..6 {
                    expected[unit * BUCKETS + bucket(row[unit + 1])] += 1;
                }
            }
            prop_assert_eq!(counts, expected);
        }
    }

    #[test]
    fn buckets_join_without_gaps() {
        for pair in 0..BUCKETS - 1 {
            assert_eq!(bucket_edges(pair).1, bucket_edges(pair + 1).0);
        }
        assert_eq!(bucket_edges(64).1, (2.0_f32).powi(-15));
        assert_eq!(bucket_edges(65).1, 1.5 * (2.0_f32).powi(-15));
        assert_eq!((bucket(0.0), bucket(-0.0), bucket(-1e-9)), (64, 64, 63));
        assert_eq!((bucket(f32::INFINITY), bucket(f32::NEG_INFINITY)), (127, 0));
    }
}
