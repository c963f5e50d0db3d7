//! Named tensors of f32 values, whatever container they lie in.

use std::path::{Path, PathBuf};

use super::files::malformed;
use crate::error::DictionaryError;

/// A container of tensors: names and shapes are known, values are read when asked for.
pub(super) trait Container {
    /// The row-major shape of a tensor; none if it is not there.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// The values of a tensor, row-major and converted to f32. Whoever asks has checked that it is there.
    fn values(&self, name: &str) -> Result<Vec<f32>, DictionaryError>;
}

/// A container with the file to name in errors.
pub(super) struct Tensors {
    path: PathBuf,
    container: Box<dyn Container>,
}

/// A tensor to be written.
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Named {
    pub(super) fn new(name: &'static str, shape: &[usize], values: Vec<f32>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { name, shape: shape.to_vec(), values }
    }
}

impl Tensors {
    pub(super) fn new(path: &Path, container: impl Container + 'static) -> Self {
        Self { path: path.to_owned(), container: Box::new(container) }
    }

    /// The file they lie in.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is such a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.container.shape(name).is_some()
    }

    /// The shape of a tensor that must be there.
    pub(super) fn shape(&self, name: &str) -> Result<Vec<usize>, DictionaryError> {
        let missing = || malformed(&self.path, &format!("tensor `{name}` is missing"));
        self.container.shape(name).ok_or_else(missing)
    }

    /// Rows and columns of a matrix that must be there.
    pub(super) fn matrix_shape(&self, name: &str) -> Result<(usize, usize), DictionaryError> {
        match self.shape(name)?[..] {
            [rows, columns] => Ok((rows, columns)),
            ref other => {
                Err(malformed(&self.path, &format!("tensor `{name}` has shape {other:?}: not a matrix")))
            }
        }
    }

    /// The values of a tensor that must have this shape.
    pub(super) fn read(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, DictionaryError> {
        let found = self.shape(name)?;
        if found != expected {
            let tensor = format!("{}: tensor `{name}`", self.path.display());
            return Err(DictionaryError::Shape { tensor, expected: expected.to_vec(), found });
        }
        self.container.values(name)
    }

    /// As [`Tensors::read`], with rows and columns exchanged: `expected` is the shape of the result.
    pub(super) fn read_transposed(
        &self,
        name: &str,
        expected: [usize; 2],
    ) -> Result<Vec<f32>, DictionaryError> {
        let [rows, columns] = expected;
        Ok(transpose(&self.read(name, &[columns, rows])?, columns, rows))
    }

    /// The one value of a tensor that holds one.
    pub(super) fn scalar(&self, name: &str) -> Result<f32, DictionaryError> {
        let shape = self.shape(name)?;
        if shape.iter().any(|&axis| axis != 1) {
            return Err(malformed(
                &self.path,
                &format!("tensor `{name}` has shape {shape:?}: not one number"),
            ));
        }
        Ok(self.container.values(name)?[0])
    }

    /// The one value of a tensor, as a whole number.
    pub(super) fn size(&self, name: &str) -> Result<usize, DictionaryError> {
        let value = self.scalar(name)?;
        self.whole(name, value)
    }

    /// The values of a vector, as whole numbers.
    pub(super) fn sizes(&self, name: &str) -> Result<Vec<usize>, DictionaryError> {
        let shape = self.shape(name)?;
        if shape.len() != 1 {
            return Err(malformed(&self.path, &format!("tensor `{name}` has shape {shape:?}: not a list")));
        }
        self.container.values(name)?.into_iter().map(|value| self.whole(name, value)).collect()
    }

    fn whole(&self, name: &str, value: f32) -> Result<usize, DictionaryError> {
        // Whole numbers up to 2²⁴ survive the conversion to f32.
        if value.fract() == 0.0 && (0.0..=16_777_216.0).contains(&value) {
            Ok(value as usize)
        } else {
            Err(malformed(&self.path, &format!("`{name}` is {value}: not a whole number")))
        }
    }
}

/// The transpose `[columns, rows]` of a matrix `[rows, columns]`.
pub(super) fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    /// Columns that are written together, so that both sides stay in cache.
    const TILE: usize = 16;
    let mut out = vec![0.0; matrix.len()];
    for first in (0..columns).step_by(TILE) {
        for (row, values) in matrix.chunks_exact(columns.max(1)).enumerate() {
            for column in first..columns.min(first + TILE) {
                out[column * rows + row] = values[column];
            }
        }
    }
    out
}

/// Little-endian f32 values as bytes.
pub(super) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The numbers that containers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    U8,
}

impl Element {
    /// Bytes of one.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::U8 => 1,
        }
    }

    /// One number from its little-endian bytes.
    fn convert(self, b: &[u8]) -> f32 {
        match self {
            Self::F64 => f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32,
            Self::I64 => i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32,
            Self::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::I32 => i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32,
            Self::F16 => half::f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::Bf16 => half::bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::I16 => f32::from(i16::from_le_bytes([b[0], b[1]])),
            Self::U8 => f32::from(b[0]),
        }
    }

    /// Numbers from their little-endian bytes.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        bytes.chunks_exact(self.size()).map(|bytes| self.convert(bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_changes_nothing() {
        let matrix: Vec<f32> = (0..21 * 37).map(|value| value as f32).collect();
        let transposed = transpose(&matrix, 21, 37);
        assert_eq!(transposed[3 * 21 + 2], matrix[2 * 37 + 3]);
        assert_eq!(transpose(&transposed, 37, 21), matrix);
    }

    #[test]
    fn every_number_type_is_read() {
        assert_eq!(Element::F64.decode(&(-1.5f64).to_le_bytes()), [-1.5]);
        assert_eq!(Element::F32.decode(&(-1.5f32).to_le_bytes()), [-1.5]);
        assert_eq!(Element::F16.decode(&half::f16::from_f32(-1.5).to_le_bytes()), [-1.5]);
        assert_eq!(Element::Bf16.decode(&half::bf16::from_f32(-1.5).to_le_bytes()), [-1.5]);
        assert_eq!(Element::I64.decode(&(-3i64).to_le_bytes()), [-3.0]);
        assert_eq!(Element::I32.decode(&(-3i32).to_le_bytes()), [-3.0]);
        assert_eq!(Element::I16.decode(&(-3i16).to_le_bytes()), [-3.0]);
        assert_eq!(Element::U8.decode(&[200]), [200.0]);
    }
}
