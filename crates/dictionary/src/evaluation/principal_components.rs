//! The leading principal components, by orthogonal iteration.
//!
//! ```text
//! repeat  Q ← orthonormalise(C Q)   until tr(Qᵀ C Q) stands still
//! ```
//!
//! C is the covariance `[d, d]`, Q has k orthonormal columns, and tr(Qᵀ C Q) is the variance that they explain (Golub
//! and Van Loan, "Matrix Computations", section 8.2.4). What a projection reconstructs depends on the span of Q alone,
//! so the columns are not rotated to the single components.

use rayon::prelude::*;

use crate::random::Random;

/// The iteration ends when the explained variance grows by less than this share …
const TOLERANCE: f64 = 1e-10;
/// … or after so many rounds.
const ROUNDS: usize = 500;

/// An orthonormal basis `[k, d]` of the span of the k leading components of a covariance `[d, d]`.
///
/// # Panics
/// If the covariance is not square or k exceeds d.
pub fn leading_components(covariance: &[f64], d: usize, k: usize) -> Vec<f64> {
    assert!(covariance.len() == d * d && k <= d, "principal components: shapes");
    let mut random = Random::new(0);
    let mut basis: Vec<f64> = (0..k * d).map(|_| random.normal()).collect();
    orthonormalise(&mut basis, d);
    let mut explained = f64::NEG_INFINITY;
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; k * d];
        next.par_chunks_exact_mut(d).zip(basis.par_chunks_exact(d)).for_each(|(next, column)| {
            for (row, factor) in covariance.chunks_exact(d).zip(column) {
                next.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
            }
        });
        let now: f64 = next.iter().zip(&basis).map(|(a, b)| a * b).sum();
        orthonormalise(&mut next, d);
        basis = next;
        if now - explained <= TOLERANCE * now.abs() {
            break;
        }
        explained = now;
    }
    basis
}

/// Gram–Schmidt, twice for each row, in place. A row that depends on those before becomes zero.
fn orthonormalise(basis: &mut [f64], d: usize) {
    for row in 0..basis.len() / d {
        let (before, rest) = basis.split_at_mut(row * d);
        let row = &mut rest[..d];
        let scale = dot(row, row).sqrt();
        for _ in 0..2 {
            for other in before.chunks_exact(d) {
                let along = dot(row, other);
                row.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
            }
        }
        let norm = dot(row, row).sqrt();
        let factor = if norm > 1e-12 * scale { 1.0 / norm } else { 0.0 };
        row.iter_mut().for_each(|x| *x *= factor);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_span_of_a_known_covariance() {
        // C = Σ λᵢ uᵢ uᵢᵀ with u₁ = (3, 4, 0, 0)/5, u₂ = (0, 0, 1, 0), u₃ = (4, −3, 0, 0)/5, u₄ = (0, 0, 0, 1).
        let directions =
            [[0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.8, -0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
        let mut covariance = vec![0.0; 16];
        for (u, variance) in directions.iter().zip([5.0, 3.0, 1.0, 0.5]) {
            for (i, a) in u.iter().enumerate() {
                for (j, b) in u.iter().enumerate() {
                    covariance[i * 4 + j] += variance * a * b;
                }
            }
        }
        for k in 1..=4 {
            let basis = leading_components(&covariance, 4, k);
            for (index, u) in directions.iter().enumerate() {
                // A direction of the span keeps its length in the projection, any other loses it.
                let projected: f64 = basis.chunks_exact(4).map(|row| dot(row, u).powi(2)).sum();
                let expected = f64::from(u8::from(index < k));
                assert!(
                    (projected - expected).abs() < 1e-6,
                    "{k} components, direction {index}: {projected}"
                );
            }
        }
    }

    #[test]
    fn a_covariance_of_lower_rank_gives_no_directions_out_of_nothing() {
        let basis = leading_components(&[4.0, 0.0, 0.0, 0.0], 2, 2);
        assert!((basis[0].abs() - 1.0).abs() < 1e-12 && basis.iter().all(|value| value.is_finite()));
        assert_eq!(&basis[2..], [0.0, 0.0]);
    }
}
