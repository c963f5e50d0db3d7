//! Trains a TopK dictionary on the rows of a safetensors file, for comparison with other programs on the same rows
//! (`bench/dictionary_training.py`).
//!
//! `training_comparison ROWS.safetensors LATENTS K RATE bf16|f32` prints one JSON object: tokens/s of the step alone (median,
//! the first two steps left out), peak memory of the process, and the explained variance and L0 of the last batch, which
//! is not trained on.
#![allow(clippy::print_stdout, reason = "the output is data")]

use std::error::Error;
use std::time::Instant;

use glossator_dictionary::training::{
    Auxiliary, Batch, Objective, Recipe, Trainer, geometric_median, initialise,
};
use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::Adam;
use safetensors::SafeTensors;

/// Rows of a step.
const BATCH: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, latents, k, rate, precision] = &arguments[..] else {
        return Err("usage: training_comparison ROWS.safetensors LATENTS K RATE bf16|f32".into());
    };
    let (rows, d) = read(path)?;
    let precision = if precision == "f32" { Precision::F32 } else { Precision::Bf16 };
    let batches: Vec<&[f32]> = rows.chunks_exact(BATCH * d).collect();
    let (held_out, training) = batches.split_last().ok_or("the file holds less than one batch")?;
    let first = training.first().ok_or("the file holds only one batch")?;
    let mut parameters = initialise(latents.parse()?, geometric_median(first, d), 0);
    let mut trainer = Trainer::new(recipe(k.parse()?, first, d, precision));
    let rate = rate.parse()?;
    let mut seconds = Vec::new();
    for inputs in training {
        let start = Instant::now();
        trainer.step(&mut parameters, Batch { inputs, targets: inputs }, rate);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let mut timed = seconds.split_off(2.min(seconds.len() - 1));
    timed.sort_by(f64::total_cmp);
    // With a rate of 0 the step only looks.
    let seen = trainer.step(&mut parameters, Batch { inputs: held_out, targets: held_out }, 0.0);
    println!(
        "{{\"tokens_per_second\": {}, \"peak_megabytes\": {}, \"explained_variance\": {}, \"l0\": {}}}",
        BATCH as f64 / timed[timed.len() / 2],
        peak_megabytes().unwrap_or(f64::NAN),
        seen.explained_variance,
        seen.l0
    );
    Ok(())
}

/// The recipe of Gao et al. 2024, whose loss is divided by the variance of the activations.
fn recipe(k: usize, rows: &[f32], d: usize, precision: Precision) -> Recipe {
    let count = (rows.len() / d) as f64;
    let (mut sums, mut squares) = (vec![0.0; d], 0.0);
    for row in rows.chunks_exact(d) {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += f64::from(x);
            squares += f64::from(x) * f64::from(x);
        }
    }
    let means: f64 = sums.iter().map(|sum| (sum / count).powi(2)).sum();
    Recipe {
        objective: Objective::TopK {
            k,
            auxiliary: Some(Auxiliary { k: 256, coefficient: 1.0 / 32.0, dead_after: 10_000_000 }),
        },
        subtract_decoder_bias: true,
        unit_decoder: true,
        adam: Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        gradient_clip: None,
        target_variance: ((squares / count - means) / d as f64) as f32,
        precision,
    }
}

/// The rows `[row, d]` of the one tensor of activations in a file.
fn read(path: &str) -> Result<(Vec<f32>, usize), Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let name = tensors.names().into_iter().find(|name| !matches!(*name, "tokens" | "logits"));
    let tensor = tensors.tensor(name.ok_or("the file holds no activations")?)?;
    let d = *tensor.shape().last().ok_or("the activations have no axes")?;
    let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok((tensor.data().chunks_exact(4).map(value).collect(), d))
}

/// The most memory that this process has held, where the system tells.
fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}
