//! Times matrix products at the shapes of a small language model, on one thread and on all.
//!
//! Prints GFLOP/s (best of many runs) and the share of the measured peak of the backend. Arguments: the numbers of
//! rows to try (default 1 128 512).
#![allow(clippy::print_stdout, reason = "a benchmark's output is its data")]

use std::time::Instant;

use glossator_kernels::{
    Activation, Backend, Outputs, PackedMatrix, Precision, Product, Threads, bf16, cpu_description,
};

/// `(n_in, n_out)` of `SmolLM2`-135M's layers and vocabulary, and of a larger model's MLP.
const SHAPES: [(usize, usize); 6] =
    [(576, 960), (576, 576), (576, 3072), (1536, 576), (576, 49_152), (2048, 8192)];

fn main() {
    println!("{}", cpu_description());
    let requested: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let row_counts = if requested.is_empty() { vec![1, 128, 512] } else { requested };
    for precision in [Precision::F32, Precision::Bf16] {
        for (n_in, n_out) in SHAPES {
            let weight = PackedMatrix::pack(&vec![0.01; n_in * n_out], n_out, n_in, precision);
            row_counts.iter().for_each(|&rows| report(&weight, rows));
        }
    }
}

fn report(weight: &PackedMatrix, rows: usize) {
    let (n_in, n_out) = (weight.n_in(), weight.n_out());
    let (wide, narrow) = (vec![0.5_f32; rows * n_in], vec![bf16::ONE; rows * n_in]);
    let mut out = vec![0.0_f32; rows * n_out];
    let operations = 2.0 * (rows * n_in * n_out) as f64;
    let mut rates = Vec::new();
    for threads in [Threads::One, Threads::All] {
        let product = Product::new(weight).threads(threads);
        let mut run = || match weight.precision() {
            Precision::F32 => product.run(wide.as_slice(), &mut out),
            Precision::Bf16 => product.run(narrow.as_slice(), &mut out),
        };
        rates.push(operations / best_seconds(&mut run) * 1e-9);
    }
    let dots = Product::new(weight).backend(Backend::best().min(Backend::Avx512Bf16));
    rates.push(operations / best_seconds(&mut || dots.run(narrow.as_slice(), &mut out)) * 1e-9);
    println!(
        "{:?} {rows:5} x {n_in:5} -> {n_out:5}: {:7.0} one thread, {:7.0} all, {:7.0} without AMX GFLOP/s",
        weight.precision(),
        rates[0],
        rates[1],
        rates[2]
    );
    if n_in == 576 && n_out == 3072 {
        let stacked = vec![0.01; n_in * n_out / 2];
        let stacked = PackedMatrix::pack_stacked(&[&stacked, &stacked], n_in, weight.precision());
        let mut post = vec![bf16::ZERO; rows * n_out / 2];
        let mut run = || {
            Product::new(&stacked).run_gated(Activation::Silu, narrow.as_slice(), Outputs::bf16(&mut post))
        };
        let seconds = best_seconds(&mut run);
        println!(
            "     the same with gated SiLU to bf16: {:7.0} one thread GFLOP/s",
            operations / seconds * 1e-9
        );
    }
}

/// The shortest of the runs that fit a quarter of a second, at least 5.
fn best_seconds(run: &mut impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    let mut runs = 0;
    while runs < 5 || begin.elapsed().as_millis() < 250 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}
