//! Named tensors into a safetensors file, which is there whole or not at all.

use std::path::Path;

use anyhow::Context;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

/// A tensor as it goes into the file.
pub(crate) struct NamedTensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl NamedTensor {
    /// f32 values.
    pub(crate) fn floats(name: impl Into<String>, shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F32, shape, bytes }
    }

    /// i64 values.
    pub(crate) fn integers(
        name: impl Into<String>,
        shape: Vec<usize>,
        values: impl Iterator<Item = i64>,
    ) -> Self {
        Self {
            name: name.into(),
            dtype: Dtype::I64,
            shape,
            bytes: values.flat_map(i64::to_le_bytes).collect(),
        }
    }
}

/// Writes the file under a temporary name first.
///
/// # Errors
/// Where `path` is no file name or cannot be written, and if a shape does not fit its values.
pub(crate) fn write(path: &Path, tensors: &[NamedTensor]) -> anyhow::Result<()> {
    let views = tensors
        .iter()
        .map(|tensor| Ok((&tensor.name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let bytes = serialize(views, None)?;
    let mut name = path.file_name().context("--out is not a file name")?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| path.display().to_string())
}
