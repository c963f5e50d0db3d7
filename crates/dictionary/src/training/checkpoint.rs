//! A run's whole state in one file, so that a run that was killed goes on to the same weights, bit for bit.
//!
//! Layout: the magic bytes, the length of a JSON header as u64, the header, then arrays of f32, all little-endian. The
//! header holds the lengths of the arrays and whatever else the run is made of. The file is written beside its place
//! and renamed.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::parameters::{Parameters, Tensor};
use super::progress::Progress;
use crate::error::DictionaryError;

const MAGIC: &[u8; 8] = b"GLOSTRN1";
/// The longest header that is believed.
const LARGEST_HEADER: u64 = 1 << 32;
/// Values converted at a time.
const BLOCK: usize = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Header<S> {
    lengths: Vec<usize>,
    state: S,
}

/// Writes `state` and `arrays` to `path`.
///
/// # Errors
/// What the file system says.
pub fn save_checkpoint(
    path: &Path,
    state: &impl Serialize,
    arrays: &[&[f32]],
) -> Result<(), DictionaryError> {
    let lengths = arrays.iter().map(|array| array.len()).collect();
    let header = serde_json::to_vec(&Header { lengths, state })
        .map_err(|error| DictionaryError::Format { path: path.into(), message: error.to_string() })?;
    let partial = path.with_extension("partial");
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(&partial)?);
        file.write_all(MAGIC)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for block in arrays.iter().flat_map(|array| array.chunks(BLOCK)) {
            let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
            file.write_all(&bytes)?;
        }
        file.into_inner()?.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|source| DictionaryError::Io { path: path.into(), source })
}

/// Reads what [`save_checkpoint`] wrote.
///
/// # Errors
/// A file that cannot be read, is truncated, or is no checkpoint.
pub fn load_checkpoint<S: DeserializeOwned>(path: &Path) -> Result<(S, Vec<Vec<f32>>), DictionaryError> {
    let io = |source| DictionaryError::Io { path: path.into(), source };
    let malformed = |message: String| DictionaryError::Format { path: path.into(), message };
    let mut left = fs::metadata(path).map_err(io)?.len();
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut start = [0; 16];
    file.read_exact(&mut start).map_err(io)?;
    let (magic, length) = start.split_at(8);
    if magic != MAGIC {
        return Err(malformed("is no checkpoint of a training run".into()));
    }
    let length = length.iter().rev().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    left -= 16;
    if length > left || length > LARGEST_HEADER {
        return Err(malformed("is truncated".into()));
    }
    left -= length;
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(io)?;
    let header: Header<S> = serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
    let values = header.lengths.iter().try_fold(0_usize, |sum, length| sum.checked_add(*length));
    if values.and_then(|values| values.checked_mul(size_of::<f32>())) != usize::try_from(left).ok() {
        return Err(malformed("does not have the length that its header says".into()));
    }
    let mut arrays = Vec::new();
    for length in header.lengths {
        let mut bytes = vec![0; length * size_of::<f32>()];
        file.read_exact(&mut bytes).map_err(io)?;
        arrays.push(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect());
    }
    Ok((header.state, arrays))
}

/// What [`Parameters`] hold beside their arrays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParametersState {
    d_input: usize,
    d_output: usize,
    latents: usize,
    steps: u64,
    idle_rows: Vec<u64>,
    progress: Progress,
}

impl Parameters {
    /// Arrays of a set of parameters.
    pub const ARRAYS: usize = 3 * Self::TENSORS;

    /// What has to be saved beside [`Parameters::arrays`].
    pub fn state(&self) -> ParametersState {
        ParametersState {
            d_input: self.d_input,
            d_output: self.d_output,
            latents: self.latents,
            steps: self.steps,
            idle_rows: self.idle_rows.clone(),
            progress: self.progress.clone(),
        }
    }

    /// Weights and moments of every tensor.
    pub fn arrays(&self) -> Vec<&[f32]> {
        self.tensors().into_iter().flat_map(|t| [t.weights.as_slice(), &t.mean, &t.square]).collect()
    }

    /// Parameters as they were; `None` if the arrays do not fit the state.
    pub fn restore(state: ParametersState, arrays: Vec<Vec<f32>>) -> Option<Self> {
        let ParametersState { d_input, d_output, latents, steps, idle_rows, progress } = state;
        let mut arrays = arrays.into_iter();
        let mut tensor = |lengths: &[Option<usize>]| {
            let (weights, mean, square) = (arrays.next()?, arrays.next()?, arrays.next()?);
            let length = weights.len();
            let fits = lengths.contains(&Some(length)) && mean.len() == length && square.len() == length;
            fits.then_some(Tensor { weights, mean, square })
        };
        let each_or_none = [Some(latents), Some(0)];
        let restored = Self {
            encoder: tensor(&[latents.checked_mul(d_input)])?,
            encoder_bias: tensor(&[Some(latents)])?,
            decoder: tensor(&[latents.checked_mul(d_output)])?,
            decoder_bias: tensor(&[Some(d_output)])?,
            skip: tensor(&[d_output.checked_mul(d_input), Some(0)])?,
            log_threshold: tensor(&each_or_none)?,
            log_magnitude_scale: tensor(&each_or_none)?,
            magnitude_bias: tensor(&each_or_none)?,
            d_input,
            d_output,
            latents,
            steps,
            idle_rows,
            progress,
        };
        let fits = restored.idle_rows.len() == latents && latents > 0 && d_input > 0 && d_output > 0;
        fits.then_some(restored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::initialise;

    #[test]
    fn parameters_come_back_bit_for_bit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.checkpoint");
        let mut parameters = initialise(10, vec![0.5; 7], 3).with_skip().with_gates();
        parameters.progress.threshold = Some(0.1);
        parameters.encoder.mean[3] = f32::MIN_POSITIVE;
        parameters.idle_rows[2] = u64::MAX;
        parameters.steps = 9;
        save_checkpoint(&path, &parameters.state(), &parameters.arrays()).unwrap();
        let (state, arrays) = load_checkpoint(&path).unwrap();
        assert_eq!(Parameters::restore(state, arrays), Some(parameters));
        assert!(!path.with_extension("partial").exists());
    }

    #[test]
    fn damaged_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.checkpoint");
        save_checkpoint(&path, &7, &[&[1.0, 2.0]]).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(load_checkpoint::<i32>(&path).is_err(), "{length} bytes");
        }
        let mut lying = whole.clone();
        lying[8..16].fill(0xff);
        fs::write(&path, lying).unwrap();
        assert!(load_checkpoint::<i32>(&path).is_err());
        fs::write(&path, whole).unwrap();
        assert_eq!(load_checkpoint::<i32>(&path).unwrap(), (7, vec![vec![1.0, 2.0]]));
    }
}
