//! A dictionary of a run file: what it reads, which variant it is, and how it is trained.

use anyhow::{bail, ensure};
use glossator_dictionary::training::WarmUp;
use serde::{Deserialize, Serialize};

/// One dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DictionaryEntry {
    /// The directory below `out`.
    pub(super) name: String,
    /// What is read.
    pub(super) hook: String,
    /// What is reconstructed, if it is another hook point (a transcoder).
    pub(super) target_hook: Option<String>,
    /// Whether the target also gets a linear map of what is read (a skip transcoder).
    #[serde(default)]
    pub(super) skip: bool,
    /// The head whose slice of the hook point is read and reconstructed.
    pub(super) head: Option<usize>,
    /// Latents per dimension that is read.
    pub(super) expansion: Option<usize>,
    /// Latents.
    pub(super) latents: Option<usize>,
    #[serde(default)]
    pub(super) variant: Variant,
    /// Of TopK, Multi-TopK, BatchTopK and Matryoshka.
    pub(super) k: Option<usize>,
    /// Of Matryoshka: the groups' shares of the latents [1/32, 1/16, 1/8, 1/4, the rest].
    pub(super) groups: Option<Vec<f64>>,
    /// λ of L1, p-annealing and gated dictionaries.
    pub(super) l1: Option<f32>,
    /// λ of JumpReLU.
    pub(super) l0: Option<f32>,
    /// What JumpReLU's activity costs.
    #[serde(default)]
    pub(super) penalty: PenaltyEntry,
    /// The active latents that JumpReLU's `target` penalty wants.
    pub(super) target_l0: Option<f32>,
    /// JumpReLU's ε.
    #[serde(default = "default_bandwidth")]
    pub(super) bandwidth: f32,
    /// JumpReLU's first thresholds.
    #[serde(default = "default_threshold")]
    pub(super) threshold: f32,
    /// JumpReLU's λ_P, which reaches latents that never fire.
    #[serde(default)]
    pub(super) pre_activation: f32,
    /// Steps over which the sparsity penalty rises from 0.
    #[serde(default)]
    pub(super) penalty_warm_up: u64,
    /// p-annealing: the last p.
    #[serde(default = "default_p_end")]
    pub(super) p_end: f64,
    /// p-annealing: moves from 1 to there.
    #[serde(default = "default_p_moves")]
    pub(super) p_moves: u64,
    /// p-annealing: steps before the first move [15 % of the run].
    pub(super) p_start: Option<u64>,
    /// Steps after which dead latents are resampled (`l1` only).
    #[serde(default)]
    pub(super) resample_at: Vec<u64>,
    /// A latent is resampled if it has not fired for so many steps [half of the first of `resample_at`].
    pub(super) resample_window: Option<u64>,
    /// Rows that the losses for resampling are computed on, as far as the buffer holds them.
    #[serde(default = "default_resample_rows")]
    pub(super) resample_rows: usize,
    /// Dead latents that take part in the auxiliary loss of a row; 0 for none [half of d, as a power of two].
    pub(super) auxiliary_k: Option<usize>,
    #[serde(default = "default_auxiliary_coefficient")]
    pub(super) auxiliary_coefficient: f32,
    /// A latent is dead after so many rows without firing.
    #[serde(default = "default_dead_after")]
    pub(super) dead_after: u64,
    #[serde(default)]
    pub(super) normalisation: NormalisationEntry,
    /// Where weights begin [as published for the variant].
    pub(super) initialisation: Option<Initialisation>,
    /// The norm of the first decoder rows of `l1_by_norm` [0.1]; others keep norm 1.
    pub(super) decoder_norm: Option<f32>,
    /// [10⁻⁴ · √(32768 / latents), as in OpenAI's code; 7·10⁻⁵ for JumpReLU; 5·10⁻⁵ for `l1_by_norm`]
    pub(super) learning_rate: Option<f64>,
    /// Steps over which the rate rises.
    #[serde(default)]
    pub(super) warm_up: u64,
    /// How it rises [`cosine` for JumpReLU, else `linear`].
    pub(super) warm_up_shape: Option<WarmUp>,
    /// Steps over which the rate falls at the end [a fifth].
    pub(super) decay: Option<u64>,
    /// Adam's β₁ [0 for JumpReLU and gated dictionaries, else 0.9].
    pub(super) beta1: Option<f64>,
    /// Adam's β₂.
    #[serde(default = "default_beta2")]
    pub(super) beta2: f64,
    /// The norm of all gradients at most [1 for `l1_by_norm`].
    pub(super) gradient_clip: Option<f32>,
    /// The dictionary is the average of the weights of all steps with this decay (0.999, say).
    pub(super) average: Option<f64>,
    /// Of the first weights.
    #[serde(default)]
    pub(super) seed: u64,
}

/// The published variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Variant {
    /// Gao et al. 2024.
    #[default]
    TopK,
    /// Gao et al. 2024, section 5.1.
    MultiTopK,
    /// Bussmann et al. 2024.
    BatchTopK,
    /// Bussmann et al. 2025.
    Matryoshka,
    /// Bricken et al. 2023.
    L1,
    /// Anthropic's update of April 2024: the penalty counts decoder norms, which are free.
    L1ByNorm,
    /// Karvonen et al. 2024.
    PAnnealing,
    /// Rajamanoharan et al. 2024, arXiv 2407.14435.
    JumpRelu,
    /// Rajamanoharan et al. 2024, arXiv 2404.16014.
    Gated,
}

