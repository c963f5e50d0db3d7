//! `config.json` → [`Architecture`], in the spellings of transformers 4 and 5.
//!
//! Version 5 writes `rope_parameters` (one object, or one per layer type) where version 4 wrote `rope_theta`,
//! `rope_scaling`, `rope_local_base_freq`, `rotary_pct` and `rotary_emb_base`. A field that the file leaves out
//! has the default of transformers' configuration class.

use crate::architecture::{ActivationFunction, Architecture, Family, LayerSpec, NormSpec, RotarySpec};
use crate::checkpoint::fields::Fields;
use crate::checkpoint::layout::{Bias, Layout};
use crate::checkpoint::rope::{RopeScaling, rotary};
use crate::checkpoint::validate;
use crate::error::ModelError;

/// What a `config.json` says.
pub(crate) struct Configuration {
    pub(crate) architecture: Architecture,
    pub(crate) layout: Layout,
}

impl Configuration {
    /// Understands the fields of a `config.json`.
    pub(crate) fn read(config: &Fields) -> Result<Self, ModelError> {
        let model_type =
            config.text("model_type")?.ok_or_else(|| config.error("model_type", "is missing"))?;
        let family = match model_type {
            "gpt2" => Family::Gpt2,
            "gpt_neox" => Family::GptNeox,
            "llama" => Family::Llama,
            "mistral" => Family::Mistral,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            "gemma2" => Family::Gemma2,
            "gemma3_text" | "gemma3" => Family::Gemma3,
            other => {
                return Err(ModelError::Unsupported {
                    path: config.path().to_owned(),
                    what: "model type",
                    name: other.to_owned(),
                    supported: "gpt2, gpt_neox, llama, mistral, qwen2, qwen3, gemma2, gemma3, gemma3_text"
                        .into(),
                });
            }
        };
        // A multimodal Gemma 3 keeps the decoder's fields in an object of their own.
        let text = config.object("text_config")?;
        let configuration = match family {
            Family::Gpt2 => super::families::gpt2(config),
            Family::GptNeox => super::families::gpt_neox(config),
            _ => super::families::llama_like(family, text.as_ref().unwrap_or(config)),
        }?;
        validate::architecture(config.path(), &configuration.architecture)?;
        Ok(configuration)
    }
}

/// The activation function under any of its names.
pub(super) fn activation(
    config: &Fields,
    field: &str,
    default: ActivationFunction,
) -> Result<ActivationFunction, ModelError> {
    let Some(name) = config.text(field)? else { return Ok(default) };
    match name {
        "gelu" => Ok(ActivationFunction::GeluErf),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(ActivationFunction::GeluTanh),
        "silu" | "swish" => Ok(ActivationFunction::Silu),
        "relu" => Ok(ActivationFunction::Relu),
        other => Err(ModelError::Unsupported {
            path: config.path().to_owned(),
            what: "activation function",
            name: other.to_owned(),
            supported: "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu, relu".into(),
        }),
    }
}

/// A norm's ε.
pub(super) fn epsilon(config: &Fields, field: &str, default: f32) -> Result<f32, ModelError> {
    Ok(config.number(field)?.unwrap_or(default))
}

/// The parts that hardly any family changes.
pub(super) fn plain(family: Family, norm: NormSpec, activation: ActivationFunction) -> Architecture {
    Architecture {
        family,
        d_model: 0,
        n_layers: 0,
        n_heads: 0,
        n_kv_heads: 0,
        d_head: 0,
        d_mlp: 0,
        vocab_size: 0,
        context_length: 0,
        norm,
        learned_positions: false,
        parallel_residual: false,
        post_norms: false,
        qk_norm: crate::architecture::QkNorm::None,
        mlp: crate::architecture::MlpSpec { gated: true, activation },
        attention_scale: 1.0,
        attention_softcap: None,
        final_softcap: None,
        embedding_scale: 1.0,
        tied_embeddings: false,
        layers: Vec::new(),
        rotaries: Vec::new(),
        dictionaries: Vec::new(),
    }
}

/// One kind of layer: global, or with a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerType {
    Full,
    Sliding,
}

/// The kind of every layer, as `layer_types` lists them, or else as `default` says.
pub(super) fn layer_types(
    config: &Fields,
    n_layers: usize,
    default: impl Fn(usize) -> LayerType,
) -> Result<Vec<LayerType>, ModelError> {
    let Some(listed) = config.get("layer_types") else { return Ok((0..n_layers).map(default).collect()) };
    let listed = listed.as_array().filter(|listed| listed.len() == n_layers);
    let listed = listed
        .ok_or_else(|| config.error("layer_types", &format!("is not a list of {n_layers} layer types")))?;
    let kind =
        |value: &serde_json::Value| match value.as_str() {
            Some("full_attention") => Ok(LayerType::Full),
            Some("sliding_attention") => Ok(LayerType::Sliding),
            _ => Err(config
                .error("layer_types", &format!("{value} is neither full_attention nor sliding_attention"))),
        };
    listed.iter().map(kind).collect()
}

