//! Trains a dictionary on the rows of a safetensors file, for comparison with other programs on the same rows
//! (`bench/dictionary_training.py`).
//!
//! `training_comparison ROWS LATENTS OBJECTIVE RATE bf16|f32 [STEPS] [START]` with an objective `topk:K` or `l1:COEFFICIENT`
//! prints one JSON object: tokens/s of the step alone (median, the first two steps left out), peak memory of the process,
//! and of the last batch, which is not trained on: explained variance, L0, rows selected twice, and for TopK the recall of
//! the true top k.
//!
//! `training_comparison --start OUT ROWS LATENTS K` writes a dictionary of rectified latents with about K of them active:
//! TopK trained on the rows once, and biases lowered by the threshold it ended with. Others can begin with it (START).
#![allow(clippy::print_stdout, reason = "the output is data")]

mod measure;

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use glossator_dictionary::training::{
    Auxiliary, Batch, Objective, Parameters, Recipe, Trainer, geometric_median, initialise, kaiming,
};
use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::Adam;
use measure::{peak_memory, recall};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Rows of a step.
const BATCH: usize = 4096;
/// The learning rate of starts.
const START_RATE: f64 = 5e-4;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--start", out, rows, latents, k] => write_start(out, rows, latents.parse()?, k.parse()?),
        [rows, latents, objective, rate, precision, ref rest @ ..] if rest.len() < 3 => {
            let precision = if precision == "f32" { Precision::F32 } else { Precision::Bf16 };
            let steps = rest.first().map_or(Ok(usize::MAX), |steps| steps.parse())?;
            let objective = parse(objective).ok_or("OBJECTIVE is topk:K or l1:COEFFICIENT")?;
            compare(rows, latents.parse()?, objective, rate.parse()?, precision, steps, rest.get(1).copied())
        }
        _ => Err("usage: training_comparison ROWS LATENTS OBJECTIVE RATE bf16|f32 [STEPS] [START]".into()),
    }
}

fn parse(objective: &str) -> Option<Objective> {
    let (name, value) = objective.split_once(':')?;
    let auxiliary = Some(Auxiliary { k: 256, coefficient: 1.0 / 32.0, dead_after: 10_000_000 });
    match name {
        "topk" => Some(Objective::TopK { k: value.parse().ok()?, auxiliary }),
        "l1" => Some(Objective::L1 { coefficient: value.parse().ok()?, by_decoder_norm: false }),
        _ => None,
    }
}

fn compare(
    path: &str,
    latents: usize,
    objective: Objective,
    rate: f64,
    precision: Precision,
    steps: usize,
    start: Option<&str>,
) -> Result<(), Failure> {
    let (rows, d) = read(path)?;
    let batches: Vec<&[f32]> = rows.chunks_exact(BATCH * d).collect();
    let (held_out, training) = batches.split_last().ok_or("the file holds less than one batch")?;
    let first = training.first().ok_or("the file holds only one batch")?;
    let mut parameters = match (start, objective) {
        (Some(start), _) => read_start(start)?,
        (None, Objective::L1 { .. }) => kaiming(latents, d, geometric_median(first, d), 0),
        (None, _) => initialise(latents, geometric_median(first, d), 0),
    };
    let mut trainer = Trainer::new(recipe(objective, first, d, precision));
    let mut seconds = Vec::new();
    for inputs in training.iter().take(steps) {
        let start = Instant::now();
        trainer.step(&mut parameters, Batch { inputs, targets: inputs }, rate);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let mut timed = seconds.split_off(2.min(seconds.len() - 1));
    timed.sort_by(f64::total_cmp);
    // With a rate of 0 the step only looks.
    let seen = trainer.step(&mut parameters, Batch { inputs: held_out, targets: held_out }, 0.0);
    let peak = peak_memory().unwrap_or(f64::NAN) / 1_048_576.0;
    let again = trainer.selected_again();
    let recall = match objective {
        Objective::TopK { k, .. } => recall(&mut trainer, &mut parameters, held_out, k).to_string(),
        _ => "null".to_owned(),
    };
    println!(
        "{{\"tokens_per_second\": {}, \"peak_megabytes\": {}, \"explained_variance\": {}, \"l0\": {}, \
         \"selected_again\": {again}, \"recall\": {recall}}}",
        BATCH as f64 / timed[timed.len() / 2],
        peak,
        seen.explained_variance,
        seen.l0
    );
    Ok(())
}

/// For TopK the recipe of Gao et al. 2024, whose loss is divided by the variance of the activations; for L1 the sum of
/// squares.
fn recipe(objective: Objective, rows: &[f32], d: usize, precision: Precision) -> Recipe {
    let target_variance = match objective {
        Objective::TopK { .. } => variance(rows, d),
        _ => 1.0 / d as f32,
    };
    Recipe {
        objective,
        subtract_decoder_bias: true,
        unit_decoder: true,
        adam: Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        gradient_clip: None,
        target_variance,
        precision,
    }
}

/// The variance of values about their column's mean.
fn variance(rows: &[f32], d: usize) -> f32 {
    let count = (rows.len() / d) as f64;
    let (mut sums, mut squares) = (vec![0.0; d], 0.0);
    for row in rows.chunks_exact(d) {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += f64::from(x);
            squares += f64::from(x) * f64::from(x);
        }
    }
    let means: f64 = sums.iter().map(|sum| (sum / count).powi(2)).sum();
    ((squares / count - means) / d as f64) as f32
}

