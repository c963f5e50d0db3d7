//! Attention in three explicit steps, for hooks on scores and pattern, and as the fused kernel's reference.

use super::{Attention, HeadView};
use crate::activation::softcap;
use crate::multiversion::multiversion;
use crate::outputs::Outputs;
use crate::reduce::dot;
use crate::softmax::softmax;

impl Attention {
    /// Writes `[heads, queries, keys]` scores with keys = `first_position + queries`; hidden keys get −∞.
    ///
    /// # Panics
    /// If a length contradicts the shapes.
    pub fn scores(
        &self,
        q: HeadView<'_>,
        k: HeadView<'_>,
        queries: usize,
        first_position: usize,
        scores: &mut [f32],
    ) {
        let keys = first_position + queries;
        assert_eq!(scores.len(), q.heads * queries * keys, "attention: scores have the wrong length");
        assert_eq!(q.heads % k.heads, 0, "attention: heads is no multiple of kv_heads");
        scores.fill(f32::NEG_INFINITY);
        for head in 0..q.heads {
            let kv_head = head * k.heads / q.heads;
            for query in 0..queries {
                let row = &mut scores[(head * queries + query) * keys..][..keys];
                let q_row = q.head(query, head);
                let visible = self.visible(first_position + query);
                score_keys(self.scale, q_row, k, kv_head, visible.start, &mut row[visible.clone()]);
                if let Some(cap) = self.softcap {
                    softcap(&mut row[visible], cap);
                }
            }
        }
    }

    /// Replaces every row of `keys` scores by its softmax.
    pub fn pattern(scores: &mut [f32], keys: usize) {
        for row in scores.chunks_exact_mut(keys) {
            softmax(row);
        }
    }

    /// z = pattern · v: `pattern` is `[heads, queries, first_position + queries]`, the outputs are
    /// `[queries, heads · d_head]`. Keys after the query's own position are not read.
    ///
    /// # Panics
    /// If a length contradicts the shapes.
    pub fn mix(
        pattern: &[f32],
        v: HeadView<'_>,
        heads: usize,
        queries: usize,
        first_position: usize,
        mut outputs: Outputs<'_>,
    ) {
        let keys = first_position + queries;
        assert_eq!(pattern.len(), heads * queries * keys, "attention: pattern has the wrong length");
        assert_eq!(heads % v.heads, 0, "attention: heads is no multiple of kv_heads");
        outputs.check(queries * heads * v.d_head);
        let mut z = vec![0.0; v.d_head];
        for query in 0..queries {
            for head in 0..heads {
                z.fill(0.0);
                let row = &pattern[(head * queries + query) * keys..][..=first_position + query];
                for (key, weight) in row.iter().enumerate() {
                    add_scaled(*weight, v.head(key, head * v.heads / heads), &mut z);
                }
                outputs.store((query * heads + head) * v.d_head, &z);
            }
        }
    }
}

multiversion! {
    /// Scaled products of one query with the keys from `first_key` on.
    fn score_keys(scale: f32, q: &[f32], k: HeadView<'_>, head: usize, first_key: usize, scores: &mut [f32]) {
        for (key, score) in scores.iter_mut().enumerate() {
            *score = scale * dot(q, k.head(first_key + key, head));
        }
    }
}

multiversion! {
    /// z += weight · v.
    fn add_scaled(weight: f32, v: &[f32], z: &mut [f32]) {
        for (sum, value) in z.iter_mut().zip(v) {
            *sum = weight.mul_add(*value, *sum);
        }
    }
}
