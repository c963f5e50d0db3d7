//! The arithmetic rate that one core can reach, measured: the bound that a benchmark compares with.

use std::hint::black_box;
use std::time::Instant;

use crate::detect::Backend;
#[cfg(target_arch = "x86_64")]
use crate::matrix_product::multiplies_bytes;
use crate::matrix_product::{LANES, WeightFormat};
use crate::multiversion::multiversion;

/// Runs whose best counts; each takes well under a millisecond.
const RUNS: usize = 50;
/// Rounds of a run.
const ROUNDS: usize = 10_000;

/// Operations (multiplications and additions) per second of one core in registers, with the instructions that a
/// product of this format uses on this machine. Best of many short runs on the calling thread.
pub fn measured_peak(format: impl Into<WeightFormat>) -> f64 {
    match (format.into(), Backend::best()) {
        #[cfg(target_arch = "x86_64")]
        (WeightFormat::Bf16, Backend::Amx) => best_rate(crate::matrix_product::multiply_registers),
        #[cfg(target_arch = "x86_64")]
        (WeightFormat::Bf16, Backend::Avx512Bf16) => best_rate(crate::matrix_product::dot_registers),
        #[cfg(target_arch = "x86_64")]
        (WeightFormat::Int8, best) if multiplies_bytes(best) => {
            best_rate(crate::matrix_product::byte_registers)
        }
        (_, Backend::Portable | Backend::Avx2) => best_rate(multiply_few),
        _ => best_rate(multiply_many),
    }
}

/// The best rate of `work`, which takes a number of rounds and returns the operations it made.
fn best_rate(work: impl Fn(usize) -> usize) -> f64 {
    let rate = |_| {
        let start = Instant::now();
        let operations = work(ROUNDS);
        operations as f64 / start.elapsed().as_secs_f64()
    };
    (0..RUNS).map(rate).fold(0.0, f64::max)
}

multiversion! {
    /// 10 independent chains of 256-bit vectors.
    fn multiply_few(rounds: usize) -> usize {
        chains::<5>(rounds)
    }
}

multiversion! {
    /// 12 independent chains of 512-bit vectors.
    fn multiply_many(rounds: usize) -> usize {
        chains::<12>(rounds)
    }
}

/// Multiplies and adds `CHAINS` vectors of 16 lanes, each round after the other.
#[inline(always)]
fn chains<const CHAINS: usize>(rounds: usize) -> usize {
    let (factor, addend) = (black_box(0.999_999_f32), black_box(1e-6_f32));
    let mut sums = [[black_box(1.0_f32); LANES]; CHAINS];
    for _ in 0..rounds {
        for sum in sums.as_flattened_mut() {
            *sum = sum.mul_add(factor, addend);
        }
    }
    black_box(sums);
    2 * LANES * CHAINS * rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_a_plausible_rate() {
        for format in [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8] {
            let peak = measured_peak(format);
            assert!(peak > 1e8 && peak < 1e14, "{format:?}: {peak}");
        }
    }
}
