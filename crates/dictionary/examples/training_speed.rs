//! Times whole training steps of TopK dictionaries, and their parts.
//!
//! Prints for each size: tokens per second (best and median step), the share of the bound that the dense product of
//! the encoder sets at this machine's measured peak, the time of each part, the recall of the true top k among those
//! selected, and the peak memory beside weights and moments. Arguments: `LATENTS:K` pairs (default 4096:32 16384:32);
//! `f32` selects in f32, `dead` declares half of the latents dead.
#![allow(clippy::print_stdout, reason = "a benchmark's output is its data")]

mod measure;

use std::time::Instant;

use glossator_dictionary::training::{Auxiliary, Batch, Objective, Random, Recipe, Trainer, initialise};
use glossator_kernels::sparse_coding::{Adam, SelectionPrecision};
use glossator_kernels::{Precision, cpu_description, measured_peak};
use measure::{peak_memory, recall};

const D: usize = 576;
const ROWS: usize = 4096;
/// Directions that the synthetic activations are made of.
const DIRECTIONS: usize = 8192;

fn main() {
    println!("{}", cpu_description());
    let peak: f64 = rayon::broadcast(|_| measured_peak(Precision::Bf16)).into_iter().sum();
    println!("bf16 peak of all cores {:.0} GFLOP/s", peak * 1e-9);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|a| a == word);
    let precision = if has("f32") { Precision::F32 } else { Precision::Bf16 };
    let pair = |a: &String| a.split_once(':').and_then(|(n, k)| Some((n.parse().ok()?, k.parse().ok()?)));
    let mut sizes: Vec<(usize, usize)> = arguments.iter().filter_map(pair).collect();
    if sizes.is_empty() {
        sizes = vec![(4096, 32), (16_384, 32)];
    }
    for (latents, k) in sizes {
        report(latents, k, precision, has("dead"), peak);
    }
}

fn report(latents: usize, k: usize, precision: Precision, half_dead: bool, peak: f64) {
    let auxiliary = Some(Auxiliary { k: 256, coefficient: 1.0 / 32.0, dead_after: 10_000_000 });
    let recipe = Recipe {
        objective: Objective::TopK { k, auxiliary },
        subtract_decoder_bias: true,
        unit_decoder: true,
        adam: Adam { beta1: 0.9, beta2: 0.999, epsilon: 6.25e-10 },
        gradient_clip: None,
        target_variance: 1.0,
        precision,
    };
    let mut random = Random::new(7);
    let directions = initialise(DIRECTIONS, vec![0.0; D], 3).decoder.weights;
    let batches: Vec<Vec<f32>> = (0..4).map(|_| activations(&directions, &mut random)).collect();
    let mut parameters = initialise(latents, vec![0.0; D], 1);
    if half_dead {
        parameters.idle_rows.iter_mut().step_by(2).for_each(|idle| *idle = 1 << 40);
        parameters.encoder_bias.weights.iter_mut().step_by(2).for_each(|bias| *bias = -1.0);
    }
    let mut trainer = Trainer::new(recipe);
    let steps = if latents > 200_000 { 4 } else { 12 };
    let mut seconds = Vec::new();
    let (mut parts, mut last) = (trainer.times(), None);
    for step in 0..steps {
        let inputs = &batches[step % batches.len()];
        let clock = Instant::now();
        let seen = trainer.step(&mut parameters, Batch { inputs, targets: inputs }, 1e-4);
        let elapsed = clock.elapsed().as_secs_f64();
        if step > 1 && seconds.iter().all(|s| elapsed < *s) {
            parts = trainer.times();
        }
        if step > 1 {
            seconds.push(elapsed);
        }
        last = Some(seen);
    }
    seconds.sort_by(f64::total_cmp);
    let (best, median) = (seconds[0], seconds[seconds.len() / 2]);
    let bound = peak / (2 * D * latents) as f64;
    let rate = |seconds: f64| ROWS as f64 / seconds;
    println!(
        "{latents} latents, k {k}, {:?}: {:.0} tokens/s (median {:.0}), {:.0} % of the bound {bound:.0}",
        SelectionPrecision::fastest(precision),
        rate(best),
        rate(median),
        100.0 * rate(best) / bound
    );
    println!("  {parts:.1?}");
    if let Some(seen) = last {
        println!(
            "  explained variance {:.3}, L0 {:.1}, dead {}, rows selected twice {}",
            seen.explained_variance,
            seen.l0,
            seen.dead,
            trainer.selected_again()
        );
    }
    let recall = recall(&mut trainer, &mut parameters, &batches[0], k);
    let extra = peak_memory().map(|bytes| (bytes - parameters.bytes() as f64) * 1e-9);
    println!(
        "  recall of the true top k {:.4} %, peak memory beside weights and moments {extra:.2?} GB",
        recall * 100.0
    );
}

/// Rows that are sparse sums of fixed directions, with noise.
fn activations(directions: &[f32], random: &mut Random) -> Vec<f32> {
    let mut rows = vec![0.0; ROWS * D];
    for row in rows.chunks_exact_mut(D) {
        row.iter_mut().for_each(|x| *x = 0.03 * random.normal() as f32);
        for _ in 0..40 {
            let direction = (random.uniform().powi(2) * DIRECTIONS as f64) as usize;
            let size = 0.3 + random.uniform() as f32;
            row.iter_mut().zip(&directions[direction * D..]).for_each(|(x, v)| *x += size * v);
        }
    }
    rows
}
