//! What the tests over files share.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses its part")]

use std::path::{Path, PathBuf};

use glossator_dictionary::{Coder, Dictionary};
use glossator_kernels::Precision;
use safetensors::SafeTensors;

/// A path under `reference/dictionaries`.
pub fn reference(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/dictionaries").join(path)
}

/// What a dictionary computed in its own package.
pub struct Golden {
    pub inputs: Vec<f32>,
    pub latents: Vec<f32>,
    pub reconstruction: Vec<f32>,
}

/// Reads the golden of a directory.
pub fn golden(name: &str) -> Golden {
    let bytes = std::fs::read(reference("goldens").join(name).join("golden.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| {
        let tensor = tensors.tensor(name).unwrap();
        tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    Golden { inputs: floats("inputs"), latents: floats("latents"), reconstruction: floats("reconstruction") }
}

/// Latents and reconstruction must be the golden's, within 10⁻⁵ of its largest value and of its norm.
#[track_caller]
pub fn assert_computes(dictionary: &Dictionary, golden: &Golden, name: &str) {
    let coder = Coder::new(dictionary, Precision::F32);
    let latents = coder.encode(&golden.inputs);
    assert_close(&latents.to_dense(), &golden.latents, &format!("latents of {name}"));
    let reconstruction = coder.reconstruct(&latents, &golden.inputs);
    assert_close(&reconstruction, &golden.reconstruction, &format!("reconstruction of {name}"));
}

#[track_caller]
fn assert_close(got: &[f32], want: &[f32], name: &str) {
    assert_eq!(got.len(), want.len(), "{name}");
    let norm =
        |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    let difference = || got.iter().zip(want).map(|(a, b)| a - b);
    let (off, size) = (norm(&mut difference()), norm(&mut want.iter().copied()));
    assert!(off <= 1e-5 * size, "{name}: off by {off} of {size}");
    let (off, size) = (largest(&mut difference()), largest(&mut want.iter().copied()));
    assert!(off <= 1e-5 * size, "{name}: a value is off by {off}, the largest is {size}");
}
