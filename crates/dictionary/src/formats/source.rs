//! Where a dictionary comes from, in the words of SAELens, which other formats have none for.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::metadata::Metadata;

/// What a configuration says about the model.
#[derive(Default, Deserialize)]
pub(super) struct Source {
    model_name: Option<String>,
    #[serde(alias = "hook_point")]
    hook_name: Option<String>,
    hook_name_out: Option<String>,
    #[serde(alias = "hook_point_head_index")]
    hook_head_index: Option<usize>,
    context_size: Option<usize>,
    prepend_bos: Option<bool>,
    dataset_path: Option<String>,
}

impl From<Source> for Metadata {
    fn from(source: Source) -> Self {
        Self {
            model: source.model_name,
            hook: source.hook_name,
            hook_out: source.hook_name_out,
            head: source.hook_head_index,
            context_size: source.context_size,
            prepend_bos: source.prepend_bos,
            dataset: source.dataset_path,
            ..Self::default()
        }
    }
}

/// The fields of a configuration that say what is known.
pub(super) fn fields(metadata: &Metadata) -> Map<String, Value> {
    let known = [
        ("model_name", json!(metadata.model)),
        ("hook_name", json!(metadata.hook)),
        ("hook_name_out", json!(metadata.hook_out)),
        ("hook_head_index", json!(metadata.head)),
        ("context_size", json!(metadata.context_size)),
        ("prepend_bos", json!(metadata.prepend_bos)),
        ("dataset_path", json!(metadata.dataset)),
    ];
    known
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.into(), value))
        .collect()
}
