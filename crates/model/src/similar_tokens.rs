//! Tokens that the model embeds alike: its own notion of which words could stand for each other.

use glossator_kernels::{PackedMatrix, Precision, Product, top_k};
use rayon::prelude::*;

use crate::model::Model;

/// Tokens whose similarities with the whole vocabulary are computed together.
const BLOCK: usize = 32;

/// The token embeddings of a model at unit length, packed for comparison with each other.
pub struct SimilarTokens {
    d_model: usize,
    /// `[vocab_size, d_model]`
    units: PackedMatrix,
}

impl SimilarTokens {
    /// Packs the embeddings of `model`, in bf16.
    pub fn new(model: &Model) -> Self {
        let embedding = model.decoder.embedding();
        let d_model = embedding.cols;
        let mut units = embedding.data.clone();
        units.par_chunks_exact_mut(d_model).for_each(to_unit_length);
        let units = PackedMatrix::pack(&units, units.len() / d_model, d_model, Precision::Bf16);
        Self { d_model, units }
    }

    /// For each of `tokens` the `count` others whose embeddings have the largest cosine with its own, most similar
    /// first. `model` is the one that the embeddings are of, and has all the tokens.
    pub fn of(&self, model: &Model, tokens: &[u32], count: usize) -> Vec<Vec<u32>> {
        let embedding = &model.decoder.embedding().data;
        let of_block = |block: &[u32]| {
            let mut rows: Vec<f32> = block
                .iter()
                .flat_map(|&token| &embedding[token as usize * self.d_model..][..self.d_model])
                .copied()
                .collect();
            rows.chunks_exact_mut(self.d_model).for_each(to_unit_length);
            let mut cosines = vec![0.0; block.len() * self.units.n_out()];
            Product::new(&self.units).run(rows.as_slice(), &mut cosines);
            let similar = block.iter().zip(cosines.chunks_exact(self.units.n_out()));
            let similar = similar.map(|(&token, cosines)| {
                let ranked = top_k(cosines, count + 1).into_iter().map(|ranked| ranked.index);
                ranked.filter(|other| *other != token).take(count).collect()
            });
            similar.collect::<Vec<_>>()
        };
        tokens.par_chunks(BLOCK).flat_map_iter(of_block).collect()
    }
}

/// A row of zeros stays one.
fn to_unit_length(row: &mut [f32]) {
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|value| *value /= length);
    }
}
