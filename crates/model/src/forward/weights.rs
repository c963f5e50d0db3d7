//! The weights of a decoder, packed for the matrix products of the forward pass.
//!
//! Query, key and value are stacked into one product, gate and up into another, so that the rows of a
//! group are read once for each.

use glossator_kernels::{Norm, NormKind as KernelNorm, PackedMatrix, Product, Threads, WeightFormat};

use crate::architecture::{NormKind, NormSpec};
use crate::checkpoint::{LayerWeights, Linear, NormWeights};

/// One linear map, `y = W x + b`.
pub(crate) struct PackedLinear {
    weight: PackedMatrix,
    bias: Option<Vec<f32>>,
}

impl PackedLinear {
    /// Stacks the outputs of several maps that read the same input, in the order given.
    pub(crate) fn stacked(parts: &[&Linear], format: WeightFormat) -> Self {
        let weights: Vec<&[f32]> = parts.iter().map(|part| part.weight.data.as_slice()).collect();
        let weight = PackedMatrix::pack_stacked(&weights, parts[0].weight.cols, format);
        let bias = parts.iter().any(|part| part.bias.is_some()).then(|| {
            parts
                .iter()
                .flat_map(|part| part.bias.clone().unwrap_or_else(|| vec![0.0; part.weight.rows]))
                .collect()
        });
        Self { weight, bias }
    }

    /// Packs a single map.
    pub(crate) fn new(linear: &Linear, format: WeightFormat) -> Self {
        Self::stacked(&[linear], format)
    }

    /// A map without bias from the rows of a table, `[n_out, n_in]`.
    pub(crate) fn from_rows(rows: &[f32], n_in: usize, format: WeightFormat) -> Self {
        Self { weight: PackedMatrix::pack_stacked(&[rows], n_in, format), bias: None }
    }

    /// The map to some of the results, in this order, with the same bits.
    pub(crate) fn of_rows(&self, rows: &[usize]) -> Self {
        let bias = self.bias.as_ref().map(|bias| rows.iter().map(|row| bias[*row]).collect());
        Self { weight: self.weight.of_rows(rows), bias }
    }

    /// The product, ready to run.
    pub(crate) fn product(&self, threads: Threads) -> Product<'_> {
        Product::new(&self.weight).bias(self.bias.as_deref()).threads(threads)
    }

    /// Memory held, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.weight.bytes() + self.bias.as_ref().map_or(0, |bias| bias.len() * size_of::<f32>())
    }
}

/// All the weights of one block.
pub(crate) struct PackedLayer {
    pub(crate) ln1: NormWeights,
    pub(crate) ln2: Option<NormWeights>,
    pub(crate) ln1_post: Option<NormWeights>,
    pub(crate) ln2_post: Option<NormWeights>,
    pub(crate) q_norm: Option<NormWeights>,
    pub(crate) k_norm: Option<NormWeights>,
    pub(crate) qkv: PackedLinear,
    pub(crate) o: PackedLinear,
    /// Gate over up in gated families, up alone otherwise.
    pub(crate) mlp_in: PackedLinear,
    pub(crate) down: PackedLinear,
}

impl PackedLayer {
    /// Packs the weights of a block.
    pub(crate) fn new(layer: LayerWeights, format: WeightFormat) -> Self {
        let mlp_in = match &layer.gate {
            Some(gate) => PackedLinear::stacked(&[gate, &layer.up], format),
            None => PackedLinear::new(&layer.up, format),
        };
        Self {
            qkv: PackedLinear::stacked(&[&layer.q, &layer.k, &layer.v], format),
            o: PackedLinear::new(&layer.o, format),
            mlp_in,
            down: PackedLinear::new(&layer.down, format),
            ln1: layer.ln1,
            ln2: layer.ln2,
            ln1_post: layer.ln1_post,
            ln2_post: layer.ln2_post,
            q_norm: layer.q_norm,
            k_norm: layer.k_norm,
        }
    }

    /// Memory held by the matrices, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        [&self.qkv, &self.o, &self.mlp_in, &self.down].into_iter().map(PackedLinear::bytes).sum()
    }
}

/// The norm of the residual stream with these parameters.
pub(crate) fn norm(spec: NormSpec, weights: &NormWeights) -> Norm<'_> {
    let kind = match spec.kind {
        NormKind::LayerNorm => KernelNorm::Layer,
        NormKind::Rms => KernelNorm::Rms,
    };
    Norm {
        kind,
        weight: &weights.weight,
        bias: weights.bias.as_deref(),
        epsilon: spec.epsilon,
        unit_offset: spec.unit_offset,
    }
}
