//! Tensors in a safetensors file (huggingface.co/docs/safetensors).
//!
//! The `safetensors` crate checks that the byte ranges follow each other without gap or overlap, agree with the
//! shapes, and end with the file.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::files::{malformed, read_file, write_file};
use super::tensors::{Container, Element, Named, Tensors, bytes_of};
use crate::error::DictionaryError;

struct File {
    bytes: Vec<u8>,
    metadata: safetensors::tensor::Metadata,
    /// Where the tensors' bytes begin.
    start: usize,
}

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<Tensors, DictionaryError> {
    let bytes = read_file(path)?;
    let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| {
        malformed(path, &format!("not a whole safetensors file ({error}); fetch it again"))
    })?;
    for (name, info) in metadata.tensors() {
        if element(info.dtype).is_none() {
            let message = format!("tensor `{name}` holds {:?}, which is not supported", info.dtype);
            return Err(malformed(path, &message));
        }
    }
    Ok(Tensors::new(path, File { bytes, metadata, start: header + 8 }))
}

fn element(dtype: Dtype) -> Option<Element> {
    match dtype {
        Dtype::F64 => Some(Element::F64),
        Dtype::F32 => Some(Element::F32),
        Dtype::F16 => Some(Element::F16),
        Dtype::BF16 => Some(Element::Bf16),
        Dtype::I64 => Some(Element::I64),
        Dtype::I32 => Some(Element::I32),
        Dtype::I16 => Some(Element::I16),
        Dtype::U8 | Dtype::BOOL => Some(Element::U8),
        _ => None,
    }
}

impl Container for File {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.metadata.info(name).map(|info| info.shape.clone())
    }

    fn values(&self, name: &str) -> Result<Vec<f32>, DictionaryError> {
        let info = self.metadata.info(name);
        let element = info.and_then(|info| element(info.dtype));
        let bytes = info.and_then(|info| {
            let (start, end) = info.data_offsets;
            self.bytes.get(self.start + start..self.start + end)
        });
        Ok(element.zip(bytes).map(|(element, bytes)| element.decode(bytes)).unwrap_or_default())
    }
}

/// Writes f32 tensors.
pub(super) fn write(path: &Path, tensors: &[Named]) -> Result<(), DictionaryError> {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|tensor| bytes_of(&tensor.values)).collect();
    let failed = |error: safetensors::SafeTensorError| malformed(path, &error.to_string());
    let view = |(tensor, bytes)| {
        let tensor: &Named = tensor;
        let bytes: &Vec<u8> = bytes;
        Ok((tensor.name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?))
    };
    let views = tensors.iter().zip(&bytes).map(view).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    write_file(path, &safetensors::serialize(views, None).map_err(failed)?)
}
