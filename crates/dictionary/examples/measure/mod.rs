//! What examples measure beside time.

use glossator_dictionary::training::{Batch, Parameters, Trainer};
use glossator_kernels::{PackedMatrix, Precision, Product, Threads, top_k};

/// Latents whose true pre-activations are computed at a time.
const CHUNK: usize = 16_384;

/// The share of the k largest positive pre-activations in f32 that a step finds, over some rows of `inputs`.
pub(crate) fn recall(trainer: &mut Trainer, parameters: &mut Parameters, inputs: &[f32], k: usize) -> f64 {
    let d = parameters.d_input;
    let rows = if parameters.latents > 100_000 { 32 } else { 512 };
    let bias = &parameters.decoder_bias.weights;
    let centred: Vec<f32> =
        inputs[..rows * d].chunks_exact(d).flat_map(|row| row.iter().zip(bias).map(|(x, b)| x - b)).collect();
    let mut pre = vec![Vec::with_capacity(parameters.latents); rows];
    for first in (0..parameters.latents).step_by(CHUNK) {
        let count = CHUNK.min(parameters.latents - first);
        let weights = &parameters.encoder.weights[first * d..][..count * d];
        let packed = PackedMatrix::pack(weights, count, d, Precision::F32);
        let mut out = vec![0.0; rows * count];
        let bias = &parameters.encoder_bias.weights[first..][..count];
        Product::new(&packed).bias(Some(bias)).threads(Threads::All).run(centred.as_slice(), &mut out);
        pre.iter_mut().zip(out.chunks_exact(count)).for_each(|(row, out)| row.extend_from_slice(out));
    }
    // With a rate of 0 the step only looks.
    trainer.step(parameters, Batch { inputs, targets: inputs }, 0.0);
    let (mut found, mut wanted) = (0, 0);
    for (row, pre) in pre.iter().enumerate() {
        let active = trainer.active().row(row).indices;
        for best in top_k(pre, k).iter().filter(|best| best.value > 0.0) {
            wanted += 1;
            found += usize::from(active.binary_search(&best.index).is_ok());
        }
    }
    f64::from(found as u32) / f64::from(wanted)
}

/// The most memory in bytes that this process has held, where the system tells.
pub(crate) fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}
