//! The fields of each family's `config.json`, with the defaults of transformers' configuration classes.

use super::config::{Configuration, LayerType, activation, bias, epsilon, layer_types, layers, plain, rope};
use crate::architecture::{
    ActivationFunction, Architecture, Family, LayerSpec, MlpSpec, NormKind, NormSpec, QkNorm, RotarySpec,
};
use crate::checkpoint::fields::Fields;
use crate::checkpoint::layout::{Bias, Layout};
use crate::checkpoint::names::Names;
use crate::checkpoint::validate;
use crate::error::ModelError;

/// GPT-2: learned positions, layer norms, one GELU matrix, transposed and fused weights.
pub(super) fn gpt2(config: &Fields) -> Result<Configuration, ModelError> {
    if config.flag("scale_attn_by_inverse_layer_idx")? == Some(true) {
        return Err(config.error("scale_attn_by_inverse_layer_idx", "true is not supported"));
    }
    let norm = NormSpec {
        kind: NormKind::LayerNorm,
        epsilon: epsilon(config, "layer_norm_epsilon", 1e-5)?,
        unit_offset: false,
    };
    let d_model = config.required_size("n_embd")?;
    let n_heads = config.required_size("n_head")?;
    let n_layers = validate::layer_count(config.path(), "n_layer", config.required_size("n_layer")?)?;
    let d_head = validate::head_width(config.path(), d_model, n_heads)?;
    let act = activation(config, "activation_function", ActivationFunction::GeluTanh)?;
    let scaled = config.flag("scale_attn_weights")?.unwrap_or(true);
    let context = match config.size("n_positions")? {
        Some(context) => context,
        None => config.required_size("n_ctx")?,
    };
    let full = vec![LayerSpec { rotary: None, sliding_window: None }; n_layers];
    let architecture = Architecture {
        d_model,
        n_layers,
        n_heads,
        n_kv_heads: n_heads,
        d_head,
        d_mlp: config.size("n_inner")?.unwrap_or(d_model.saturating_mul(4)),
        vocab_size: config.required_size("vocab_size")?,
        context_length: context,
        learned_positions: true,
        mlp: MlpSpec { gated: false, activation: act },
        attention_scale: if scaled { inverse_root(d_head as f32) } else { 1.0 },
        tied_embeddings: config.flag("tie_word_embeddings")?.unwrap_or(true),
        layers: full,
        ..plain(Family::Gpt2, norm, act)
    };
    let layout = Layout {
        names: Names::huggingface(Family::Gpt2),
        qkv_bias: Bias::Required,
        o_bias: Bias::Required,
        mlp_bias: Bias::Required,
        transposed: true,
        interleaved_rotary: false,
    };
    Ok(Configuration { architecture, layout })
}

/// GPT-NeoX: partial rotary embedding, parallel or sequential residual, per-head fused q, k, v.
pub(super) fn gpt_neox(config: &Fields) -> Result<Configuration, ModelError> {
    let norm = NormSpec {
        kind: NormKind::LayerNorm,
        epsilon: epsilon(config, "layer_norm_eps", 1e-5)?,
        unit_offset: false,
    };
    let d_model = config.required_size("hidden_size")?;
    let n_heads = config.required_size("num_attention_heads")?;
    let n_layers = validate::layer_count(
        config.path(),
        "num_hidden_layers",
        config.required_size("num_hidden_layers")?,
    )?;
    let d_head = validate::head_width(config.path(), d_model, n_heads)?;
    let act = activation(config, "hidden_act", ActivationFunction::GeluErf)?;
    let architecture = Architecture {
        d_model,
        n_layers,
        n_heads,
        n_kv_heads: n_heads,
        d_head,
        d_mlp: config.required_size("intermediate_size")?,
        vocab_size: config.required_size("vocab_size")?,
        context_length: config.size("max_position_embeddings")?.unwrap_or(2048),
        parallel_residual: config.flag("use_parallel_residual")?.unwrap_or(true),
        mlp: MlpSpec { gated: false, activation: act },
        attention_scale: inverse_root(d_head as f32),
        tied_embeddings: config.flag("tie_word_embeddings")?.unwrap_or(false),
        layers: layers(&vec![LayerType::Full; n_layers], None),
        rotaries: vec![rope(config, LayerType::Full, d_head, 10_000.0)?],
        ..plain(Family::GptNeox, norm, act)
    };
    let attention_bias = bias(config.flag("attention_bias")?.unwrap_or(true));
    let layout = Layout {
        names: Names::huggingface(Family::GptNeox),
        qkv_bias: attention_bias,
        o_bias: attention_bias,
        mlp_bias: Bias::Required,
        transposed: false,
        interleaved_rotary: false,
    };
    Ok(Configuration { architecture, layout })
}

