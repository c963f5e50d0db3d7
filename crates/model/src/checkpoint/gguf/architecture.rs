//! GGUF metadata → [`Architecture`].
//!
//! Keys begin with the architecture's name (`llama.block_count`). What GGUF does not store, because llama.cpp knows
//! it by heart, is written down here per family: the activation function, Gemma's embedding scale and layer pattern.

use std::path::Path;

use serde_json::{Map, Number};

use super::{Metadata, Value};
use crate::architecture::{
    ActivationFunction, Architecture, Family, LayerSpec, MlpSpec, NormKind, NormSpec, QkNorm, RotarySpec,
};
use crate::checkpoint::fields::Fields;
use crate::checkpoint::layout::{Bias, Layout};
use crate::checkpoint::names::Names;
use crate::checkpoint::rope::{RopeScaling, rotary};
use crate::checkpoint::source::TensorSource;
use crate::checkpoint::validate;
use crate::error::ModelError;

/// Understands the metadata of a GGUF file. Some facts (vocabulary, tied embeddings) are in the tensors.
pub(crate) fn configuration(
    path: &Path,
    metadata: &Metadata,
    tensors: &dyn TensorSource,
) -> Result<(Architecture, Layout), ModelError> {
    let Some(Value::Text(name)) = metadata.get("general.architecture") else {
        let message = "is missing: this is not a GGUF file of a model".to_owned();
        let field = "general.architecture".to_owned();
        return Err(ModelError::Config { path: path.to_owned(), field, message });
    };
    let family = family(path, name)?;
    let fields = fields_of(path, metadata, name);
    let architecture = decoder(family, &fields, tensors)?;
    validate::architecture(path, &architecture)?;
    let layout = Layout {
        names: Names::gguf(family),
        qkv_bias: Bias::AsStored,
        o_bias: Bias::AsStored,
        mlp_bias: Bias::AsStored,
        transposed: false,
        interleaved_rotary: family == Family::Llama,
    };
    Ok((architecture, layout))
}

fn family(path: &Path, name: &str) -> Result<Family, ModelError> {
    match name {
        "gpt2" => Ok(Family::Gpt2),
        "gptneox" => Ok(Family::GptNeox),
        "llama" => Ok(Family::Llama),
        "qwen2" => Ok(Family::Qwen2),
        "qwen3" => Ok(Family::Qwen3),
        "gemma2" => Ok(Family::Gemma2),
        "gemma3" => Ok(Family::Gemma3),
        other => Err(ModelError::Unsupported {
            path: path.to_owned(),
            what: "architecture",
            name: other.to_owned(),
            supported: "gpt2, gptneox, llama, qwen2, qwen3, gemma2, gemma3".into(),
        }),
    }
}

/// The numbers and texts under `name.` as fields, so that reading them names file and field in errors.
fn fields_of(path: &Path, metadata: &Metadata, name: &str) -> Fields {
    let mut map = Map::new();
    for (key, value) in metadata {
        let Some(key) = key.strip_prefix(name).and_then(|key| key.strip_prefix('.')) else { continue };
        let value = match value {
            Value::Integer(number) => Some((*number).into()),
            Value::Float(number) => Number::from_f64(*number).map(serde_json::Value::Number),
            Value::Bool(flag) => Some((*flag).into()),
            Value::Text(text) => Some(text.clone().into()),
            // One number per layer: understood where all layers agree.
            Value::Integers(numbers) => numbers
                .first()
                .filter(|first| numbers.iter().all(|n| n == *first))
                .map(|first| (*first).into()),
            Value::Floats(_) | Value::Bools(_) | Value::Texts(_) => None,
        };
        map.insert(key.to_owned(), value.unwrap_or_else(|| "a list of differing values".into()));
    }
    Fields::new(path, map)
}

fn decoder(family: Family, fields: &Fields, tensors: &dyn TensorSource) -> Result<Architecture, ModelError> {
    let d_model = fields.required_size("embedding_length")?;
    let n_heads = fields.required_size("attention.head_count")?;
    let n_layers = validate::layer_count(fields.path(), "block_count", fields.required_size("block_count")?)?;
    let d_head = match fields.size("attention.key_length")? {
        Some(width) => width,
        None => validate::head_width(fields.path(), d_model, n_heads)?,
    };
    if let Some(width) = fields.size("attention.value_length")?.filter(|width| *width != d_head) {
        return Err(
            fields.error("attention.value_length", &format!("{width} differs from the key length {d_head}"))
        );
    }
    let gemma = matches!(family, Family::Gemma2 | Family::Gemma3);
    let (kind, epsilon_field) = match family {
        Family::Gpt2 | Family::GptNeox => (NormKind::LayerNorm, "attention.layer_norm_epsilon"),
        _ => (NormKind::Rms, "attention.layer_norm_rms_epsilon"),
    };
    let epsilon = fields.number(epsilon_field)?.ok_or_else(|| fields.error(epsilon_field, "is missing"))?;
    let softcap = |field: &str, default: f32| -> Result<Option<f32>, ModelError> {
        Ok(fields
            .number(field)?
            .or((family == Family::Gemma2).then_some(default))
            .filter(|cap| gemma && *cap > 0.0))
    };
    let (layers, rotaries) = layers(family, fields, tensors, n_layers, d_head)?;
    Ok(Architecture {
        family,
        d_model,
        n_layers,
        n_heads,
        n_kv_heads: fields.size("attention.head_count_kv")?.unwrap_or(n_heads),
        d_head,
        d_mlp: fields.required_size("feed_forward_length")?,
        vocab_size: vocabulary(tensors)?,
        context_length: fields.required_size("context_length")?,
        // Gemma's gains are stored with the 1 already added.
        norm: NormSpec { kind, epsilon, unit_offset: false },
        learned_positions: family == Family::Gpt2,
        parallel_residual: family == Family::GptNeox && fields.flag("use_parallel_residual")?.unwrap_or(true),
        post_norms: gemma,
        qk_norm: match family {
            Family::Qwen3 | Family::Gemma3 => QkNorm::PerHead,
            _ => QkNorm::None,
        },
        mlp: mlp(family),
        attention_scale: f64::from(query_scalar(family, n_layers, d_model, n_heads, d_head) as u32).powf(-0.5)
            as f32,
        attention_softcap: softcap("attn_logit_softcapping", 50.0)?,
        final_softcap: softcap("final_logit_softcapping", 30.0)?,
        embedding_scale: if gemma { (d_model as f64).sqrt() as f32 } else { 1.0 },
        tied_embeddings: !tensors.contains("output.weight"),
        layers,
        rotaries,
        dictionaries: Vec::new(),
    })
}

