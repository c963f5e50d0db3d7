//! Neuron resampling (Bricken et al. 2023, "Towards Monosemanticity", appendix): dead latents begin anew on inputs that
//! are reconstructed badly.
//!
//! 1. The loss ℓ_x of every input of a random subset, that of the trainer: the squared error, and λ Σ fᵢ.
//! 2. For each dead latent an input x is drawn with p(x) ∝ ℓ_x².
//! 3. Its decoder row becomes y / ‖y‖, y the target (x itself but for transcoders); its encoder row x / ‖x‖ times 0.2 of
//!    the mean norm of the other encoder rows; its encoder bias 0.
//! 4. Adam's moments of all these become 0.

use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::normalise;

use super::objective::{Objective, Recipe};
use super::parameters::{Parameters, Tensor};
use super::step::Batch;
use crate::random::Random;
use crate::{Coder, Metadata, Normalisation};

/// The norm of a new encoder row, in parts of the mean norm of others.
const ENCODER_NORM: f32 = 0.2;
/// Rows whose losses are computed at a time.
const BLOCK_ROWS: usize = 4096;

/// Resamples the latents `dead` from the rows of `batch`. Returns how many began anew: none if every row is
/// reconstructed without a fault, or if no latent is alive.
///
/// # Panics
/// If the batch does not fit the parameters, or has no rows.
pub fn resample(
    parameters: &mut Parameters,
    recipe: &Recipe,
    batch: Batch<'_>,
    dead: &[u32],
    random: &mut Random,
) -> usize {
    if dead.is_empty() {
        return 0;
    }
    let (d_input, d_output) = (parameters.d_input, parameters.d_output);
    let weights: Vec<f64> = losses(parameters, recipe, batch).into_iter().map(|loss| loss * loss).collect();
    let alive_norm = mean_norm_without(parameters, dead);
    let total: f64 = weights.iter().sum();
    let Some(alive_norm) = alive_norm.filter(|_| total > 0.0 && total.is_finite()) else { return 0 };
    let mut sums = weights;
    let mut sum = 0.0;
    for weight in &mut sums {
        sum += *weight;
        *weight = sum;
    }
    for &latent in dead {
        let row = draw(&sums, random);
        let latent = latent as usize;
        let decoder = latent * d_output..(latent + 1) * d_output;
        let encoder = latent * d_input..(latent + 1) * d_input;
        let direction = &mut parameters.decoder.weights[decoder.clone()];
        direction.copy_from_slice(&batch.targets[row * d_output..][..d_output]);
        normalise(direction);
        let reads = &mut parameters.encoder.weights[encoder.clone()];
        reads.copy_from_slice(&batch.inputs[row * d_input..][..d_input]);
        normalise(reads);
        reads.iter_mut().for_each(|weight| *weight *= ENCODER_NORM * alive_norm);
        parameters.encoder_bias.weights[latent] = 0.0;
        forget(&mut parameters.decoder, decoder);
        forget(&mut parameters.encoder, encoder);
        forget(&mut parameters.encoder_bias, latent..latent + 1);
    }
    dead.len()
}

/// The loss of every row.
fn losses(parameters: &Parameters, recipe: &Recipe, batch: Batch<'_>) -> Vec<f64> {
    let (d_input, d_output) = (parameters.d_input, parameters.d_output);
    let dictionary = parameters.dictionary(recipe, Normalisation::None, Metadata::default());
    let coder = Coder::new(&dictionary, Precision::F32);
    let coefficient = match recipe.objective {
        Objective::L1 { coefficient, .. } => f64::from(coefficient),
        _ => 0.0,
    };
    let width = d_output as f64 * f64::from(recipe.target_variance);
    let mut losses = Vec::with_capacity(batch.inputs.len() / d_input);
    let blocks = batch.inputs.chunks(BLOCK_ROWS * d_input).zip(batch.targets.chunks(BLOCK_ROWS * d_output));
    for (inputs, targets) in blocks {
        let latents = coder.encode(inputs);
        let reconstructions = coder.reconstruct(&latents, inputs);
        let rows = reconstructions.chunks_exact(d_output).zip(targets.chunks_exact(d_output));
        for ((own, target), (_, values)) in rows.zip(latents.iter()) {
            let error: f64 = own.iter().zip(target).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let activity: f64 = values.iter().map(|value| f64::from(*value)).sum();
            losses.push(error / width + coefficient * activity);
        }
    }
    losses
}

/// The mean norm of encoder rows that are not dead.
fn mean_norm_without(parameters: &Parameters, dead: &[u32]) -> Option<f32> {
    let rows = parameters.encoder.weights.chunks_exact(parameters.d_input).enumerate();
    let alive = rows.filter(|(latent, _)| dead.binary_search(&(*latent as u32)).is_err());
    let (sum, count) = alive.fold((0.0, 0_usize), |(sum, count), (_, row)| {
        (sum + row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt(), count + 1)
    });
    (count > 0).then(|| (sum / count as f64) as f32)
}

