//! GGUF files, versions 2 and 3: one file with metadata, tokenizer and quantised tensors.
//!
//! Format (ggml's `docs/gguf.md`): magic `GGUF`, version, number of tensors, number of metadata pairs; the
//! pairs; per tensor its name, dimensions (innermost first), type and offset; then, aligned, the tensors' bytes.

mod architecture;
mod cursor;
mod k_quants;
mod metadata;
mod types;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

pub(super) use architecture::configuration;
pub(crate) use metadata::{Metadata, Value};
use types::TensorType;

use self::cursor::Cursor;
use super::source::{TensorSource, map};
use crate::error::ModelError;

/// A mapped GGUF file with its directory.
pub(super) struct GgufFile {
    path: PathBuf,
    mapping: Mmap,
    metadata: Metadata,
    tensors: HashMap<String, TensorEntry>,
}

/// Where a tensor is and how it is stored.
struct TensorEntry {
    /// Outermost dimension first.
    shape: Vec<usize>,
    kind: TensorType,
    /// Byte range in the file.
    start: usize,
    end: usize,
}

impl GgufFile {
    /// Maps the file, reads its metadata and checks that every tensor lies inside it.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let mapping = map(path)?;
        let (metadata, tensors) =
            read(&mapping).map_err(|message| ModelError::Format { path: path.to_owned(), message })?;
        Ok(Self { path: path.to_owned(), mapping, metadata, tensors })
    }

    /// The metadata.
    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl TensorSource for GgufFile {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|tensor| tensor.shape.clone())
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let missing = || ModelError::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let tensor = self.tensors.get(name).ok_or_else(missing)?;
        let bytes = self.mapping.get(tensor.start..tensor.end).ok_or_else(missing)?;
        Ok(tensor.kind.dequantise(bytes))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}

/// The alignment of tensor data where the metadata does not say otherwise.
const DEFAULT_ALIGNMENT: i64 = 32;

fn read(bytes: &[u8]) -> cursor::Result<(Metadata, HashMap<String, TensorEntry>)> {
    let mut cursor = Cursor::new(bytes);
    if cursor.take(4, "the magic number")? != b"GGUF" {
        return Err("not a GGUF file (it does not begin with `GGUF`)".into());
    }
    match cursor.u32("the version")? {
        2 | 3 => {}
        1 => return Err("GGUF version 1 is too old: convert the model again with a current llama.cpp".into()),
        version if version.swap_bytes() <= 3 => return Err("a big-endian GGUF file is not supported".into()),
        version => return Err(format!("GGUF version {version} is not supported (supported: 2 and 3)")),
    }
    // A tensor's entry takes at least 24 bytes, a metadata pair at least 13.
    let tensor_count = cursor.count(24, "the number of tensors")?;
    let metadata_count = cursor.count(13, "the number of metadata pairs")?;
    let metadata = metadata::read(&mut cursor, metadata_count)?;
    let entries: Vec<_> =
        (0..tensor_count).map(|_| tensor_entry(&mut cursor)).collect::<cursor::Result<_>>()?;
    let alignment = match metadata.get("general.alignment") {
        None => DEFAULT_ALIGNMENT,
        Some(Value::Integer(alignment)) if (1..=1 << 20).contains(alignment) => *alignment,
        Some(_) => return Err("metadata `general.alignment` is not a believable alignment".into()),
    };
    let data_start = cursor.position().next_multiple_of(alignment as usize);
    let tensors = place(entries, data_start, bytes.len())?;
    Ok((metadata, tensors))
}

/// Reads one entry of the tensor directory; its offset is still relative to the data.
fn tensor_entry(cursor: &mut Cursor<'_>) -> cursor::Result<(String, TensorEntry)> {
    let name = cursor.string("the length of a tensor's name")?;
    let dimensions = cursor.u32("a number of dimensions")?;
    if !(1..=4).contains(&dimensions) {
        return Err(format!("tensor `{name}` has {dimensions} dimensions (expected 1 to 4)"));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = cursor.u64("a dimension")?;
        shape.push(usize::try_from(size).map_err(|_| format!("tensor `{name}` has a dimension of {size}"))?);
    }
    let kind = TensorType::from_number(cursor.u32("a tensor type")?)
        .map_err(|message| format!("tensor `{name}`: {message}"))?;
    let offset = cursor.u64("a tensor's offset")?;
    let too_large = || format!("tensor `{name}` with dimensions {shape:?} is larger than any file");
    let length = kind.byte_length(&shape).ok_or_else(|| match shape[0] % kind.block_length() {
        0 => too_large(),
        _ => format!("tensor `{name}`: rows of {} do not fill blocks of {}", shape[0], kind.block_length()),
    })?;
    let start = usize::try_from(offset).map_err(|_| too_large())?;
    let end = start.checked_add(length).ok_or_else(too_large)?;
    shape.reverse();
    Ok((name, TensorEntry { shape, kind, start, end }))
}

/// Makes the offsets absolute, and refuses tensors that overlap or leave the file.
fn place(
    entries: Vec<(String, TensorEntry)>,
    data_start: usize,
    file_length: usize,
) -> cursor::Result<HashMap<String, TensorEntry>> {
    let mut ranges: Vec<(usize, usize, String)> = Vec::with_capacity(entries.len());
    let mut tensors = HashMap::with_capacity(entries.len());
    for (name, mut tensor) in entries {
        let (start, end) = (data_start.checked_add(tensor.start), data_start.checked_add(tensor.end));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= file_length)) else {
            return Err(format!(
                "tensor `{name}` ends {} bytes after the start of the data at {data_start}, but the file has only \
                 {file_length} bytes: it is truncated or damaged",
                tensor.end
            ));
        };
        (tensor.start, tensor.end) = (start, end);
        ranges.push((start, end, name.clone()));
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(format!("tensor `{name}` occurs twice"));
        }
    }
    ranges.sort_unstable();
    match ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => Err(format!("tensors `{}` and `{}` overlap in the file", pair[0].2, pair[1].2)),
        None => Ok(tensors),
    }
}