/// Layer specifications for layers that share one rotary embedding.
pub(super) fn layers(types: &[LayerType], window: Option<usize>) -> Vec<LayerSpec> {
    let spec = |kind: &LayerType| LayerSpec {
        rotary: Some(0),
        sliding_window: window.filter(|_| *kind == LayerType::Sliding),
    };
    types.iter().map(spec).collect()
}

/// The rotary embedding that `config` describes for one kind of layer.
pub(super) fn rope(
    config: &Fields,
    kind: LayerType,
    d_head: usize,
    default_theta: f32,
) -> Result<RotarySpec, ModelError> {
    let nested = match kind {
        LayerType::Full => "full_attention",
        LayerType::Sliding => "sliding_attention",
    };
    let given = match config.object("rope_scaling")? {
        Some(scaling) => Some(scaling),
        None => config.object("rope_parameters")?,
    };
    let given = match given {
        Some(given) if given.mentions("full_attention") || given.mentions("sliding_attention") => {
            given.object(nested)?
        }
        other => other,
    };
    let empty = Fields::new(config.path(), serde_json::Map::new());
    let given = given.as_ref().unwrap_or(&empty);
    let outer_theta = match config.number("rope_theta")? {
        Some(theta) => Some(theta),
        None => config.number("rotary_emb_base")?,
    };
    let theta = given.number("rope_theta")?.or(outer_theta).unwrap_or(default_theta);
    if theta <= 0.0 {
        return Err(config.error("rope_theta", "must be above 0"));
    }
    let share = match given.number("partial_rotary_factor")? {
        Some(share) => share,
        None => match config.number("partial_rotary_factor")? {
            Some(share) => share,
            None => config
                .number("rotary_pct")?
                .unwrap_or(if config.text("model_type")? == Some("gpt_neox") { 0.25 } else { 1.0 }),
        },
    };
    if !(0.0..=1.0).contains(&share) {
        return Err(config.error("partial_rotary_factor", "must lie between 0 and 1"));
    }
    // A decimal such as 0.7 is a little less as f32; that must not cost a dimension.
    let dims = (d_head as f64 * f64::from(share) + 1e-4) as usize;
    Ok(rotary(dims, theta, &scaling(config, given)?))
}

/// The scaling of the frequencies that `rope_parameters` / `rope_scaling` describes.
fn scaling(config: &Fields, given: &Fields) -> Result<RopeScaling, ModelError> {
    let kind = match given.text("rope_type")? {
        Some(kind) => kind,
        None => given.text("type")?.unwrap_or("default"),
    };
    let positive = |field: &str| -> Result<f32, ModelError> {
        let value = given.number(field)?.ok_or_else(|| given.error(field, "is missing"))?;
        if value > 0.0 { Ok(value) } else { Err(given.error(field, "must be above 0")) }
    };
    let old_context = || -> Result<f32, ModelError> {
        let own = given.size("original_max_position_embeddings")?;
        let context = match own {
            Some(context) => context,
            None => config.required_size("max_position_embeddings")?,
        };
        Ok(context as f32)
    };
    Ok(match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: positive("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: positive("factor")?,
            low: positive("low_freq_factor")?,
            high: positive("high_freq_factor")?,
            old_context: old_context()?,
        },
        "yarn" if given.get("mscale").is_none() => RopeScaling::Yarn {
            factor: positive("factor")?,
            attention_factor: given.number("attention_factor")?,
            beta_fast: given.number("beta_fast")?.filter(|beta| *beta > 0.0).unwrap_or(32.0),
            beta_slow: given.number("beta_slow")?.filter(|beta| *beta > 0.0).unwrap_or(1.0),
            old_context: old_context()?,
            truncate: given.flag("truncate")?.unwrap_or(true),
        },
        other => {
            return Err(ModelError::Unsupported {
                path: config.path().to_owned(),
                what: "rope scaling",
                name: other.to_owned(),
                supported: "default, linear, llama3, yarn without mscale".into(),
            });
        }
    })
}

/// `Bias::Required` where the configuration says so.
pub(super) fn bias(present: bool) -> Bias {
    if present { Bias::Required } else { Bias::None }
}
