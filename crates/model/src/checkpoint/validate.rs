//! Sizes that a configuration may not have, refused before anything is allocated for them.

use std::path::Path;

use crate::architecture::Architecture;
use crate::error::ModelError;

/// More layers than any model has, and few enough to index hook points with 16 bits.
const MAX_LAYERS: usize = 4096;
/// No width or vocabulary comes near this; products of two stay far inside 64 bits.
const MAX_SIZE: usize = 1 << 26;

/// The number of layers, if it is believable.
pub(super) fn layer_count(path: &Path, field: &str, n_layers: usize) -> Result<usize, ModelError> {
    if (1..=MAX_LAYERS).contains(&n_layers) {
        Ok(n_layers)
    } else {
        Err(error(path, field, format!("{n_layers} layers: expected 1 to {MAX_LAYERS}")))
    }
}

/// The width of a head where the file gives only the width of all.
pub(super) fn head_width(path: &Path, d_model: usize, n_heads: usize) -> Result<usize, ModelError> {
    if n_heads == 0 || !d_model.is_multiple_of(n_heads) {
        return Err(error(
            path,
            "number of heads",
            format!("{n_heads} heads do not divide a width of {d_model}"),
        ));
    }
    Ok(d_model / n_heads)
}

/// Checks everything that the forward pass and the weight reader rely on.
pub(super) fn architecture(path: &Path, a: &Architecture) -> Result<(), ModelError> {
    let sizes = [
        ("model width", a.d_model),
        ("number of heads", a.n_heads),
        ("number of key/value heads", a.n_kv_heads),
        ("head width", a.d_head),
        ("MLP width", a.d_mlp),
        ("vocabulary size", a.vocab_size),
        ("context length", a.context_length),
    ];
    for (what, size) in sizes {
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(error(path, what, format!("{size} is not a size between 1 and {MAX_SIZE}")));
        }
    }
    if !a.n_heads.is_multiple_of(a.n_kv_heads) {
        let message = format!("{} does not divide the {} query heads", a.n_kv_heads, a.n_heads);
        return Err(error(path, "number of key/value heads", message));
    }
    if a.n_heads.checked_mul(a.d_head).is_none_or(|width| width > MAX_SIZE) {
        return Err(error(path, "head width", format!("{} heads of width {}", a.n_heads, a.d_head)));
    }
    for rotary in &a.rotaries {
        if rotary.dims > a.d_head || !rotary.dims.is_multiple_of(2) {
            let message = format!("{} rotated dimensions in a head of {}", rotary.dims, a.d_head);
            return Err(error(path, "rotary embedding", message));
        }
    }
    if !(a.norm.epsilon > 0.0 && a.norm.epsilon < 1.0) {
        return Err(error(path, "norm epsilon", format!("{} is not between 0 and 1", a.norm.epsilon)));
    }
    let positive = [Some(a.attention_scale), a.attention_softcap, a.final_softcap, Some(a.embedding_scale)];
    if positive.into_iter().flatten().any(|factor| !(factor.is_finite() && factor > 0.0)) {
        return Err(error(path, "attention scale or soft-cap", "is not a number above 0".into()));
    }
    if a.layers.iter().any(|layer| layer.sliding_window == Some(0)) {
        return Err(error(path, "sliding window", "is 0 tokens wide".into()));
    }
    Ok(())
}

fn error(path: &Path, field: &str, message: String) -> ModelError {
    ModelError::Config { path: path.to_owned(), field: field.to_owned(), message }
}
