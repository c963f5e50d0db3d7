"""Configurations of the tiny models: one per family and per feature in which families differ.

Each is a `config.json` as found on the Hugging Face hub. Sizes are small and unequal, so that a swapped
axis shows: 4 heads of 8 in a stream of 24, 2 key heads, 20 neurons, windows shorter than the sequences.
"""

VOCAB = 288
COMMON = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 1}
LLAMA_LIKE = COMMON | {
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
NEOX = COMMON | {
    "architectures": ["GPTNeoXForCausalLM"],
    "model_type": "gpt_neox",
    "hidden_size": 32,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "hidden_act": "gelu",
    "rotary_emb_base": 10000,
    "layer_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}

CONFIGS = {
    "gpt2": COMMON | {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": 24,
        "n_head": 3,
        "n_layer": 2,
        "n_positions": 16,
        "n_ctx": 16,
        "n_inner": 20,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
    },
    "neox_parallel": NEOX | {"rotary_pct": 0.25, "use_parallel_residual": True},
    "neox_sequential": NEOX | {"rotary_pct": 0.5, "use_parallel_residual": False},
    "llama": LLAMA_LIKE | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "llama_tied": LLAMA_LIKE | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
        "rope_scaling": {"type": "linear", "factor": 2.0},
    },
    "llama_yarn": LLAMA_LIKE | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    },
    "mistral": LLAMA_LIKE | {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "sliding_window": 4,
    },
    "qwen2": LLAMA_LIKE | {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "sliding_window": 4,
    },
    "qwen3": LLAMA_LIKE | {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
    },
    "gemma2": LLAMA_LIKE | {
        "architectures": ["Gemma2ForCausalLM"],
        "model_type": "gemma2",
        "num_hidden_layers": 3,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 16,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 4.0,
        "sliding_window": 4,
        "tie_word_embeddings": True,
    },
    "gemma3": LLAMA_LIKE | {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "num_hidden_layers": 3,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 16,
        "sliding_window": 4,
        "sliding_window_pattern": 3,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "tie_word_embeddings": True,
    },
}

# A change of each kind, by the notation of `glossator activations --intervene`.
INTERVENTIONS = {
    "zero_neuron": {"site": "mlp.hook_post", "layer": -1, "unit": 7, "spec": "{hook}:7=0"},
    "add_to_stream": {"site": "hook_resid_post", "layer": 0, "position": -2, "spec": "{hook}@-2+={vector}"},
    "ablate_head": {"site": "attn.hook_z", "layer": 0, "head": 1, "spec": "{hook}:h1=zero"},
}

TEXTS = ["The glossators wrote in margins", "Explain each neuron: why, é?"]
