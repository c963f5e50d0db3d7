//! From a dictionary of a run file to its recipe, with the constants of its publication.

use anyhow::{Context, ensure};
use glossator_dictionary::training::{
    Annealing, Auxiliary, JumpRelu, Objective, Parameters, Penalty, Prefixes, Recipe, Schedule, WarmUp,
    geometric_median, initialise, kaiming,
};
use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::Adam;

use super::entry::{DictionaryEntry, Initialisation, PenaltyEntry, Variant};

/// The groups of Matryoshka dictionaries (Bussmann et al. 2025); the last takes what is left.
const GROUPS: [f64; 5] = [1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 17.0 / 32.0];
/// c of the tanh penalty (Anthropic, January 2025).
const STEEPNESS: f32 = 4.0;

/// What decides a recipe beside the entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Widths of what is read and of what is reconstructed.
    pub(super) widths: [usize; 2],
    pub(super) latents: usize,
    /// Of the targets, per value.
    pub(super) variance: f32,
    /// Steps of the run.
    pub(super) steps: u64,
    pub(super) precision: Precision,
}

/// The recipe of an entry.
pub(super) fn recipe(entry: &DictionaryEntry, setting: &Setting) -> anyhow::Result<Recipe> {
    let [_, width] = setting.widths;
    // Sums of squares, where the publication has them; means of squares in Bricken et al. 2023.
    let sum = 1.0 / width as f32;
    let target_variance = match entry.variant {
        Variant::TopK | Variant::MultiTopK | Variant::BatchTopK | Variant::Matryoshka => setting.variance,
        Variant::L1 => 1.0,
        Variant::L1ByNorm | Variant::PAnnealing | Variant::JumpRelu | Variant::Gated => sum,
    };
    let by_norm = entry.variant == Variant::L1ByNorm;
    let momentum = !matches!(entry.variant, Variant::JumpRelu | Variant::Gated);
    let selected = matches!(entry.variant, Variant::TopK | Variant::MultiTopK);
    Ok(Recipe {
        objective: objective(entry, setting)?,
        subtract_decoder_bias: !by_norm && !entry.transcodes(),
        unit_decoder: !by_norm,
        adam: Adam {
            beta1: entry.beta1.unwrap_or(if momentum { 0.9 } else { 0.0 }),
            beta2: entry.beta2,
            epsilon: if selected { 6.25e-10 } else { 1e-8 },
        },
        gradient_clip: entry.gradient_clip.or(by_norm.then_some(1.0)),
        target_variance,
        precision: setting.precision,
    })
}

fn objective(entry: &DictionaryEntry, setting: &Setting) -> anyhow::Result<Objective> {
    let (latents, name) = (setting.latents, &entry.name);
    let k = entry.k.unwrap_or(1);
    ensure!(k <= latents, "{name}: k is {k}, but there are {latents} latents");
    let coefficient = entry.l1.unwrap_or(0.0);
    let auxiliary = auxiliary(entry, setting);
    Ok(match entry.variant {
        Variant::TopK => Objective::TopK { k, auxiliary },
        Variant::MultiTopK => Objective::MultiTopK { k, auxiliary },
        Variant::BatchTopK => Objective::BatchTopK { k, auxiliary },
        Variant::Matryoshka => {
            let shares = entry.groups.as_deref().unwrap_or(&GROUPS);
            let prefixes = Prefixes::of_shares(latents, shares).with_context(|| {
                format!("{name}: {latents} latents do not divide into groups of {shares:?} (at most 16, none empty, together 1)")
            })?;
            Objective::Matryoshka { k, prefixes, auxiliary }
        }
        Variant::L1 => Objective::L1 { coefficient, by_decoder_norm: false },
        Variant::L1ByNorm => Objective::L1 { coefficient, by_decoder_norm: true },
        Variant::PAnnealing => {
            let start = entry.p_start.unwrap_or(setting.steps * 3 / 20);
            let moves = entry.p_moves.min(setting.steps.saturating_sub(start));
            Objective::PAnnealing(Annealing {
                coefficient,
                end: entry.p_end,
                moves,
                start,
                steps: setting.steps,
            })
        }
        Variant::JumpRelu => Objective::JumpRelu(JumpRelu {
            penalty: match entry.penalty {
                PenaltyEntry::Count => Penalty::Count,
                PenaltyEntry::Tanh => Penalty::Tanh { steepness: STEEPNESS },
                PenaltyEntry::Target => Penalty::Target { l0: entry.target_l0.unwrap_or(1.0) },
            },
            coefficient: entry.l0.unwrap_or(0.0),
            bandwidth: entry.bandwidth,
            pre_activation: entry.pre_activation,
        }),
        Variant::Gated => Objective::Gated { coefficient },
    })
}

