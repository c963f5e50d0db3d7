//! Tokens that the model embeds alike: its own notion of which words could stand for each other.

use glossator_kernels::{PackedMatrix, Precision, Product, top_k};
use rayon::prelude::*;

use crate::model::Model;

/// Tokens whose similarities with the whole vocabulary are computed together.
const BLOCK: usize = 32;

/// The token embeddings of a model, packed for comparison with each other.
pub struct SimilarTokens {
    d_model: usize,
    /// `[vocab_size, d_model]`
    embeddings: PackedMatrix,
    /// One over the length of each embedding; 0 for a row of zeros, which is like nothing.
    inverse_lengths: Vec<f32>,
}

impl SimilarTokens {
    /// Packs the embeddings of `model`, in bf16.
    pub fn new(model: &Model) -> Self {
        let embedding = model.decoder.embedding();
        let d_model = embedding.cols;
        let inverse_lengths = embedding.data.par_chunks_exact(d_model).map(inverse_length).collect();
        let vocab_size = embedding.data.len() / d_model;
        let embeddings = PackedMatrix::pack(&embedding.data, vocab_size, d_model, Precision::Bf16);
        Self { d_model, embeddings, inverse_lengths }
    }

    /// For each of `tokens` the `count` others whose embeddings have the largest cosine with its own, most similar
    /// first. `model` is the one that the embeddings are of, and has all the tokens.
    pub fn of(&self, model: &Model, tokens: &[u32], count: usize) -> Vec<Vec<u32>> {
        let embedding = &model.decoder.embedding().data;
        let of_block = |block: &[u32]| {
            let own = |&token: &u32| &embedding[token as usize * self.d_model..][..self.d_model];
            let rows: Vec<f32> = block.iter().flat_map(own).copied().collect();
            let mut products = vec![0.0; block.len() * self.embeddings.n_out()];
            Product::new(&self.embeddings).run(rows.as_slice(), &mut products);
            let similar = block.iter().zip(products.chunks_exact_mut(self.embeddings.n_out()));
            let similar = similar.map(|(&token, products)| {
                // The length of the token's own embedding does not change the order.
                products
                    .iter_mut()
                    .zip(&self.inverse_lengths)
                    .for_each(|(product, inverse)| *product *= inverse);
                let ranked = top_k(products, count + 1).into_iter().map(|ranked| ranked.index);
                ranked.filter(|other| *other != token).take(count).collect()
            });
            similar.collect::<Vec<_>>()
        };
        tokens.par_chunks(BLOCK).flat_map_iter(of_block).collect()
    }
}

fn inverse_length(row: &[f32]) -> f32 {
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 { 1.0 / length } else { 0.0 }
}
