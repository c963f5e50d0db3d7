//! The fast step against the definition, and what must hold of any step.

use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::Adam;

use super::*;
use crate::testing::numbers;

const ROWS: usize = 70;

fn recipe(objective: Objective) -> Recipe {
    Recipe {
        objective,
        subtract_decoder_bias: true,
        unit_decoder: true,
        adam: Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        gradient_clip: None,
        target_variance: 0.3,
        precision: Precision::F32,
    }
}

fn top_k() -> Objective {
    Objective::TopK { k: 5, auxiliary: Some(Auxiliary { k: 7, coefficient: 0.5, dead_after: 100 }) }
}

/// Parameters of which some latents never fire by themselves.
fn parameters(d: usize, latents: usize) -> Parameters {
    let mut parameters = initialise(latents, numbers(5, d), 11);
    for latent in (0..latents).step_by(3) {
        parameters.encoder_bias.weights[latent] = -0.9;
    }
    parameters
}

fn batch(step: u64, d: usize) -> Vec<f32> {
    numbers(100 + step, ROWS * d)
}

/// Runs several steps of both and compares weights, moments and losses.
fn assert_follows_the_definition(recipe: Recipe, d: usize, latents: usize, tolerance: f64) {
    let mut fast = parameters(d, latents);
    let mut plain = fast.clone();
    let mut trainer = Trainer::new(recipe);
    let mut dead = 0;
    for step in 0..4 {
        let inputs = batch(step, d);
        let batch = Batch { inputs: &inputs, targets: &inputs };
        let report = trainer.step(&mut fast, batch, 3e-3);
        let loss = reference::step(&recipe, &mut plain, batch, 3e-3);
        dead += report.dead;
        assert!(
            (report.loss - loss).abs() <= tolerance * loss,
            "step {step}: loss {} or {loss}",
            report.loss
        );
    }
    assert_eq!(fast.idle_rows, plain.idle_rows);
    assert!(
        dead > 0 || matches!(recipe.objective, Objective::L1 { .. }),
        "the auxiliary loss had nothing to do"
    );
    for (name, a, b) in [
        ("encoder", &fast.encoder, &plain.encoder),
        ("encoder bias", &fast.encoder_bias, &plain.encoder_bias),
        ("decoder", &fast.decoder, &plain.decoder),
        ("decoder bias", &fast.decoder_bias, &plain.decoder_bias),
    ] {
        let largest = b.mean.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
        for (i, (a, b)) in a.mean.iter().zip(&b.mean).enumerate() {
            let error = f64::from((a - b).abs());
            assert!(error <= tolerance * f64::from(largest), "{name} moment {i}: {a} or {b}");
        }
        for (i, (a, b)) in a.weights.iter().zip(&b.weights).enumerate() {
            assert!(f64::from((a - b).abs()) <= 1e-3 * tolerance.max(1e-2), "{name} {i}: {a} or {b}");
        }
    }
}

#[test]
fn top_k_follows_the_definition() {
    assert_follows_the_definition(recipe(top_k()), 21, 50, 2e-5);
}

#[test]
fn top_k_with_clipped_gradients_follows_the_definition() {
    let recipe = Recipe { gradient_clip: Some(0.01), subtract_decoder_bias: false, ..recipe(top_k()) };
    assert_follows_the_definition(recipe, 40, 130, 2e-5);
}

#[test]
fn l1_follows_the_definition() {
    let l1 = Objective::L1 { coefficient: 0.02, by_decoder_norm: false };
    assert_follows_the_definition(recipe(l1), 21, 50, 2e-5);
}

#[test]
fn l1_by_decoder_norm_follows_the_definition() {
    let l1 = Objective::L1 { coefficient: 0.02, by_decoder_norm: true };
    let recipe =
        Recipe { unit_decoder: false, subtract_decoder_bias: false, gradient_clip: Some(0.05), ..recipe(l1) };
    assert_follows_the_definition(recipe, 21, 600, 2e-5);
}

