//! The training step from its definition, dense and in f64, one number at a time: what the fast step is tested against.

use super::objective::{Objective, Recipe};
use super::parameters::{Parameters, Tensor};
use super::step::Batch;

/// Weights in f64 with their gradients.
pub(super) struct Gradients {
    pub(super) encoder: Vec<f64>,
    pub(super) encoder_bias: Vec<f64>,
    pub(super) decoder: Vec<f64>,
    pub(super) decoder_bias: Vec<f64>,
    pub(super) loss: f64,
}

/// One forward pass: pre-activations, activations and errors, all dense.
struct Forward {
    centred: Vec<Vec<f64>>,
    pre: Vec<Vec<f64>>,
    latents: Vec<Vec<f64>>,
    errors: Vec<Vec<f64>>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn forward(recipe: &Recipe, p: &Parameters, batch: Batch<'_>) -> Forward {
    let (encoder, decoder) = (wide(&p.encoder.weights), wide(&p.decoder.weights));
    let (encoder_bias, decoder_bias) = (wide(&p.encoder_bias.weights), wide(&p.decoder_bias.weights));
    let mut result = Forward { centred: vec![], pre: vec![], latents: vec![], errors: vec![] };
    for (x, y) in batch.inputs.chunks_exact(p.d_input).zip(batch.targets.chunks_exact(p.d_output)) {
        let mut u = wide(x);
        if recipe.subtract_decoder_bias {
            u.iter_mut().zip(&decoder_bias).for_each(|(u, b)| *u -= b);
        }
        let read = |i: usize| -> f64 {
            encoder[i * p.d_input..][..p.d_input].iter().zip(&u).map(|(e, u)| e * u).sum::<f64>()
                + encoder_bias[i]
        };
        let pre: Vec<f64> = (0..p.latents).map(read).collect();
        let latents = match recipe.objective {
            Objective::TopK { k, .. } => largest(&pre, k, |_| true),
            Objective::L1 { .. } => pre.iter().map(|z| z.max(0.0)).collect(),
            _ => {
                panic!("this defines TopK and ReLU + L1; the others are held against `variants` and PyTorch")
            }
        };
        let mut error = decode(&latents, &decoder, p.d_output);
        for ((error, bias), y) in error.iter_mut().zip(&decoder_bias).zip(y) {
            *error += bias - f64::from(*y);
        }
        result.centred.push(u);
        result.pre.push(pre);
        result.latents.push(latents);
        result.errors.push(error);
    }
    result
}

/// The `k` largest among the allowed, zero where negative.
fn largest(pre: &[f64], k: usize, allowed: impl Fn(usize) -> bool) -> Vec<f64> {
    let mut order: Vec<usize> = (0..pre.len()).filter(|&i| allowed(i)).collect();
    order.sort_by(|&a, &b| pre[b].total_cmp(&pre[a]));
    let mut latents = vec![0.0; pre.len()];
    for &i in order.iter().take(k) {
        latents[i] = pre[i].max(0.0);
    }
    latents
}

fn decode(latents: &[f64], decoder: &[f64], d: usize) -> Vec<f64> {
    let column = |j: usize| latents.iter().enumerate().map(|(i, f)| f * decoder[i * d + j]).sum();
    (0..d).map(column).collect()
}

fn norm(row: &[f64]) -> f64 {
    row.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The loss and all gradients; also brings `idle_rows` up to date.
pub(super) fn gradients(recipe: &Recipe, p: &mut Parameters, batch: Batch<'_>) -> Gradients {
    let pass = forward(recipe, p, batch);
    let rows = pass.errors.len();
    for latent in 0..p.latents {
        let fired = pass.latents.iter().any(|f| f[latent] > 0.0);
        p.idle_rows[latent] = if fired { 0 } else { p.idle_rows[latent] + rows as u64 };
    }
    let mut result = Gradients {
        encoder: vec![0.0; p.encoder.weights.len()],
        encoder_bias: vec![0.0; p.latents],
        decoder: vec![0.0; p.decoder.weights.len()],
        decoder_bias: vec![0.0; p.d_output],
        loss: 0.0,
    };
    let values = (rows * p.d_output) as f64;
    let scale = 1.0 / values / f64::from(recipe.target_variance);
    accumulate(recipe, p, &pass, &pass.latents, &pass.errors, scale, true, &mut result);
    match recipe.objective {
        Objective::TopK { auxiliary: Some(auxiliary), .. } => {
            let dead: Vec<bool> = p.idle_rows.iter().map(|idle| *idle >= auxiliary.dead_after).collect();
            if dead.contains(&true) {
                let mean = |j: usize| pass.errors.iter().map(|e| e[j]).sum::<f64>() / rows as f64;
                let means: Vec<f64> = (0..p.d_output).map(mean).collect();
                let spread = |e: &Vec<f64>| e.iter().zip(&means).map(|(e, m)| (e - m).powi(2)).sum::<f64>();
                let variance = pass.errors.iter().map(spread).sum::<f64>() / values;
                let code = |pre: &Vec<f64>| largest(pre, auxiliary.k, |i| dead[i]);
                let latents: Vec<Vec<f64>> = pass.pre.iter().map(code).collect();
                let decoder = wide(&p.decoder.weights);
                let errors: Vec<Vec<f64>> = latents
                    .iter()
                    .zip(&pass.errors)
                    .map(|(f, e)| decode(f, &decoder, p.d_output).iter().zip(e).map(|(a, e)| a + e).collect())
                    .collect();
                let scale = f64::from(auxiliary.coefficient) / values / variance;
                accumulate(recipe, p, &pass, &latents, &errors, scale, false, &mut result);
            }
        }
        Objective::L1 { coefficient, by_decoder_norm } => {
            penalise(recipe, p, &pass, f64::from(coefficient) / rows as f64, by_decoder_norm, &mut result);
        }
        _ => {}
    }
    result
}

/// Adds the gradients of scale · Σ ‖e‖².
#[allow(clippy::too_many_arguments, reason = "the definition written out")]
fn accumulate(
    recipe: &Recipe,
    p: &Parameters,
    pass: &Forward,
    latents: &[Vec<f64>],
    errors: &[Vec<f64>],
    scale: f64,
    moves_bias: bool,
    out: &mut Gradients,
) {
    for (row, (f, e)) in latents.iter().zip(errors).enumerate() {
        out.loss += scale * e.iter().map(|e| e * e).sum::<f64>();
        if moves_bias {
            out.decoder_bias.iter_mut().zip(e).for_each(|(g, e)| *g += 2.0 * scale * e);
        }
        for (i, f) in f.iter().enumerate().filter(|(_, f)| **f > 0.0) {
            let weights = &p.decoder.weights[i * p.d_output..][..p.d_output];
            let delta = 2.0 * scale * weights.iter().zip(e).map(|(d, e)| f64::from(*d) * e).sum::<f64>();
            for (j, e) in e.iter().enumerate() {
                out.decoder[i * p.d_output + j] += 2.0 * scale * f * e;
            }
            back_through_encoder(recipe, p, &pass.centred[row], i, delta, out);
        }
    }
}

fn back_through_encoder(
    recipe: &Recipe,
    p: &Parameters,
    u: &[f64],
    i: usize,
    delta: f64,
    out: &mut Gradients,
) {
    out.encoder_bias[i] += delta;
    for (j, u) in u.iter().enumerate() {
        out.encoder[i * p.d_input + j] += delta * u;
        if recipe.subtract_decoder_bias {
            out.decoder_bias[j] -= delta * f64::from(p.encoder.weights[i * p.d_input + j]);
        }
    }
}

/// Adds λ Σ fᵢ, by decoder norm or not.
fn penalise(
    recipe: &Recipe,
    p: &Parameters,
    pass: &Forward,
    lambda: f64,
    by_norm: bool,
    out: &mut Gradients,
) {
    for (row, f) in pass.latents.iter().enumerate() {
        for (i, f) in f.iter().enumerate().filter(|(_, f)| **f > 0.0) {
            let weights = wide(&p.decoder.weights[i * p.d_output..][..p.d_output]);
            let weight = if by_norm { norm(&weights) } else { 1.0 };
            out.loss += lambda * weight * f;
            if by_norm {
                for (j, d) in weights.iter().enumerate() {
                    out.decoder[i * p.d_output + j] += lambda * f * d / weight;
                }
            }
            back_through_encoder(recipe, p, &pass.centred[row], i, lambda * weight, out);
        }
    }
}

/// One whole step. Returns the loss before it.
pub(super) fn step(recipe: &Recipe, p: &mut Parameters, batch: Batch<'_>, rate: f64) -> f64 {
    let mut g = gradients(recipe, p, batch);
    p.steps += 1;
    if recipe.unit_decoder {
        for (i, g) in g.decoder.chunks_exact_mut(p.d_output).enumerate() {
            let row = wide(&p.decoder.weights[i * p.d_output..][..p.d_output]);
            let along: f64 = g.iter().zip(&row).map(|(g, d)| g * d).sum();
            g.iter_mut().zip(&row).for_each(|(g, d)| *g -= along * d);
        }
    }
    if let Some(limit) = recipe.gradient_clip {
        let all = [&g.encoder, &g.encoder_bias, &g.decoder, &g.decoder_bias];
        let total = all.iter().flat_map(|g| g.iter()).map(|g| g * g).sum::<f64>().sqrt();
        if total > f64::from(limit) {
            let all = [&mut g.encoder, &mut g.encoder_bias, &mut g.decoder, &mut g.decoder_bias];
            all.into_iter().flatten().for_each(|g| *g *= f64::from(limit) / total);
        }
    }
    let t = p.steps as i32;
    adam(recipe, &mut p.encoder, &g.encoder, t, rate);
    adam(recipe, &mut p.encoder_bias, &g.encoder_bias, t, rate);
    adam(recipe, &mut p.decoder, &g.decoder, t, rate);
    adam(recipe, &mut p.decoder_bias, &g.decoder_bias, t, rate);
    if recipe.unit_decoder {
        for row in p.decoder.weights.chunks_exact_mut(p.d_output) {
            let length = norm(&wide(row));
            row.iter_mut().for_each(|d| *d = (f64::from(*d) / length) as f32);
        }
    }
    g.loss
}

fn adam(recipe: &Recipe, tensor: &mut Tensor, gradient: &[f64], t: i32, rate: f64) {
    let (beta1, beta2) = (recipe.adam.beta1, recipe.adam.beta2);
    for (i, g) in gradient.iter().enumerate() {
        let m = beta1 * f64::from(tensor.mean[i]) + (1.0 - beta1) * g;
        let v = beta2 * f64::from(tensor.square[i]) + (1.0 - beta2) * g * g;
        let root = (v / (1.0 - beta2.powi(t))).sqrt() + recipe.adam.epsilon;
        let change = rate * (m / (1.0 - beta1.powi(t))) / root;
        tensor.mean[i] = m as f32;
        tensor.square[i] = v as f32;
        tensor.weights[i] = (f64::from(tensor.weights[i]) - change) as f32;
    }
}
