//! The training loss of every variant with its gradients, in plain f64 code: what faster code is tested against.
//!
//! | variant | file | source |
//! |---|---|---|
//! | ReLU + L1, unit decoder | [`relu_l1`] | Bricken et al. 2023, "Towards Monosemanticity" |
//! | ReLU + L1 by decoder norm | [`decoder_norm_l1`] | Anthropic, update of April 2024 |
//! | TopK, AuxK, Multi-TopK | [`top_k`] | Gao et al. 2024 |
//! | BatchTopK | [`batch_top_k`] | Bussmann et al. 2024 |
//! | JumpReLU | [`jump_relu`] | Rajamanoharan et al. 2024, arXiv 2407.14435 |
//! | Gated | [`gated`] | Rajamanoharan et al. 2024, arXiv 2404.16014 |
//! | Matryoshka BatchTopK | [`matryoshka`] | Bussmann et al. 2025 |
//! | p-annealing | [`p_annealing`] | Karvonen et al. 2024 |
//!
//! A transcoder is any of these with other targets than inputs, and a skip transcoder has a skip connection besides:
//! both are in [`Parameters`] and [`Batch`], so every loss here is also a transcoder's.
//!
//! Notation: u `[d_input]` input, y `[d_output]` target, z = E (u − s b_d) + b_e, f latents, ŷ = Dᵀ f + b_d + S u,
//! e = ŷ − y, B rows in a batch.

pub mod auxiliary;
pub mod batch_top_k;
pub mod decoder_norm_l1;
pub mod gated;
pub mod jump_relu;
mod linear;
pub mod matryoshka;
pub mod p_annealing;
pub mod relu_l1;
pub mod top_k;

/// What is trained; a gradient has the same shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// Width of inputs.
    pub d_input: usize,
    /// Width of targets.
    pub d_output: usize,
    /// Number of latents.
    pub latents: usize,
    /// s: whether the decoder bias is subtracted from inputs.
    pub subtract_decoder_bias: bool,
    /// E `[latents, d_input]`.
    pub encoder: Vec<f64>,
    /// b_e `[latents]`; the gate's bias in gated dictionaries.
    pub encoder_bias: Vec<f64>,
    /// D `[latents, d_output]`.
    pub decoder: Vec<f64>,
    /// b_d `[d_output]`.
    pub decoder_bias: Vec<f64>,
    /// S `[d_output, d_input]`, or empty.
    pub skip: Vec<f64>,
    /// t `[latents]`, JumpReLU only: thresholds are eᵗ.
    pub log_threshold: Vec<f64>,
    /// r `[latents]`, gated only.
    pub log_magnitude_scale: Vec<f64>,
    /// b_mag `[latents]`, gated only.
    pub magnitude_bias: Vec<f64>,
}

/// Rows that a loss is computed on.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[rows, d_input]`.
    pub inputs: &'a [f64],
    /// `[rows, d_output]`; the inputs themselves for autoencoders.
    pub targets: &'a [f64],
}

/// A loss and its parts, coefficients included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// How far reconstructions are from targets.
    pub reconstruction: f64,
    /// What activity costs.
    pub sparsity: f64,
    /// What revives dead latents or trains a gate.
    pub auxiliary: f64,
}

impl Loss {
    /// The sum that is minimised.
    pub fn total(self) -> f64 {
        self.reconstruction + self.sparsity + self.auxiliary
    }
}

impl Parameters {
    /// Zeros of the same shape.
    #[must_use]
    pub fn zeros(&self) -> Self {
        let mut zeros = self.clone();
        zeros.tensors_mut().into_iter().for_each(|(_, values)| values.fill(0.0));
        zeros
    }

    /// Every tensor with its name.
    pub fn tensors_mut(&mut self) -> [(&'static str, &mut Vec<f64>); 8] {
        [
            ("encoder", &mut self.encoder),
            ("encoder_bias", &mut self.encoder_bias),
            ("decoder", &mut self.decoder),
            ("decoder_bias", &mut self.decoder_bias),
            ("skip", &mut self.skip),
            ("log_threshold", &mut self.log_threshold),
            ("log_magnitude_scale", &mut self.log_magnitude_scale),
            ("magnitude_bias", &mut self.magnitude_bias),
        ]
    }

    /// ‖D_i‖ of every latent.
    pub fn decoder_norms(&self) -> Vec<f64> {
        let norm = |row: &[f64]| row.iter().map(|value| value * value).sum::<f64>().sqrt();
        self.decoder.chunks_exact(self.d_output).map(norm).collect()
    }
}

impl Batch<'_> {
    /// B.
    fn rows(&self, parameters: &Parameters) -> usize {
        self.inputs.len() / parameters.d_input
    }

    /// Σ ‖y − ȳ‖², ȳ the mean target: what predicting the mean costs.
    fn total_variance(&self, parameters: &Parameters) -> f64 {
        total_variance(self.targets, parameters.d_output)
    }
}

/// Σ over rows of ‖row − mean row‖².
fn total_variance(rows: &[f64], width: usize) -> f64 {
    let count = (rows.len() / width) as f64;
    let column = |column: usize| rows.iter().skip(column).step_by(width);
    (0..width)
        .map(|i| {
            let mean = column(i).sum::<f64>() / count;
            column(i).map(|value| (value - mean).powi(2)).sum::<f64>()
        })
        .sum()
}

/// Keeps the `count` largest positive values of `pre`, the first among equals, and zeros the rest.
fn keep_largest(pre: &[f64], count: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..pre.len()).collect();
    order.sort_by(|&a, &b| pre[b].total_cmp(&pre[a]).then(a.cmp(&b)));
    let mut kept = vec![0.0; pre.len()];
    for index in order.into_iter().take(count) {
        kept[index] = pre[index].max(0.0);
    }
    kept
}