fn auxiliary(entry: &DictionaryEntry, setting: &Setting) -> Option<Auxiliary> {
    let [_, width] = setting.widths;
    let largest_power = 1 << (width / 2).max(1).ilog2();
    let k = entry.auxiliary_k.unwrap_or(largest_power);
    let auxiliary = Auxiliary { k, coefficient: entry.auxiliary_coefficient, dead_after: entry.dead_after };
    (k > 0).then_some(auxiliary)
}

/// The learning rate of an entry without its schedule.
pub(super) fn learning_rate(entry: &DictionaryEntry, latents: usize) -> f64 {
    entry.learning_rate.unwrap_or(match entry.variant {
        Variant::JumpRelu => 7e-5,
        Variant::L1ByNorm => 5e-5,
        _ => 1e-4 * (32_768.0 / latents as f64).sqrt(),
    })
}

/// The schedule of an entry.
pub(super) fn schedule(entry: &DictionaryEntry, steps: u64) -> Schedule {
    let rise = match entry.variant {
        Variant::JumpRelu => WarmUp::Cosine,
        _ => WarmUp::Linear,
    };
    Schedule {
        steps,
        warm_up: entry.warm_up,
        rise: entry.warm_up_shape.unwrap_or(rise),
        decay: entry.decay.unwrap_or(steps / 5),
    }
}

/// The first weights, for targets `[rows, d_output]` like these.
pub(super) fn begin(entry: &DictionaryEntry, setting: &Setting, targets: &[f32]) -> Parameters {
    let [d_input, d_output] = setting.widths;
    let latents = setting.latents;
    let by_norm = entry.variant == Variant::L1ByNorm;
    // The recipe of April 2024 has no pre-bias, and its biases begin at 0.
    let bias = if by_norm { vec![0.0; d_output] } else { geometric_median(targets, d_output) };
    let usual =
        if entry.variant == Variant::L1 { Initialisation::Kaiming } else { Initialisation::Transpose };
    let initialisation = entry.initialisation.unwrap_or(usual);
    let mut parameters = match initialisation {
        Initialisation::Kaiming => kaiming(latents, d_input, bias, entry.seed),
        Initialisation::Transpose if !entry.transcodes() => initialise(latents, bias, entry.seed),
        Initialisation::Transpose => {
            let encoder = initialise(latents, vec![0.0; d_input], entry.seed).encoder.weights;
            let decoder = initialise(latents, bias.clone(), entry.seed ^ 1).decoder.weights;
            Parameters::new(encoder, vec![0.0; latents], decoder, bias)
        }
    };
    if by_norm {
        let norm = entry.decoder_norm.unwrap_or(0.1);
        let weights = &mut parameters.decoder.weights;
        weights.iter_mut().for_each(|weight| *weight *= norm);
        if initialisation == Initialisation::Transpose && !entry.transcodes() {
            parameters.encoder.weights.clone_from(weights);
        }
    }
    if entry.skip {
        parameters = parameters.with_skip();
    }
    match entry.variant {
        Variant::JumpRelu => parameters.with_thresholds(entry.threshold),
        Variant::Gated => parameters.with_gates(),
        _ => parameters,
    }
}
