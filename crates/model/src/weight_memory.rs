//! The memory that a decoder's matrices take once they are packed, known from its description before a weight is read.

use glossator_kernels::PackedMatrix;

use crate::architecture::Architecture;
use crate::model::Precision;

impl Architecture {
    /// Bytes of the packed matrices of all blocks and of the unembedding, and of the tables of tokens and learned positions,
    /// which stay in f32. Gains and biases are left out: they are a thousandth of it.
    pub fn matrix_bytes(&self, precision: Precision) -> usize {
        let packed = |parts: &[usize], n_in| PackedMatrix::bytes_of(parts, n_in, precision.resolve());
        let (d_model, q, kv) = (self.d_model, self.q_width(), self.kv_width());
        let mlp_in = if self.mlp.gated { vec![self.d_mlp; 2] } else { vec![self.d_mlp] };
        let block = packed(&[q, kv, kv], d_model)
            + packed(&[d_model], q)
            + packed(&mlp_in, d_model)
            + packed(&[d_model], self.d_mlp);
        let positions = if self.learned_positions { self.context_length } else { 0 };
        let tables = (self.vocab_size + positions) * d_model * size_of::<f32>();
        self.n_layers * block + packed(&[self.vocab_size], d_model) + tables
    }
}
