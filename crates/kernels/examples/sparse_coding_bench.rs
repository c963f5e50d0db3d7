//! Times the parts of a sparse autoencoder's training step, each on all threads.
//!
//! Prints milliseconds (best and median of several runs) and rates for 4,096 rows of 576 columns with 32 active
//! latents each. Arguments: the numbers of latents to try (default 4096 16384).
#![allow(clippy::print_stdout, reason = "a benchmark's output is its data")]

use std::time::Instant;

use glossator_kernels::sparse_coding::{
    Adam, EncoderRows, Keep, LatentLists, Moments, Part, Selection, SparseRows, dots, prefetch_rows,
    weighted_sum, weighted_sum_bf16,
};
use glossator_kernels::{Precision, bf16, cpu_description, measured_peak, round_to_bf16};
use rayon::prelude::*;

const D: usize = 576;
const ROWS: usize = 4096;
const K: usize = 32;
const RUNS: usize = 9;

fn main() {
    println!("{}", cpu_description());
    let requested: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let sizes = if requested.is_empty() { vec![4096, 16_384] } else { requested };
    let peak = rayon::broadcast(|_| measured_peak(Precision::Bf16)).into_iter().sum::<f64>();
    println!("bf16 peak of all cores {:.0} GFLOP/s", peak * 1e-9);
    sizes.into_iter().for_each(|n| report(n, peak));
}

fn report(n: usize, peak: f64) {
    println!("{n} latents");
    let (weight, x) = (values(n * D, 1), values(ROWS * D, 2));
    let bias = vec![0.0; n];
    let encoder = EncoderRows::all(&weight, &bias, D);
    let (mut selection, mut code) = (Selection::default(), SparseRows::default());
    let operations = 2.0 * (ROWS * D * n) as f64;
    for precision in [Precision::F32, Precision::Bf16] {
        let seconds = time(&format!("selection {precision:?}"), || {
            selection.run(&x, encoder, Keep::Largest(K + 8), precision, &mut code);
        });
        println!(
            "    {:.0} GFLOP/s, {:.2} of the bf16 peak",
            operations / seconds * 1e-9,
            operations / seconds / peak
        );
    }
    let row_bytes = code.entries() as f64 * (D * 4) as f64;
    let rate = |bytes: f64, seconds: f64| println!("    {:.1} GB/s", bytes / seconds * 1e-9);
    rate(row_bytes, time("exact products", || exact(&weight, &x, &mut code)));
    let mut out = vec![0.0; ROWS * D];
    rate(row_bytes, time("decode", || decode(&weight, &code, &mut out)));
    let gradients: Vec<f32> = vec![0.1; code.places()];
    let mut lists = LatentLists::default();
    time("turn round", || {
        lists.collect(n, &[Part { rows: &code, gradients: &gradients, scale: 1.0 }]);
    });
    let mut gradient = vec![0.0; n * D];
    rate(2.0 * row_bytes, time("both gradients", || weight_gradients(&lists, &x, &out, &mut gradient)));
    let (x, out) = (round_to_bf16(&x), round_to_bf16(&out));
    rate(
        row_bytes,
        time("both gradients from bf16", || {
            weight_gradients_bf16(&lists, &x, &out, &mut gradient);
        }),
    );
    let (mut w, mut m, mut v) = (weight.clone(), vec![0.0; n * D], vec![0.0; n * D]);
    let step = Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }.step(10, 1e-4);
    rate(
        (n * D * 28) as f64,
        time("Adam on one matrix", || {
            let moments = m.par_chunks_mut(D).zip(v.par_chunks_mut(D));
            w.par_chunks_mut(D).zip(moments).zip(gradient.par_chunks(D)).for_each(
                |((w, (mean, square)), g)| {
                    step.apply(w, Moments { mean, square }, g);
                },
            );
        }),
    );
}

fn exact(weight: &[f32], x: &[f32], code: &mut SparseRows) {
    let indices: Vec<Vec<u32>> = (0..ROWS).map(|row| code.row(row).indices.to_vec()).collect();
    code.par_rows_mut().zip(x.par_chunks(D)).enumerate().with_min_len(64).for_each(|(row, (code, x))| {
        if let Some(next) = indices.get(row + 1) {
            prefetch_rows(weight, D, next);
        }
        let count = *code.count as usize;
        dots(weight, &code.indices[..count], x, &mut code.values[..count]);
    });
}

fn decode(weight: &[f32], code: &SparseRows, out: &mut [f32]) {
    out.par_chunks_mut(D).enumerate().with_min_len(64).for_each(|(row, out)| {
        if row + 1 < ROWS {
            prefetch_rows(weight, D, code.row(row + 1).indices);
        }
        out.fill(0.0);
        weighted_sum(weight, code.row(row).indices, code.row(row).values, out);
    });
}

fn weight_gradients(lists: &LatentLists, x: &[f32], g: &[f32], gradient: &mut [f32]) {
    let n = gradient.len() / D;
    gradient.par_chunks_mut(D).enumerate().with_min_len(16).for_each_init(
        || vec![0.0; D],
        |scratch, (latent, gradient)| {
            if latent + 1 < n {
                prefetch_rows(x, D, lists.rows(latent + 1));
                prefetch_rows(g, D, lists.rows(latent + 1));
            }
            gradient.fill(0.0);
            scratch.fill(0.0);
            weighted_sum(g, lists.rows(latent), lists.activations(latent), gradient);
            weighted_sum(x, lists.rows(latent), lists.gradients(latent), scratch);
        },
    );
}

fn weight_gradients_bf16(lists: &LatentLists, x: &[bf16], g: &[bf16], gradient: &mut [f32]) {
    let n = gradient.len() / D;
    gradient.par_chunks_mut(D).enumerate().with_min_len(16).for_each_init(
        || vec![0.0; D],
        |scratch, (latent, gradient)| {
            if latent + 1 < n {
                prefetch_rows(x, D, lists.rows(latent + 1));
                prefetch_rows(g, D, lists.rows(latent + 1));
            }
            gradient.fill(0.0);
            scratch.fill(0.0);
            weighted_sum_bf16(g, lists.rows(latent), lists.activations(latent), gradient);
            weighted_sum_bf16(x, lists.rows(latent), lists.gradients(latent), scratch);
        },
    );
}

/// Best time of several runs, printed with the median.
fn time(what: &str, mut work: impl FnMut()) -> f64 {
    work();
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("  {what}: {:.2} ms (median {:.2})", seconds[0] * 1e3, seconds[RUNS / 2] * 1e3);
    seconds[0]
}

/// Deterministic values, the sum of four uniform ones each.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| uniform() + uniform() + uniform() + uniform()).collect()
}
