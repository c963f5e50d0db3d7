//! From the tensors of a file to canonical weights: find them, check their shapes, undo the file's layout.
//!
//! What is undone: GPT-2 stores `W` transposed (`[n_in, n_out]`); GPT-2 and GPT-NeoX fuse q, k and v;
//! GGUF files of the llama architecture interleave the rotary pairs of q and k, row `2i + j` of a head
//! being row `i + j·d_head/2` of the half-split order.

use super::names::{Names, Qkv};
use super::source::TensorSource;
use super::weights::{LayerWeights, Linear, Matrix, NormWeights};
use crate::architecture::{Architecture, NormKind, QkNorm};
use crate::error::ModelError;

/// Whether a linear layer has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bias {
    /// The configuration says so.
    Required,
    /// The configuration says there is none.
    None,
    /// The format has no such field: whatever is in the file counts (GGUF).
    AsStored,
}

/// The conventions of one checkpoint.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) names: &'static Names,
    pub(super) qkv_bias: Bias,
    pub(super) o_bias: Bias,
    pub(super) mlp_bias: Bias,
    /// Linear weights are `[n_in, n_out]`.
    pub(super) transposed: bool,
    /// Rotary pairs of q and k lie next to each other.
    pub(super) interleaved_rotary: bool,
}

/// Reads the canonical weights of one checkpoint.
pub(super) struct Reader<'a> {
    pub(super) layout: &'a Layout,
    pub(super) architecture: &'a Architecture,
    pub(super) source: &'a dyn TensorSource,
}

impl Reader<'_> {
    /// `[vocab, d_model]`
    pub(super) fn embedding(&self) -> Result<Matrix, ModelError> {
        let a = self.architecture;
        self.matrix(&self.outer(self.layout.names.embedding), a.vocab_size, a.d_model)
    }

    /// `[context, d_model]`
    pub(super) fn position_embedding(&self) -> Result<Option<Matrix>, ModelError> {
        let a = self.architecture;
        if !a.learned_positions {
            return Ok(None);
        }
        self.matrix(&self.outer(self.layout.names.positions), a.context_length, a.d_model).map(Some)
    }

    /// The norm before the unembedding.
    pub(super) fn final_norm(&self) -> Result<NormWeights, ModelError> {
        self.norm(&self.outer(self.layout.names.final_norm), self.architecture.d_model)
    }

    /// `[vocab, d_model]`; none when it is the embedding.
    pub(super) fn unembedding(&self) -> Result<Option<Linear>, ModelError> {
        let a = self.architecture;
        if a.tied_embeddings {
            return Ok(None);
        }
        let names = self.layout.names.unembedding;
        let name = names.iter().find(|name| self.source.contains(&format!("{name}.weight")));
        let name = name.unwrap_or(&names[0]);
        let weight = self.matrix(name, a.vocab_size, a.d_model)?;
        Ok(Some(Linear { weight, bias: None }))
    }

    /// All weights of one layer.
    pub(super) fn layer(&self, layer: usize) -> Result<LayerWeights, ModelError> {
        let (a, names) = (self.architecture, self.layout.names);
        let at = |part: &str| self.outer(&(names.layer.replace("{}", &layer.to_string()) + part));
        let post = |part| a.post_norms.then(|| self.norm(&at(part), a.d_model)).transpose();
        let per_head = a.qk_norm == QkNorm::PerHead;
        let head_norm = |part| per_head.then(|| self.norm(&at(part), a.d_head)).transpose();
        let mlp = |part, n_out, n_in| self.linear(&at(part), n_out, n_in, self.layout.mlp_bias);
        let [q, k, v] = self.qkv(&at)?;
        Ok(LayerWeights {
            ln1: self.norm(&at(names.ln1), a.d_model)?,
            ln2: Some(self.norm(&at(names.ln2), a.d_model)?),
            ln1_post: post(names.ln1_post)?,
            ln2_post: post(names.ln2_post)?,
            q,
            k,
            v,
            o: self.linear(&at(names.o), a.d_model, a.q_width(), self.layout.o_bias)?,
            q_norm: head_norm(names.q_norm)?,
            k_norm: head_norm(names.k_norm)?,
            gate: a.mlp.gated.then(|| mlp(names.gate, a.d_mlp, a.d_model)).transpose()?,
            up: mlp(names.up, a.d_mlp, a.d_model)?,
            down: mlp(names.down, a.d_model, a.d_mlp)?,
        })
    }

    /// Number of parameters that the architecture uses, from its sizes.
    pub(super) fn parameter_count(&self) -> u64 {
        let (a, size) = (self.architecture, |name: &str, part: &str| {
            let shape = self.source.shape(&format!("{name}.{part}")).unwrap_or(vec![0]);
            shape.into_iter().map(|n| n as u64).product::<u64>()
        });
        let both = |name: &str| size(name, "weight") + size(name, "bias");
        let names = self.layout.names;
        let mut total = both(&self.outer(names.embedding)) + both(&self.outer(names.final_norm));
        if a.learned_positions {
            total += both(&self.outer(names.positions));
        }
        if !a.tied_embeddings {
            total += names.unembedding.iter().map(|name| both(name)).sum::<u64>();
        }
        for layer in 0..a.n_layers {
            let prefix = names.layer.replace("{}", &layer.to_string());
            total +=
                names.layer_parts().map(|part| both(&self.outer(&format!("{prefix}{part}")))).sum::<u64>();
        }
        total
    }

    /// Query, key and value of one layer, separated and with half-split rotary pairs.
    fn qkv(&self, at: &dyn Fn(&str) -> String) -> Result<[Linear; 3], ModelError> {
        let (a, bias) = (self.architecture, self.layout.qkv_bias);
        let fused = |name| self.linear(&at(name), a.q_width() + 2 * a.kv_width(), a.d_model, bias);
        let [mut q, mut k, v] = match self.layout.names.qkv {
            Qkv::Separate { q, k, v } => [
                self.linear(&at(q), a.q_width(), a.d_model, bias)?,
                self.linear(&at(k), a.kv_width(), a.d_model, bias)?,
                self.linear(&at(v), a.kv_width(), a.d_model, bias)?,
            ],
            Qkv::Concatenated(name) => {
                let (q, kv) = (a.q_width(), a.kv_width());
                let fused = fused(name)?;
                [(0, q), (q, kv), (q + kv, kv)]
                    .map(|(start, count)| fused.select(&(start..start + count).collect::<Vec<_>>()))
            }
            Qkv::PerHead(name) => {
                let fused = fused(name)?;
                [0, 1, 2].map(|part| {
                    let rows_of = |head| (0..a.d_head).map(move |i| (head * 3 + part) * a.d_head + i);
                    fused.select(&(0..a.n_heads).flat_map(rows_of).collect::<Vec<_>>())
                })
            }
        };
        if self.layout.interleaved_rotary {
            q = q.select(&half_split_rows(a.n_heads, a.d_head));
            k = k.select(&half_split_rows(a.n_kv_heads, a.d_head));
        }
        Ok([q, k, v])
    }

    /// The full name of something outside `Names::unembedding`, under the prefix this checkpoint uses.
    fn outer(&self, name: &str) -> String {
        let names = self.layout.names;
        let holds = |prefix: &&&str| self.source.contains(&format!("{prefix}{}.weight", names.embedding));
        format!("{}{name}", names.prefixes.iter().find(holds).unwrap_or(&names.prefixes[0]))
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, ModelError> {
        let data = self.source.read_shaped(&format!("{name}.weight"), &[rows, cols])?;
        Ok(Matrix { rows, cols, data })
    }

    fn linear(&self, name: &str, n_out: usize, n_in: usize, bias: Bias) -> Result<Linear, ModelError> {
        let weight = if self.layout.transposed {
            self.matrix(name, n_in, n_out)?.transposed()
        } else {
            self.matrix(name, n_out, n_in)?
        };
        let bias_name = format!("{name}.bias");
        let has_bias = match bias {
            Bias::Required => true,
            Bias::None => false,
            Bias::AsStored => self.source.contains(&bias_name),
        };
        let bias = has_bias.then(|| self.source.read_shaped(&bias_name, &[n_out])).transpose()?;
        Ok(Linear { weight, bias })
    }

    fn norm(&self, name: &str, width: usize) -> Result<NormWeights, ModelError> {
        let weight = self.source.read_shaped(&format!("{name}.weight"), &[width])?;
        let has_bias = self.architecture.norm.kind == NormKind::LayerNorm;
        let bias =
            has_bias.then(|| self.source.read_shaped(&format!("{name}.bias"), &[width])).transpose()?;
        Ok(NormWeights { weight, bias })
    }
}