/// What JumpReLU's activity costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PenaltyEntry {
    /// λ for each active latent.
    #[default]
    Count,
    /// λ tanh(4 f ‖d‖) for each.
    Tanh,
    /// λ (L0 / target − 1)².
    Target,
}

/// How rows are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NormalisationEntry {
    /// As they are.
    None,
    /// By one number, so that the mean squared norm is d.
    #[default]
    Scale,
    /// By one number, so that the mean squared norm is 1.
    Unit,
    /// Each row centred and divided by its standard deviation.
    LayerNorm,
}

/// Where weights begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Initialisation {
    /// Random decoder rows, and the encoder their transpose (not for transcoders, whose encoder rows are random too).
    Transpose,
    /// Encoder and decoder as PyTorch's linear layers begin, decoder rows scaled to their norm.
    Kaiming,
}

impl Variant {
    /// Whether k latents are kept.
    fn takes_k(self) -> bool {
        matches!(self, Self::TopK | Self::MultiTopK | Self::BatchTopK | Self::Matryoshka)
    }
}

impl DictionaryEntry {
    /// Whether it reconstructs something else than what it reads.
    pub(super) fn transcodes(&self) -> bool {
        self.target_hook.as_ref().is_some_and(|target| *target != self.hook)
    }

    /// Refuses keys that contradict each other.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let name = &self.name;
        ensure!(
            !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']),
            "`{name}` cannot name a directory"
        );
        ensure!(
            self.latents.is_some() != self.expansion.is_some(),
            "{name}: give either latents or expansion"
        );
        ensure!(self.latents != Some(0) && self.expansion != Some(0), "{name}: there are no latents");
        ensure!(self.k != Some(0), "{name}: k must be at least 1");
        self.check_variant()?;
        ensure!(!self.skip || self.transcodes(), "{name}: skip is for transcoders: give a target_hook");
        if self.transcodes() {
            ensure!(
                self.normalisation != NormalisationEntry::LayerNorm,
                "{name}: a transcoder's target cannot be normalised row by row"
            );
        }
        ensure!(
            self.average.is_none_or(|decay| decay > 0.0 && decay < 1.0),
            "{name}: average must lie between 0 and 1"
        );
        let positive = |value: Option<f32>| value.is_none_or(|value| value > 0.0 && value.is_finite());
        ensure!(positive(self.decoder_norm), "{name}: decoder_norm must be above 0");
        ensure!(
            self.decoder_norm.is_none() || self.variant == Variant::L1ByNorm,
            "{name}: decoder_norm is for l1_by_norm, as other variants keep norm 1"
        );
        ensure!(positive(self.gradient_clip), "{name}: gradient_clip must be above 0");
        Ok(())
    }

    fn check_variant(&self) -> anyhow::Result<()> {
        let (name, variant) = (&self.name, self.variant);
        let only = |given: bool, key: &str, wanted: bool| {
            ensure!(
                given == wanted,
                "{name}: this variant {} {key}",
                if wanted { "needs" } else { "has no" }
            );
            Ok(())
        };
        only(self.k.is_some(), "k", variant.takes_k())?;
        only(self.l0.is_some(), "l0", variant == Variant::JumpRelu)?;
        only(self.l1.is_some(), "l1", !variant.takes_k() && variant != Variant::JumpRelu)?;
        if self.groups.is_some() && variant != Variant::Matryoshka {
            bail!("{name}: groups are for matryoshka");
        }
        if !self.resample_at.is_empty() {
            ensure!(variant == Variant::L1, "{name}: resample_at is for the variant l1");
            ensure!(
                self.resample_at.windows(2).all(|pair| pair[0] < pair[1]) && self.resample_at[0] > 0,
                "{name}: resample_at must be rising steps"
            );
        }
        if variant == Variant::JumpRelu {
            let target = self.penalty == PenaltyEntry::Target;
            only(self.target_l0.is_some(), "target_l0 (penalty = \"target\")", target)?;
            ensure!(
                self.bandwidth > 0.0 && self.threshold > 0.0 && self.target_l0.is_none_or(|l0| l0 > 0.0),
                "{name}: bandwidth, threshold and target_l0 must be above 0"
            );
        }
        ensure!(
            (0.0..1.0).contains(&self.beta1.unwrap_or(0.9)) && (0.0..1.0).contains(&self.beta2),
            "{name}: beta1 and beta2 must lie between 0 and 1"
        );
        ensure!(self.p_end > 0.0 && self.p_end <= 1.0, "{name}: p_end must lie between 0 and 1");
        Ok(())
    }
}

fn default_bandwidth() -> f32 {
    0.001
}

fn default_threshold() -> f32 {
    0.001
}

fn default_p_end() -> f64 {
    0.2
}

fn default_p_moves() -> u64 {
    10
}

fn default_resample_rows() -> usize {
    819_200
}

fn default_auxiliary_coefficient() -> f32 {
    1.0 / 32.0
}

fn default_dead_after() -> u64 {
    10_000_000
}

fn default_beta2() -> f64 {
    0.999
}