/// L1 with biases under which few latents are active, so that the step goes by active latents.
fn sparse_l1_follows(recipe: Recipe, d: usize, latents: usize) {
    let mut fast = parameters(d, latents);
    fast.encoder_bias
        .weights
        .iter_mut()
        .enumerate()
        .for_each(|(i, bias)| *bias = -1.1 - (i % 7) as f32 * 0.1);
    let mut plain = fast.clone();
    let mut trainer = Trainer::new(recipe);
    for step in 0..4 {
        let mut inputs = batch(step, d);
        // Rows that activate half of all latents.
        inputs[2 * d..3 * d].iter_mut().for_each(|x| *x *= 12.0);
        inputs[69 * d..70 * d].iter_mut().for_each(|x| *x *= -14.0);
        let batch = Batch { inputs: &inputs, targets: &inputs };
        let report = trainer.step(&mut fast, batch, 3e-3);
        let loss = reference::step(&recipe, &mut plain, batch, 3e-3);
        let apart = [2, 69].map(|row| trainer.active().row(row).values.len());
        assert!(apart.iter().sum::<usize>() > 300, "step {step}: {apart:?} entries of rows selected apart");
        assert!(
            trainer.active().entries() > ROWS / 2,
            "step {step} was not by active latents: L0 {}",
            report.l0
        );
        assert!((report.loss - loss).abs() <= 2e-5 * loss, "loss {} or {loss}", report.loss);
    }
    assert_eq!(fast.idle_rows, plain.idle_rows);
    for (a, b) in [
        (&fast.encoder, &plain.encoder),
        (&fast.encoder_bias, &plain.encoder_bias),
        (&fast.decoder, &plain.decoder),
        (&fast.decoder_bias, &plain.decoder_bias),
    ] {
        let largest = b.mean.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
        for (a, b) in a.mean.iter().zip(&b.mean) {
            assert!((a - b).abs() <= 2e-5 * largest, "{a} or {b}");
        }
        for (a, b) in a.weights.iter().zip(&b.weights) {
            assert!((a - b).abs() <= 1e-5, "{a} or {b}");
        }
    }
}

#[test]
fn sparse_l1_follows_the_definition() {
    let l1 = Objective::L1 { coefficient: 0.02, by_decoder_norm: false };
    sparse_l1_follows(recipe(l1), 21, 600);
}

#[test]
fn sparse_l1_by_decoder_norm_follows_the_definition() {
    let l1 = Objective::L1 { coefficient: 0.02, by_decoder_norm: true };
    let recipe =
        Recipe { unit_decoder: false, subtract_decoder_bias: false, gradient_clip: Some(0.05), ..recipe(l1) };
    sparse_l1_follows(recipe, 24, 600);
}

/// Training on rows that are sparse sums of fixed directions, from the same start in both precisions.
fn explained(objective: Objective, precision: Precision) -> (f64, Parameters) {
    let (d, latents, rows) = (32, 128, 512);
    let directions = initialise(48, vec![0.0; d], 1).decoder.weights;
    let recipe = Recipe { target_variance: 1.0, precision, ..recipe(objective) };
    let mut trainer = Trainer::new(recipe);
    let mut parameters = initialise(latents, vec![0.0; d], 2);
    let mut random = Random::new(9);
    let mut explained = 0.0;
    for step in 0..300 {
        let mut inputs = vec![0.0; rows * d];
        for row in inputs.chunks_exact_mut(d) {
            for _ in 0..4 {
                let (direction, size) = (random.below(48), random.uniform() as f32 + 0.5);
                row.iter_mut().zip(&directions[direction * d..]).for_each(|(x, v)| *x += size * v);
            }
        }
        let report = trainer.step(&mut parameters, Batch { inputs: &inputs, targets: &inputs }, 2e-3);
        explained = 0.9 * explained + 0.1 * report.explained_variance;
        assert!(step > 0 || report.explained_variance < 0.9);
    }
    (explained, parameters)
}

#[test]
fn training_learns_and_bf16_learns_as_well() {
    let ((wide, _), (narrow, _)) = (explained(top_k(), Precision::F32), explained(top_k(), Precision::Bf16));
    assert!(wide > 0.9, "{wide}");
    assert!((wide - narrow).abs() < 0.01, "{wide} {narrow}");
}

/// L1 goes from dense steps to sparse ones on the way, and bf16 learns as f32 does.
#[test]
fn l1_learns_and_becomes_sparse() {
    let l1 = Objective::L1 { coefficient: 0.002, by_decoder_norm: false };
    let ((wide, parameters), (narrow, _)) = (explained(l1, Precision::F32), explained(l1, Precision::Bf16));
    assert!(wide > 0.8, "{wide}");
    assert!((wide - narrow).abs() < 0.01, "{wide} {narrow}");
    assert!(parameters.steps > 0);
}

#[test]
fn threads_do_not_change_a_bit() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| explained(top_k(), Precision::Bf16).1)
    };
    assert_eq!(on(1), on(3));
}