fn mlp(family: Family) -> MlpSpec {
    let (gated, activation) = match family {
        Family::Gpt2 => (false, ActivationFunction::GeluTanh),
        Family::GptNeox => (false, ActivationFunction::GeluErf),
        Family::Gemma2 | Family::Gemma3 => (true, ActivationFunction::GeluTanh),
        _ => (true, ActivationFunction::Silu),
    };
    MlpSpec { gated, activation }
}

/// The number under the root of the attention scale: the head's width, except in the two 27B Gemmas.
fn query_scalar(family: Family, n_layers: usize, d_model: usize, n_heads: usize, d_head: usize) -> usize {
    match (family, n_layers) {
        (Family::Gemma2, 46) | (Family::Gemma3, 62) => d_model / n_heads.max(1),
        _ => d_head,
    }
}

/// The number of rows of the embedding, which is what the model computes with.
fn vocabulary(tensors: &dyn TensorSource) -> Result<usize, ModelError> {
    let name = "token_embd.weight";
    let shape = tensors.shape(name);
    let missing = || ModelError::MissingTensor { path: tensors.path().to_owned(), tensor: name.into() };
    Ok(shape.ok_or_else(missing)?[0])
}

fn layers(
    family: Family,
    fields: &Fields,
    tensors: &dyn TensorSource,
    n_layers: usize,
    d_head: usize,
) -> Result<(Vec<LayerSpec>, Vec<RotarySpec>), ModelError> {
    if family == Family::Gpt2 {
        return Ok((vec![LayerSpec { rotary: None, sliding_window: None }; n_layers], Vec::new()));
    }
    let dims = fields.size("rope.dimension_count")?.unwrap_or(d_head);
    let positive = |field: &str, default: f32| match fields.number(field)?.unwrap_or(default) {
        theta if theta > 0.0 => Ok(theta),
        _ => Err(fields.error(field, "must be above 0")),
    };
    let theta = positive("rope.freq_base", if family == Family::Gemma3 { 1e6 } else { 1e4 })?;
    let mut rotaries = vec![rotary(dims, theta, &scaling(fields, tensors, dims)?)];
    let window = fields.size("attention.sliding_window")?.filter(|window| *window > 0);
    // Every how many layers one is global; the others slide.
    let period = match family {
        Family::Gemma2 => 2,
        Family::Gemma3 => fields.size("attention.sliding_window_pattern")?.unwrap_or(6).max(1),
        Family::Llama => usize::MAX,
        _ => 1,
    };
    if family == Family::Gemma3 {
        rotaries.push(rotary(dims, positive("rope.freq_base_swa", 1e4)?, &RopeScaling::None));
    }
    let layer = |index: usize| {
        let sliding = window.is_some() && !(index + 1).is_multiple_of(period);
        LayerSpec {
            rotary: Some(usize::from(sliding && family == Family::Gemma3)),
            sliding_window: window.filter(|_| sliding),
        }
    };
    Ok(((0..n_layers).map(layer).collect(), rotaries))
}

/// Frequency divisors stored as a tensor (Llama 3.1 and later), or the scaling that the metadata names.
fn scaling(fields: &Fields, tensors: &dyn TensorSource, dims: usize) -> Result<RopeScaling, ModelError> {
    let name = "rope_freqs.weight";
    if tensors.contains(name) {
        let divisors = tensors.read_shaped(name, &[dims / 2])?;
        if divisors.iter().all(|divisor| divisor.is_finite() && *divisor > 0.0) {
            return Ok(RopeScaling::Divisors(divisors));
        }
        return Err(fields.error(name, "holds a divisor that is not above 0"));
    }
    let factor = fields.number("rope.scaling.factor")?.unwrap_or(1.0);
    if factor <= 0.0 {
        return Err(fields.error("rope.scaling.factor", "must be above 0"));
    }
    match fields.text("rope.scaling.type")? {
        None | Some("none") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear { factor }),
        Some("yarn") => Ok(RopeScaling::Yarn {
            factor,
            // Here the stored number multiplies YaRN's own factor.
            attention_factor: fields
                .number("rope.scaling.attn_factor")?
                .map(|extra| extra * (0.1 * factor.max(1.0).ln() + 1.0)),
            beta_fast: fields.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: fields.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            old_context: fields.required_size("rope.scaling.original_context_length")? as f32,
            truncate: true,
        }),
        Some(other) => Err(ModelError::Unsupported {
            path: fields.path().to_owned(),
            what: "rope scaling",
            name: other.to_owned(),
            supported: "none, linear, yarn, and the tensor rope_freqs.weight".into(),
        }),
    }
}
