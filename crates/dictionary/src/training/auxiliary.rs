//! The auxiliary loss of dead latents (Gao et al. 2024, appendix A.2): see [`super::Auxiliary`].
//!
//! Its cost grows with the number of dead latents up to `k` of them, and then only by the product that selects among
//! them.

use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::Selection;

use super::encode::{Code, Coding};
use super::gradients::column_sums;
use super::objective::Auxiliary;
use super::parameters::Parameters;

/// The dead latents' code of what a reconstruction misses.
#[derive(Debug, Default)]
pub(super) struct AuxiliaryPass {
    selection: Selection,
    /// Its errors are ê − (y − x̂).
    pub(super) code: Code,
    /// The factor from errors to gradients.
    pub(super) gradient_scale: f32,
    /// The loss, α included.
    pub(super) loss: f64,
}

impl AuxiliaryPass {
    /// Encodes `inputs` by the latents `dead` to explain −`errors` (both `[rows, width]`). False if the loss is
    /// undefined, as nothing is missing.
    pub(super) fn run(
        &mut self,
        auxiliary: Auxiliary,
        parameters: &Parameters,
        dead: &[u32],
        inputs: &[f32],
        errors: &[f32],
        precision: Precision,
    ) -> bool {
        let d_output = parameters.d_output;
        let values = errors.len() as f64;
        let variance = variance(errors, d_output);
        if variance <= 0.0 {
            return false;
        }
        let coding =
            Coding { parameters, inputs, chosen: Some(dead), k: auxiliary.k.min(dead.len()), precision };
        coding.select(&mut self.selection, &mut self.code);
        coding.decode(&mut self.code, |row, start| {
            start.copy_from_slice(&errors[row * d_output..][..d_output]);
        });
        let coefficient = f64::from(auxiliary.coefficient);
        self.loss = coefficient * self.code.squared_error() / values / variance;
        self.gradient_scale = (coefficient * 2.0 / values / variance) as f32;
        true
    }
}

/// The mean over rows and columns of the squared distance to the mean row.
pub(super) fn variance(rows: &[f32], width: usize) -> f64 {
    let count = (rows.len() / width) as f64;
    let (sums, squares) = column_sums(rows, width);
    let means: f64 = sums.iter().map(|sum| sum * sum / count).sum();
    (squares - means) / rows.len() as f64
}