fn write_start(out: &str, path: &str, latents: usize, k: usize) -> Result<(), Failure> {
    let (rows, d) = read(path)?;
    let batches: Vec<&[f32]> = rows.chunks_exact(BATCH * d).collect();
    let first = batches.first().ok_or("the file holds less than one batch")?;
    let mut parameters = initialise(latents, geometric_median(first, d), 0);
    let objective = Objective::TopK { k, auxiliary: None };
    let mut trainer = Trainer::new(recipe(objective, first, d, Precision::Bf16));
    for inputs in &batches {
        trainer.step(&mut parameters, Batch { inputs, targets: inputs }, START_RATE);
    }
    let active = trainer.active();
    let smallest = |row| active.row(row).values.iter().copied().fold(f32::INFINITY, f32::min);
    let threshold = (0..active.rows()).map(smallest).sum::<f32>() / active.rows() as f32;
    parameters.encoder_bias.weights.iter_mut().for_each(|bias| *bias -= threshold);
    let tensor = |values: &[f32], shape: &[usize]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (bytes, shape.to_vec())
    };
    let tensors: HashMap<&str, (Vec<u8>, Vec<usize>)> = HashMap::from([
        ("encoder", tensor(&parameters.encoder.weights, &[latents, d])),
        ("encoder_bias", tensor(&parameters.encoder_bias.weights, &[latents])),
        ("decoder", tensor(&parameters.decoder.weights, &[latents, d])),
        ("decoder_bias", tensor(&parameters.decoder_bias.weights, &[d])),
    ]);
    let views = tensors
        .iter()
        .map(|(name, (bytes, shape))| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize_to_file(views, None, Path::new(out))?)
}

fn read_start(path: &str) -> Result<Parameters, Failure> {
    let bytes = std::fs::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let tensor = |name: &str| Ok::<_, Failure>(floats(tensors.tensor(name)?.data()));
    let (encoder, encoder_bias) = (tensor("encoder")?, tensor("encoder_bias")?);
    Ok(Parameters::new(encoder, encoder_bias, tensor("decoder")?, tensor("decoder_bias")?))
}

/// The rows `[row, d]` of the one tensor of activations in a file.
fn read(path: &str) -> Result<(Vec<f32>, usize), Failure> {
    let bytes = std::fs::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let name = tensors.names().into_iter().find(|name| !matches!(*name, "tokens" | "logits"));
    let tensor = tensors.tensor(name.ok_or("the file holds no activations")?)?;
    let d = *tensor.shape().last().ok_or("the activations have no axes")?;
    Ok((floats(tensor.data()), d))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
