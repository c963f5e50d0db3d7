//! How each family spells its weights, as data: one table per family and file format.
//!
//! Names are given without `.weight` / `.bias`; `{}` stands for the layer's number.

use crate::architecture::Family;

/// The spelling of a family's weights.
#[derive(Debug)]
pub(super) struct Names {
    /// What may stand before every name; the one under which the embedding is found is used.
    pub(super) prefixes: &'static [&'static str],
    /// `[vocab, d_model]`
    pub(super) embedding: &'static str,
    /// `[context, d_model]`
    pub(super) positions: &'static str,
    pub(super) final_norm: &'static str,
    /// With its own prefixes, as it stands outside the decoder.
    pub(super) unembedding: &'static [&'static str],
    /// Prefix of a layer.
    pub(super) layer: &'static str,
    pub(super) ln1: &'static str,
    pub(super) ln2: &'static str,
    pub(super) ln1_post: &'static str,
    pub(super) ln2_post: &'static str,
    pub(super) qkv: Qkv,
    pub(super) o: &'static str,
    pub(super) q_norm: &'static str,
    pub(super) k_norm: &'static str,
    pub(super) gate: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
}

/// Query, key and value: three tensors, or one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Qkv {
    /// Three tensors.
    Separate { q: &'static str, k: &'static str, v: &'static str },
    /// One tensor whose rows are all of q, then all of k, then all of v.
    Concatenated(&'static str),
    /// One tensor whose rows are, head by head, that head's q, k and v (GPT-NeoX).
    PerHead(&'static str),
}

/// What the tables do not mention is not there in that family.
const ABSENT: &str = "";

const GPT2: Names = Names {
    prefixes: &["transformer.", ""],
    embedding: "wte",
    positions: "wpe",
    final_norm: "ln_f",
    unembedding: &["lm_head"],
    layer: "h.{}.",
    ln1: "ln_1",
    ln2: "ln_2",
    ln1_post: ABSENT,
    ln2_post: ABSENT,
    qkv: Qkv::Concatenated("attn.c_attn"),
    o: "attn.c_proj",
    q_norm: ABSENT,
    k_norm: ABSENT,
    gate: ABSENT,
    up: "mlp.c_fc",
    down: "mlp.c_proj",
};

const GPT_NEOX: Names = Names {
    prefixes: &["gpt_neox.", ""],
    embedding: "embed_in",
    positions: ABSENT,
    final_norm: "final_layer_norm",
    unembedding: &["embed_out", "lm_head"],
    layer: "layers.{}.",
    ln1: "input_layernorm",
    ln2: "post_attention_layernorm",
    ln1_post: ABSENT,
    ln2_post: ABSENT,
    qkv: Qkv::PerHead("attention.query_key_value"),
    o: "attention.dense",
    q_norm: ABSENT,
    k_norm: ABSENT,
    gate: ABSENT,
    up: "mlp.dense_h_to_4h",
    down: "mlp.dense_4h_to_h",
};

const LLAMA: Names = Names {
    prefixes: &["model.", "", "language_model.model.", "model.language_model."],
    embedding: "embed_tokens",
    positions: ABSENT,
    final_norm: "norm",
    unembedding: &["lm_head", "language_model.lm_head"],
    layer: "layers.{}.",
    ln1: "input_layernorm",
    ln2: "post_attention_layernorm",
    ln1_post: ABSENT,
    ln2_post: ABSENT,
    qkv: Qkv::Separate { q: "self_attn.q_proj", k: "self_attn.k_proj", v: "self_attn.v_proj" },
    o: "self_attn.o_proj",
    q_norm: "self_attn.q_norm",
    k_norm: "self_attn.k_norm",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
};

/// Gemma calls the norm *after* attention what Llama calls the norm before the MLP.
const GEMMA: Names = Names {
    ln2: "pre_feedforward_layernorm",
    ln1_post: "post_attention_layernorm",
    ln2_post: "post_feedforward_layernorm",
    ..LLAMA
};

const GGUF: Names = Names {
    prefixes: &[""],
    embedding: "token_embd",
    positions: "position_embd",
    final_norm: "output_norm",
    unembedding: &["output"],
    layer: "blk.{}.",
    ln1: "attn_norm",
    ln2: "ffn_norm",
    ln1_post: "post_attention_norm",
    ln2_post: "post_ffw_norm",
    qkv: Qkv::Separate { q: "attn_q", k: "attn_k", v: "attn_v" },
    o: "attn_output",
    q_norm: "attn_q_norm",
    k_norm: "attn_k_norm",
    gate: "ffn_gate",
    up: "ffn_up",
    down: "ffn_down",
};

const GGUF_FUSED: Names = Names { qkv: Qkv::Concatenated("attn_qkv"), ..GGUF };

impl Names {
    /// The names in a Hugging Face directory.
    pub(super) fn huggingface(family: Family) -> &'static Self {
        match family {
            Family::Gpt2 => &GPT2,
            Family::GptNeox => &GPT_NEOX,
            Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 => &LLAMA,
            Family::Gemma2 | Family::Gemma3 => &GEMMA,
        }
    }

    /// Every name inside a layer.
    pub(super) fn layer_parts(&self) -> impl Iterator<Item = &'static str> {
        let qkv = match self.qkv {
            Qkv::Separate { q, k, v } => [q, k, v],
            Qkv::Concatenated(name) | Qkv::PerHead(name) => [name, ABSENT, ABSENT],
        };
        let norms = [self.ln1, self.ln2, self.ln1_post, self.ln2_post, self.q_norm, self.k_norm];
        let rest = [self.o, self.gate, self.up, self.down];
        qkv.into_iter().chain(norms).chain(rest).filter(|name| *name != ABSENT)
    }

    /// The names in a GGUF file.
    pub(super) fn gguf(family: Family) -> &'static Self {
        match family {
            Family::Gpt2 | Family::GptNeox => &GGUF_FUSED,
            _ => &GGUF,
        }
    }
}