/// What Llama, Mistral, Qwen and Gemma share: root-mean-square norms, rotary embedding, grouped queries, a
/// gated MLP.
pub(super) fn llama_like(family: Family, config: &Fields) -> Result<Configuration, ModelError> {
    let gemma = matches!(family, Family::Gemma2 | Family::Gemma3);
    let norm =
        NormSpec { kind: NormKind::Rms, epsilon: epsilon(config, "rms_norm_eps", 1e-6)?, unit_offset: gemma };
    let d_model = config.required_size("hidden_size")?;
    let n_heads = config.size("num_attention_heads")?.unwrap_or(if gemma { 8 } else { 32 });
    let n_layers = config.size("num_hidden_layers")?.unwrap_or(if gemma { 26 } else { 32 });
    let n_layers = validate::layer_count(config.path(), "num_hidden_layers", n_layers)?;
    let d_head = match (config.size("head_dim")?, family) {
        (Some(width), _) => width,
        (None, Family::Qwen3) => 128,
        (None, Family::Gemma2 | Family::Gemma3) => 256,
        (None, _) => validate::head_width(config.path(), d_model, n_heads)?,
    };
    let (act_field, act_default) = if gemma {
        ("hidden_activation", ActivationFunction::GeluTanh)
    } else {
        ("hidden_act", ActivationFunction::Silu)
    };
    let act = activation(config, act_field, act_default)?;
    let query_scalar =
        if gemma { config.number("query_pre_attn_scalar")?.unwrap_or(256.0) } else { d_head as f32 };
    let architecture = Architecture {
        d_model,
        n_layers,
        n_heads,
        n_kv_heads: config.size("num_key_value_heads")?.unwrap_or(match family {
            Family::Mistral => 8,
            Family::Gemma2 | Family::Gemma3 => 4,
            _ => n_heads,
        }),
        d_head,
        d_mlp: config.required_size("intermediate_size")?,
        vocab_size: vocabulary(family, config)?,
        context_length: context(family, config)?,
        post_norms: gemma,
        qk_norm: match family {
            Family::Qwen3 | Family::Gemma3 => QkNorm::PerHead,
            _ => QkNorm::None,
        },
        mlp: MlpSpec { gated: true, activation: act },
        attention_scale: inverse_root(query_scalar),
        attention_softcap: softcap(family, config, "attn_logit_softcapping", 50.0)?,
        final_softcap: softcap(family, config, "final_logit_softcapping", 30.0)?,
        // transformers rounds √d to the number type of the weights; here the weights compute as f32.
        embedding_scale: if gemma { (d_model as f64).sqrt() as f32 } else { 1.0 },
        tied_embeddings: config.flag("tie_word_embeddings")?.unwrap_or(gemma),
        ..plain(family, norm, act)
    };
    let (layers, rotaries) = positions(&architecture, config)?;
    let architecture = Architecture { layers, rotaries, ..architecture };
    let attention_bias = config.flag("attention_bias")?.unwrap_or(false);
    let layout = Layout {
        names: Names::huggingface(family),
        // Qwen 2 has these biases without saying so, and none on the output.
        qkv_bias: bias(family == Family::Qwen2 || (family != Family::Mistral && attention_bias)),
        o_bias: bias(!matches!(family, Family::Qwen2 | Family::Mistral) && attention_bias),
        mlp_bias: bias(family == Family::Llama && config.flag("mlp_bias")?.unwrap_or(false)),
        transposed: false,
        interleaved_rotary: false,
    };
    Ok(Configuration { architecture, layout })
}