/// A row with a probability in proportion to what it adds to the rising `sums`.
fn draw(sums: &[f64], random: &mut Random) -> usize {
    let total = sums.last().copied().unwrap_or(0.0);
    let place = random.uniform() * total;
    sums.partition_point(|sum| *sum <= place).min(sums.len() - 1)
}

fn forget(tensor: &mut Tensor, range: std::ops::Range<usize>) {
    tensor.mean[range.clone()].fill(0.0);
    tensor.square[range].fill(0.0);
}

#[cfg(test)]
mod tests {
    use glossator_kernels::sparse_coding::Adam;

    use super::*;
    use crate::testing::numbers;
    use crate::training::{Trainer, initialise};

    fn recipe() -> Recipe {
        Recipe {
            objective: Objective::L1 { coefficient: 0.01, by_decoder_norm: false },
            subtract_decoder_bias: true,
            unit_decoder: true,
            adam: Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
            gradient_clip: None,
            target_variance: 1.0,
            precision: Precision::F32,
        }
    }

    fn norm(row: &[f32]) -> f32 {
        row.iter().map(|v| v * v).sum::<f32>().sqrt()
    }

    #[test]
    fn dead_latents_take_the_direction_of_inputs_and_forget_the_rest() {
        let d = 6;
        let mut parameters = initialise(10, vec![0.0; d], 3);
        let inputs = numbers(4, 30 * d);
        let batch = Batch { inputs: &inputs, targets: &inputs };
        Trainer::new(recipe()).step(&mut parameters, batch, 1e-3);
        parameters.encoder.weights.iter_mut().for_each(|e| *e *= 3.0);
        let before = parameters.clone();
        let dead = [2_u32, 7];
        assert_eq!(resample(&mut parameters, &recipe(), batch, &dead, &mut Random::new(1)), 2);
        for latent in 0..10 {
            let (e, d_row) = (latent * d..(latent + 1) * d, latent * d..(latent + 1) * d);
            if !dead.contains(&(latent as u32)) {
                assert_eq!(parameters.encoder.weights[e.clone()], before.encoder.weights[e.clone()]);
                assert_eq!(parameters.encoder.mean[e.clone()], before.encoder.mean[e]);
                assert_eq!(parameters.decoder.weights[d_row.clone()], before.decoder.weights[d_row]);
                continue;
            }
            let direction = &parameters.decoder.weights[d_row.clone()];
            let of_input = inputs.chunks(d).any(|x| {
                let scale = norm(x);
                x.iter().zip(direction).all(|(x, d)| (x / scale - d).abs() < 1e-5)
            });
            assert!(of_input, "decoder row {latent} is no input's direction");
            let alive: Vec<f32> = (0..10)
                .filter(|i| !dead.contains(i))
                .map(|i| norm(&before.encoder.weights[i as usize * d..][..d]))
                .collect();
            let mean = alive.iter().sum::<f32>() / alive.len() as f32;
            let reads = &parameters.encoder.weights[e.clone()];
            assert!((norm(reads) - 0.2 * mean).abs() < 1e-5);
            assert!(reads.iter().zip(direction).all(|(e, d)| (e - 0.2 * mean * d).abs() < 1e-5));
            assert_eq!(parameters.encoder_bias.weights[latent], 0.0);
            assert!(parameters.encoder.mean[e.clone()].iter().all(|m| *m == 0.0));
            assert!(parameters.encoder.square[e].iter().all(|v| *v == 0.0));
            assert!(parameters.decoder.mean[d_row].iter().all(|m| *m == 0.0));
        }
    }

    /// A row with three times the loss is drawn nine times as often.
    #[test]
    fn rows_are_drawn_by_their_squared_loss() {
        let mut random = Random::new(5);
        let mut counts = [0; 3];
        (0..10_000).for_each(|_| counts[draw(&[1.0, 10.0, 10.0], &mut random)] += 1);
        assert_eq!(counts[2], 0, "a row without loss is never drawn");
        assert!((900..1100).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn nothing_is_resampled_where_nothing_is_wrong_or_nothing_lives() {
        let d = 4;
        let mut parameters = initialise(8, vec![0.0; d], 3);
        let zeros = vec![0.0; 10 * d];
        let batch = Batch { inputs: &zeros, targets: &zeros };
        assert_eq!(resample(&mut parameters, &recipe(), batch, &[1], &mut Random::new(1)), 0);
        let inputs = numbers(4, 10 * d);
        let batch = Batch { inputs: &inputs, targets: &inputs };
        let all: Vec<u32> = (0..8).collect();
        assert_eq!(resample(&mut parameters, &recipe(), batch, &all, &mut Random::new(1)), 0);
    }
}
