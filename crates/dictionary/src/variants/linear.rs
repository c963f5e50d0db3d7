//! The affine maps that every variant shares, forward and backward.
//!
//! Forward: z = E (u − s b_d) + b_e; ŷ = Dᵀ f + b_d + S u. Backward, with ḡ for ∂L/∂g:
//!
//! ```text
//! f̄ = D ȳ      D̄ += f ȳᵀ      b̄_d += ȳ      S̄ += ȳ uᵀ
//! Ē += z̄ (u − s b_d)ᵀ      b̄_e += z̄      b̄_d −= s Eᵀ z̄
//! ```

use super::{Batch, Parameters};

/// u − s b_d of every row.
fn shifted(parameters: &Parameters, inputs: &[f64]) -> Vec<f64> {
    let mut shifted = inputs.to_vec();
    if parameters.subtract_decoder_bias {
        for row in shifted.chunks_exact_mut(parameters.d_input) {
            row.iter_mut().zip(&parameters.decoder_bias).for_each(|(u, b)| *u -= b);
        }
    }
    shifted
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(target: &mut [f64], scale: f64, source: &[f64]) {
    target.iter_mut().zip(source).for_each(|(target, source)| *target += scale * source);
}

/// E (u − s b_d) of every row `[rows, latents]`, without the bias.
pub(super) fn project(parameters: &Parameters, inputs: &[f64]) -> Vec<f64> {
    let rows = shifted(parameters, inputs);
    let encoder = || parameters.encoder.chunks_exact(parameters.d_input);
    rows.chunks_exact(parameters.d_input)
        .flat_map(|row| encoder().map(|e| dot(e, row)).collect::<Vec<_>>())
        .collect()
}

/// z `[rows, latents]`.
pub(super) fn encode(parameters: &Parameters, inputs: &[f64]) -> Vec<f64> {
    let mut pre = project(parameters, inputs);
    for row in pre.chunks_exact_mut(parameters.latents) {
        add_scaled(row, 1.0, &parameters.encoder_bias);
    }
    pre
}

/// Adds the gradients of E, b_e and b_d that come through z.
pub(super) fn encode_backward(
    parameters: &Parameters,
    inputs: &[f64],
    pre_bar: &[f64],
    gradient: &mut Parameters,
) {
    project_backward(parameters, inputs, pre_bar, gradient);
    for row in pre_bar.chunks_exact(parameters.latents) {
        add_scaled(&mut gradient.encoder_bias, 1.0, row);
    }
}

/// The same for [`project`].
pub(super) fn project_backward(
    parameters: &Parameters,
    inputs: &[f64],
    pre_bar: &[f64],
    gradient: &mut Parameters,
) {
    let rows = shifted(parameters, inputs);
    for (row, pre_bar) in rows.chunks_exact(parameters.d_input).zip(pre_bar.chunks_exact(parameters.latents))
    {
        for (latent, &bar) in pre_bar.iter().enumerate() {
            let range = latent * parameters.d_input..(latent + 1) * parameters.d_input;
            add_scaled(&mut gradient.encoder[range.clone()], bar, row);
            if parameters.subtract_decoder_bias {
                add_scaled(&mut gradient.decoder_bias, -bar, &parameters.encoder[range]);
            }
        }
    }
}

/// Dᵀ f `[rows, d_output]`, without bias and skip connection.
pub(super) fn combine(parameters: &Parameters, latents: &[f64]) -> Vec<f64> {
    let mut out = Vec::with_capacity(latents.len() / parameters.latents * parameters.d_output);
    for row in latents.chunks_exact(parameters.latents) {
        let mut sum = vec![0.0; parameters.d_output];
        for (f, direction) in row.iter().zip(parameters.decoder.chunks_exact(parameters.d_output)) {
            add_scaled(&mut sum, *f, direction);
        }
        out.extend(sum);
    }
    out
}

/// Adds the gradient of D that comes through [`combine`], and returns f̄.
pub(super) fn combine_backward(
    parameters: &Parameters,
    latents: &[f64],
    out_bar: &[f64],
    gradient: &mut Parameters,
) -> Vec<f64> {
    let width = parameters.d_output;
    let mut latents_bar = Vec::with_capacity(latents.len());
    for (row, bar) in latents.chunks_exact(parameters.latents).zip(out_bar.chunks_exact(width)) {
        for (latent, &f) in row.iter().enumerate() {
            let range = latent * width..(latent + 1) * width;
            add_scaled(&mut gradient.decoder[range.clone()], f, bar);
            latents_bar.push(dot(&parameters.decoder[range], bar));
        }
    }
    latents_bar
}

/// e = ŷ − y of every row.
pub(super) fn errors(parameters: &Parameters, batch: &Batch<'_>, latents: &[f64]) -> Vec<f64> {
    let mut out = combine(parameters, latents);
    let width = parameters.d_output;
    let rows = batch.inputs.chunks_exact(parameters.d_input).zip(batch.targets.chunks_exact(width));
    for (out, (input, target)) in out.chunks_exact_mut(width).zip(rows) {
        add_scaled(out, 1.0, &parameters.decoder_bias);
        for (i, row) in parameters.skip.chunks_exact(parameters.d_input).enumerate() {
            out[i] += dot(row, input);
        }
        add_scaled(out, -1.0, target);
    }
    out
}

/// Adds the gradients of D, b_d and S, given ȳ, and returns f̄.
pub(super) fn errors_backward(
    parameters: &Parameters,
    batch: &Batch<'_>,
    latents: &[f64],
    out_bar: &[f64],
    gradient: &mut Parameters,
) -> Vec<f64> {
    let rows = batch.inputs.chunks_exact(parameters.d_input);
    for (bar, input) in out_bar.chunks_exact(parameters.d_output).zip(rows) {
        add_scaled(&mut gradient.decoder_bias, 1.0, bar);
        for (row, bar) in gradient.skip.chunks_exact_mut(parameters.d_input).zip(bar) {
            add_scaled(row, *bar, input);
        }
    }
    combine_backward(parameters, latents, out_bar, gradient)
}

/// scale · Σ ‖e‖² with its gradients: the value, and f̄.
pub(super) fn squared_error(
    parameters: &Parameters,
    batch: &Batch<'_>,
    latents: &[f64],
    scale: f64,
    gradient: &mut Parameters,
) -> (f64, Vec<f64>) {
    let errors = errors(parameters, batch, latents);
    let bar: Vec<f64> = errors.iter().map(|e| 2.0 * scale * e).collect();
    let value = scale * errors.iter().map(|e| e * e).sum::<f64>();
    (value, errors_backward(parameters, batch, latents, &bar, gradient))
}

/// f̄ where a latent is active, 0 elsewhere: the derivative of selection and ReLU.
pub(super) fn where_active(latents: &[f64], latents_bar: &[f64]) -> Vec<f64> {
    latents.iter().zip(latents_bar).map(|(f, bar)| if *f > 0.0 { *bar } else { 0.0 }).collect()
}