/// Sliding windows and rotary embeddings, in which the families differ most.
fn positions(
    architecture: &Architecture,
    config: &Fields,
) -> Result<(Vec<LayerSpec>, Vec<RotarySpec>), ModelError> {
    let &Architecture { family, n_layers, d_head, .. } = architecture;
    let every = |period: usize| {
        move |layer: usize| {
            if (layer + 1).is_multiple_of(period) { LayerType::Full } else { LayerType::Sliding }
        }
    };
    let (types, window) = match family {
        Family::Gemma2 => {
            (layer_types(config, n_layers, every(2))?, Some(config.size("sliding_window")?.unwrap_or(4096)))
        }
        Family::Gemma3 => {
            let period = config.size("sliding_window_pattern")?.unwrap_or(6).max(1);
            (
                layer_types(config, n_layers, every(period))?,
                Some(config.size("sliding_window")?.unwrap_or(4096)),
            )
        }
        Family::Mistral => {
            let default = if config.mentions("sliding_window") { None } else { Some(4096) };
            (vec![LayerType::Sliding; n_layers], config.size("sliding_window")?.or(default))
        }
        Family::Qwen2 | Family::Qwen3 if config.flag("use_sliding_window")? == Some(true) => {
            let first = config.size("max_window_layers")?.unwrap_or(28);
            let default = |layer| if layer >= first { LayerType::Sliding } else { LayerType::Full };
            (layer_types(config, n_layers, default)?, Some(config.size("sliding_window")?.unwrap_or(4096)))
        }
        _ => (vec![LayerType::Full; n_layers], None),
    };
    let mut specs = layers(&types, window);
    let mut rotaries =
        vec![rope(config, LayerType::Full, d_head, if family == Family::Gemma3 { 1e6 } else { 1e4 })?];
    if family == Family::Gemma3 {
        rotaries.push(local_rope(config, d_head)?);
        for (spec, kind) in specs.iter_mut().zip(&types) {
            spec.rotary = Some(usize::from(*kind == LayerType::Sliding));
        }
    }
    Ok((specs, rotaries))
}

/// The rotary embedding of Gemma 3's sliding layers, which the older spelling never scales.
fn local_rope(config: &Fields, d_head: usize) -> Result<RotarySpec, ModelError> {
    let nested = match config.object("rope_parameters")? {
        Some(parameters) => parameters.object("sliding_attention")?,
        None => None,
    };
    let local = config.number("rope_local_base_freq")?.unwrap_or(1e4);
    let mut map = serde_json::Map::new();
    map.insert("rope_theta".into(), local.into());
    if let Some(nested) = nested {
        map.insert("rope_parameters".into(), nested.into_value());
    }
    if let Some(context) = config.get("max_position_embeddings") {
        map.insert("max_position_embeddings".into(), context.clone());
    }
    rope(&Fields::new(config.path(), map), LayerType::Sliding, d_head, local)
}

fn softcap(family: Family, config: &Fields, field: &str, gemma2: f32) -> Result<Option<f32>, ModelError> {
    let default = if family == Family::Gemma2 && !config.mentions(field) { Some(gemma2) } else { None };
    match family {
        Family::Gemma2 | Family::Gemma3 => Ok(config.number(field)?.or(default)),
        _ => Ok(None),
    }
}

fn vocabulary(family: Family, config: &Fields) -> Result<usize, ModelError> {
    match (config.size("vocab_size")?, family) {
        (Some(size), _) => Ok(size),
        (None, Family::Gemma3) => Ok(262_208),
        (None, Family::Gemma2) => Ok(256_000),
        (None, _) => config.required_size("vocab_size"),
    }
}

fn context(family: Family, config: &Fields) -> Result<usize, ModelError> {
    Ok(config.size("max_position_embeddings")?.unwrap_or(match family {
        Family::Gemma3 | Family::Mistral => 131_072,
        Family::Gemma2 => 8192,
        Family::Qwen2 | Family::Qwen3 => 32_768,
        _ => 2048,
    }))
}

/// `1/√x`, rounded once.
fn inverse_root(x: f32) -> f32 {
    f64::from(x).powf(-0.5) as f32
}
