//! Where training begins: random unit decoder rows, the encoder as their transpose (Gao et al. 2024, appendix A.1), or
//! either by itself as PyTorch's linear layers begin (Bricken et al. 2023); and the decoder bias at the geometric median
//! of the data.

use glossator_kernels::sparse_coding::normalise;
use rayon::prelude::*;

use super::gradients::BLOCK_ROWS;
use super::parameters::Parameters;
use crate::random::Random;

/// Fresh parameters with `decoder_bias` `[d]`: decoder rows uniform on the unit sphere, encoder rows equal to them,
/// encoder biases 0.
///
/// # Panics
/// If a size is 0.
pub fn initialise(latents: usize, decoder_bias: Vec<f32>, seed: u64) -> Parameters {
    let d = decoder_bias.len();
    assert!(latents > 0 && d > 0, "initialise: empty dictionary");
    let mut random = Random::new(seed);
    let mut decoder: Vec<f32> = (0..latents * d).map(|_| random.normal() as f32).collect();
    decoder.chunks_exact_mut(d).for_each(|row| {
        normalise(row);
    });
    Parameters::new(decoder.clone(), vec![0.0; latents], decoder, decoder_bias)
}

/// Fresh parameters as two linear layers of PyTorch, with decoder rows scaled to norm 1 after: uniform on ±1 / √n, with n
/// the width of what a layer reads (Kaiming-uniform with a = √5). Encoder biases too; `decoder_bias` `[d_output]` is
/// given.
///
/// # Panics
/// If a size is 0.
pub fn kaiming(latents: usize, d_input: usize, decoder_bias: Vec<f32>, seed: u64) -> Parameters {
    let d_output = decoder_bias.len();
    assert!(latents > 0 && d_input > 0 && d_output > 0, "initialise: empty dictionary");
    let mut random = Random::new(seed);
    let mut uniform = |count: usize, reads: usize| -> Vec<f32> {
        let bound = 1.0 / (reads as f64).sqrt();
        (0..count).map(|_| (bound * (2.0 * random.uniform() - 1.0)) as f32).collect()
    };
    let encoder = uniform(latents * d_input, d_input);
    let encoder_bias = uniform(latents, d_input);
    let mut decoder = uniform(latents * d_output, latents);
    decoder.chunks_exact_mut(d_output).for_each(|row| {
        normalise(row);
    });
    Parameters::new(encoder, encoder_bias, decoder, decoder_bias)
}

/// The point `[width]` whose summed distance to `rows` `[rows, width]` is least, by Weiszfeld's iteration
/// y ← Σ (xᵢ / ‖xᵢ − y‖) / Σ (1 / ‖xᵢ − y‖) from the mean, until y moves by less than 10⁻⁵ of its mean distance.
///
/// # Panics
/// If there are no rows.
pub fn geometric_median(rows: &[f32], width: usize) -> Vec<f32> {
    const ITERATIONS: usize = 100;
    let count = rows.len() / width;
    assert!(count > 0, "geometric median of nothing");
    let mut point = weighted_mean(rows, width, &vec![1.0; count]);
    for _ in 0..ITERATIONS {
        let mut weights: Vec<f64> =
            rows.par_chunks_exact(width).with_min_len(BLOCK_ROWS).map(|row| distance(row, &point)).collect();
        let scale = weights.iter().sum::<f64>() / count as f64;
        if scale == 0.0 {
            break;
        }
        // A row at the point itself would weigh infinitely.
        weights.iter_mut().for_each(|distance| *distance = 1.0 / distance.max(1e-9 * scale));
        let next = weighted_mean(rows, width, &weights);
        let moved = next.iter().zip(&point).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        point = next;
        if moved < 1e-5 * scale {
            break;
        }
    }
    point.into_iter().map(|value| value as f32).collect()
}

/// ‖row − point‖, summed in interleaved parts.
fn distance(row: &[f32], point: &[f64]) -> f64 {
    const PARTS: usize = 8;
    let (rows, points) = (row.as_chunks::<PARTS>(), point.as_chunks::<PARTS>());
    let mut sums = [0.0; PARTS];
    for (row, point) in rows.0.iter().zip(points.0) {
        for ((sum, x), y) in sums.iter_mut().zip(row).zip(point) {
            *sum += (f64::from(*x) - y).powi(2);
        }
    }
    let rest = rows.1.iter().zip(points.1).map(|(x, y)| (f64::from(*x) - y).powi(2)).sum::<f64>();
    (sums.iter().sum::<f64>() + rest).sqrt()
}

/// Sums of blocks of rows are added in order, so that the number of threads does not matter.
fn weighted_mean(rows: &[f32], width: usize, weights: &[f64]) -> Vec<f64> {
    let blocks = rows.par_chunks(BLOCK_ROWS * width).zip(weights.par_chunks(BLOCK_ROWS));
    let blocks: Vec<Vec<f64>> = blocks
        .map(|(rows, weights)| {
            let mut sums = vec![0.0; width];
            for (row, weight) in rows.chunks_exact(width).zip(weights) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * f64::from(*x));
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; width];
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
    }
    let total: f64 = weights.iter().sum();
    sums.into_iter().map(|sum| sum / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_resists_an_outlier() {
        let rows = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5, 500.0, -500.0];
        let median = geometric_median(&rows, 2);
        assert!((median[0] - 0.5).abs() < 0.3 && (median[1] - 0.5).abs() < 0.3, "{median:?}");
        let equal = geometric_median(&[2.0; 6], 2);
        assert_eq!(equal, [2.0, 2.0]);
    }

    /// At the median the unit vectors to all rows add up to nothing, and threads do not change a bit.
    #[test]
    fn median_is_where_directions_balance() {
        let (rows, width) = (crate::testing::numbers(5, 1000 * 13), 13);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| geometric_median(&rows, width))
        };
        let median = on(3);
        assert_eq!(median, on(1));
        let wide: Vec<f64> = median.iter().map(|v| f64::from(*v)).collect();
        let mut sum = vec![0.0; width];
        for row in rows.chunks_exact(width) {
            let distance =
                row.iter().zip(&wide).map(|(x, y)| (f64::from(*x) - y).powi(2)).sum::<f64>().sqrt();
            sum.iter_mut().zip(row).zip(&wide).for_each(|((s, x), y)| *s += (f64::from(*x) - y) / distance);
        }
        let length = sum.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!(length < 0.1, "the sum of 1,000 unit vectors is {length} long");
    }

    #[test]
    fn kaiming_rows_are_bounded_and_decoder_rows_unit() {
        let a = kaiming(20, 9, vec![0.5; 4], 1);
        assert!(a.encoder.weights.iter().chain(&a.encoder_bias.weights).all(|w| w.abs() <= 1.0 / 3.0));
        assert!(a.encoder.weights.iter().any(|w| w.abs() > 0.3));
        for row in a.decoder.weights.chunks_exact(4) {
            assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn rows_are_unit_and_seeded() {
        let a = initialise(5, vec![0.0; 7], 1);
        for row in a.decoder.weights.chunks_exact(7) {
            assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert_eq!(a.encoder.weights, a.decoder.weights);
        assert_eq!(a, initialise(5, vec![0.0; 7], 1));
        assert_ne!(a, initialise(5, vec![0.0; 7], 2));
    }
}
