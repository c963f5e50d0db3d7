//! Weights in one or several safetensors files.
//!
//! Format (huggingface.co/docs/safetensors): a 64-bit header length, a JSON header with the type, shape and
//! byte range of each tensor, then the bytes. The `safetensors` crate checks that the ranges follow each
//! other without gap or overlap, agree with the shapes, and end with the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};

use crate::checkpoint::fields::Fields;
use crate::checkpoint::source::{TensorSource, map};
use crate::error::ModelError;

/// The safetensors files of a directory.
pub(crate) struct SafetensorsDirectory {
    directory: PathBuf,
    shards: Vec<Shard>,
    /// Which shard holds a tensor.
    holders: HashMap<String, usize>,
}

struct Shard {
    path: PathBuf,
    mapping: Mmap,
    metadata: Metadata,
    /// Where the tensors' bytes begin.
    data_start: usize,
}

impl SafetensorsDirectory {
    /// Maps every shard and reads the headers.
    pub(crate) fn open(directory: &Path) -> Result<Self, ModelError> {
        let shards =
            shard_paths(directory)?.into_iter().map(Shard::open).collect::<Result<Vec<_>, ModelError>>()?;
        let mut holders = HashMap::new();
        for (index, shard) in shards.iter().enumerate() {
            holders.extend(shard.metadata.tensors().into_keys().map(|name| (name, index)));
        }
        Ok(Self { directory: directory.to_owned(), shards, holders })
    }

    fn find(&self, name: &str) -> Option<(&Shard, &TensorInfo)> {
        let shard = &self.shards[*self.holders.get(name)?];
        Some((shard, shard.metadata.info(name)?))
    }
}

impl TensorSource for SafetensorsDirectory {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.find(name).map(|(_, info)| info.shape.clone())
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let missing = || ModelError::MissingTensor { path: self.directory.clone(), tensor: name.to_owned() };
        let (shard, info) = self.find(name).ok_or_else(missing)?;
        let (start, end) = info.data_offsets;
        let bytes =
            shard.mapping.get(shard.data_start + start..shard.data_start + end).ok_or_else(missing)?;
        to_f32(bytes, info.dtype).ok_or_else(|| ModelError::Unsupported {
            path: shard.path.clone(),
            what: "number type",
            name: format!("{:?}` of tensor `{name}", info.dtype),
            supported: "F32, F16, BF16".into(),
        })
    }

    fn path(&self) -> &Path {
        &self.directory
    }

    fn files(&self) -> Vec<PathBuf> {
        self.shards.iter().map(|shard| shard.path.clone()).collect()
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, ModelError> {
        let mapping = map(&path)?;
        let (header, metadata) =
            SafeTensors::read_metadata(&mapping).map_err(|error| ModelError::Format {
                path: path.clone(),
                message: format!("not a whole safetensors file ({error}); download it again"),
            })?;
        Ok(Self { path, mapping, metadata, data_start: header + 8 })
    }
}

/// The files to read: those of the index, `model.safetensors`, or whatever safetensors files there are.
fn shard_paths(directory: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let index = directory.join("model.safetensors.index.json");
    if index.is_file() {
        return indexed_shards(directory, &index);
    }
    let single = directory.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let entries = std::fs::read_dir(directory)
        .map_err(|source| ModelError::Io { path: directory.to_owned(), source })?;
    let names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let having = |extensions: &[&str]| {
        let mut found: Vec<PathBuf> = names
            .iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|end| extensions.iter().any(|wanted| end.eq_ignore_ascii_case(wanted)))
            })
            .cloned()
            .collect();
        found.sort();
        found
    };
    let found = having(&["safetensors"]);
    if !found.is_empty() {
        return Ok(found);
    }
    let message = match having(&["bin", "pt", "pth", "ckpt"]).first() {
        Some(pickle) => format!(
            "the weights are a pickle ({}), which can run code and is never opened here: convert them, for \
             example with transformers' save_pretrained(…, safe_serialization=True)",
            pickle.file_name().unwrap_or_default().to_string_lossy()
        ),
        None => "there is no .safetensors file in this directory".to_owned(),
    };
    Err(ModelError::Format { path: directory.to_owned(), message })
}

fn indexed_shards(directory: &Path, index: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let fields = Fields::open(index)?;
    let Some(serde_json::Value::Object(weight_map)) = fields.get("weight_map") else {
        return Err(fields.error("weight_map", "is missing or not an object"));
    };
    let mut names = Vec::with_capacity(weight_map.len());
    for file in weight_map.values() {
        let name = file
            .as_str()
            .ok_or_else(|| fields.error("weight_map", "holds something else than file names"))?;
        // A name with a separator could reach outside the model's directory.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(fields.error("weight_map", &format!("`{name}` is not a plain file name")));
        }
        names.push(name);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

/// Little-endian numbers of one of the understood types.
fn to_f32(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    Some(match dtype {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => pairs().map(|pair| half::f16::from_le_bytes(pair).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|pair| half::bf16::from_le_bytes(pair).to_f32()).collect(),
        _ => return None,
    })
}
