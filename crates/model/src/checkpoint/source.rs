//! Where weights are read from: named tensors in one or several memory-mapped files.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::ModelError;

/// Named tensors of f32 values, whatever the file format and the stored number type.
pub(super) trait TensorSource: Send + Sync {
    /// The row-major shape of a tensor, outermost dimension first; none if it is not there.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// The values of a tensor, converted to f32.
    fn read(&self, name: &str) -> Result<Vec<f32>, ModelError>;

    /// The file or directory to name in errors.
    fn path(&self) -> &Path;

    /// The files that hold the tensors.
    fn files(&self) -> Vec<PathBuf>;

    /// Whether there is such a tensor.
    fn contains(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    /// Reads a tensor that must have `expected` as its shape.
    fn read_shaped(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        let found = self.shape(name).ok_or_else(|| ModelError::MissingTensor {
            path: self.path().to_owned(),
            tensor: name.to_owned(),
        })?;
        if found != expected {
            return Err(ModelError::Shape {
                path: self.path().to_owned(),
                tensor: name.to_owned(),
                expected: expected.to_vec(),
                found,
            });
        }
        self.read(name)
    }
}

/// Maps a whole file into memory for reading.
pub(super) fn map(path: &Path) -> Result<Mmap, ModelError> {
    let io = |source| ModelError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    // SAFETY: the mapping is private to this process and only ever read. Another process that truncates
    // the file while it is mapped would end this one with SIGBUS, as with every memory-mapped reader of
    // model files; no value read from the mapping is trusted as a length or an offset without a check.
    unsafe { Mmap::map(&file) }.map_err(io)
}