/// For each row of the half-split order, the row of the interleaved order that it comes from.
fn half_split_rows(n_heads: usize, d_head: usize) -> Vec<usize> {
    let in_head = move |i: usize| if i < d_head / 2 { 2 * i } else { 2 * (i - d_head / 2) + 1 };
    (0..n_heads).flat_map(|head| (0..d_head).map(move |i| head * d_head + in_head(i))).collect()
}

impl Linear {
    /// The layer that computes only the given outputs, in the given order.
    fn select(&self, rows: &[usize]) -> Self {
        let cols = self.weight.cols;
        let mut data = Vec::with_capacity(rows.len() * cols);
        for &row in rows {
            data.extend_from_slice(&self.weight.data[row * cols..(row + 1) * cols]);
        }
        let bias = self.bias.as_ref().map(|bias| rows.iter().map(|&row| bias[row]).collect());
        Self { weight: Matrix { rows: rows.len(), cols, data }, bias }
    }
}

impl Matrix {
    /// Rows become columns.
    fn transposed(&self) -> Self {
        let mut data = Vec::with_capacity(self.data.len());
        for col in 0..self.cols {
            data.extend(self.data.iter().skip(col).step_by(self.cols));
        }
        Self { rows: self.cols, cols: self.rows, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_changes_nothing() {
        let matrix = Matrix { rows: 2, cols: 3, data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        assert_eq!(matrix.transposed().data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(matrix.transposed().transposed(), matrix);
    }

    #[test]
    fn rotary_pairs_move_from_neighbours_to_halves() {
        assert_eq!(half_split_rows(2, 6), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
