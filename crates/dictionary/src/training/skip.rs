//! The skip connection of skip transcoders: ŷ = Dᵀ f + b_d + S u (Paulo, Shabalin & Belrose 2025).
//!
//! What S explains is taken from the targets before a step, y − S u, so that the step itself knows nothing of it. Then
//! ∂L/∂S = Σ ē uᵀ, with ē the gradient of the loss with respect to the reconstruction.

use glossator_kernels::{PackedMatrix, Precision, Product, Threads};

use super::parameters::Parameters;
use super::transposed::transposed;

/// y − S u of every row.
pub(super) fn unexplained(parameters: &Parameters, inputs: &[f32], targets: &[f32], out: &mut Vec<f32>) {
    let Parameters { d_input, d_output, .. } = *parameters;
    out.resize(targets.len(), 0.0);
    let skip = PackedMatrix::pack(&parameters.skip.weights, d_output, d_input, Precision::F32);
    Product::new(&skip).threads(Threads::All).run(inputs, out);
    out.iter_mut().zip(targets).for_each(|(out, target)| *out = target - *out);
}

/// Σ scale · e uᵀ `[d_output, d_input]` over rows and over the losses that reach S, each by its errors and scale.
pub(super) fn gradient(parameters: &Parameters, inputs: &[f32], losses: &[(&[f32], f32)]) -> Vec<f32> {
    let Parameters { d_input, d_output, .. } = *parameters;
    let rows = inputs.len() / d_input;
    let inputs = PackedMatrix::pack(&transposed(inputs, d_input), d_input, rows, Precision::F32);
    let mut total = vec![0.0; d_output * d_input];
    let mut one = total.clone();
    for (errors, scale) in losses {
        Product::new(&inputs).threads(Threads::All).run(transposed(errors, d_output).as_slice(), &mut one);
        total.iter_mut().zip(&one).for_each(|(total, one)| *total += scale * one);
    }
    total
}
