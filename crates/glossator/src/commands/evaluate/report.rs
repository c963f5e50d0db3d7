//! The result of an evaluation as it is printed as JSON.

use std::collections::BTreeMap;

use glossator_dictionary::evaluation::Evaluation;
use serde::Serialize;

/// Everything that was measured, and on what. What is undefined is null.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    /// Of the model's products.
    pub(super) precision: String,
    /// The fingerprint of the windows.
    pub(super) corpus: String,
    /// Window length in tokens.
    pub(super) context: usize,
    pub(super) calibration_tokens: usize,
    pub(super) evaluated_tokens: usize,
    /// Of the evaluated tokens: those whose predictions were compared.
    pub(super) loss_tokens: usize,
    /// Which positions count.
    pub(super) positions: String,
    /// What latents were probed for.
    pub(super) label_field: Option<String>,
    /// What each metric is.
    pub(super) definitions: BTreeMap<&'static str, &'static str>,
    /// The dictionaries in the order given, then the baselines.
    pub(super) evaluations: Vec<Evaluation>,
}

/// The definitions that are printed; E is the mean over the positions that count.
const DEFINITIONS: [(&str, &str); 25] = [
    ("l0", "mean number of latents that are not zero"),
    ("l1", "mean of Σ|fᵢ|, in the units of the dictionary's own latents"),
    ("mean_squared_error", "E‖x − x̂‖² / d"),
    ("explained_variance", "1 − E‖x − x̂‖² / (E‖x‖² − ‖E x‖²)"),
    ("cosine", "E cos(x, x̂)"),
    ("relative_reconstruction_bias", "E‖x̂‖² / E[x · x̂]"),
    ("shrinkage", "E‖x̂‖ / E‖x‖"),
    ("dead", "latents that are zero at every position"),
    ("ultra_low_density", "latents that fire at less than one position in 10⁶; undefined on fewer positions"),
    ("rare", "latents that fire at less than one position in 10⁴; undefined on fewer positions"),
    ("dense", "latents that fire at more than one position in 100"),
    ("encoder_decoder_cosine", "mean of cos(eᵢ, dᵢ) over latents"),
    ("cross_entropy", "mean next-token cross-entropy, nats"),
    ("divergence", "mean KL(p ‖ p′) of the clean model's distribution p to the changed model's p′, nats"),
    ("loss_recovered_zero", "(L_zero − L_spliced) / (L_zero − L_clean); undefined unless L_zero > L_clean"),
    ("loss_recovered_mean", "(L_mean − L_spliced) / (L_mean − L_clean); undefined unless L_mean > L_clean"),
    ("divergence_recovered_zero", "(D_zero − D_spliced) / D_zero"),
    ("divergence_recovered_mean", "(D_mean − D_spliced) / D_mean"),
    (
        "absorption.absorbed",
        "share of the test words of a letter that its linear probe finds, where the letter's main latents are zero and one \
         other latent carries at least 0.4 of the projection on the probe's direction; mean over letters",
    ),
    (
        "effective_share",
        "(Σ|Δ|)² / (Σ Δ²) / (T · V), Δ the change of the logits less its median at each of T = 16 positions when one active \
         latent is zeroed at the first",
    ),
    ("explanations.precision", "P(a > 0 | s > 0) of predicted s and true a, mean over explained latents"),
    ("explanations.recall", "P(s > 0 | a > 0), mean over explained latents"),
    (
        "explanations.loss",
        "with x̂ decoded from s · E[s a] / E[s²] where a latent is explained, and from a where it is not",
    ),
    (
        "probes.loss",
        "test cross-entropy, nats, of the logistic probe on the one latent that is best on training documents, averaged \
         over labels; chance is ln 2 = 0.693",
    ),
    (
        "probes.accuracy",
        "test accuracy of a logistic probe on the 1, 2 and 5 latents whose class means differ most, averaged over labels; \
         chance is 0.5",
    ),
];

pub(super) fn definitions() -> BTreeMap<&'static str, &'static str> {
    DEFINITIONS.into_iter().collect()
}
