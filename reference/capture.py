"""Reads every TransformerLens hook point out of a transformers model while it runs.

Values come from the model's own modules: their inputs and outputs, what its attention function is
given and returns, and what it hands to softmax. Nothing of the forward pass is computed anew, except
that a norm before its gain is the norm itself with a gain of one.
"""

import copy
import importlib

import torch

MASKED = -1e30


class Parts:
    """Where a family keeps the modules of a block."""

    def __init__(self, model):
        self.family = model.config.model_type
        base = model.base_model
        self.config = model.config
        if self.family == "gpt2":
            self.embed, self.positions, self.layers, self.final_norm = base.wte, base.wpe, base.h, base.ln_f
        elif self.family == "gpt_neox":
            self.embed, self.positions = base.embed_in, None
            self.layers, self.final_norm = base.layers, base.final_layer_norm
        else:
            self.embed, self.positions = base.embed_tokens, None
            self.layers, self.final_norm = base.layers, base.norm

    def block(self, layer):
        """ln1, attention, o, ln2, gate or only input of the MLP, up or None, down, ln1_post, ln2_post."""
        if self.family == "gpt2":
            return (layer.ln_1, layer.attn, layer.attn.c_proj, layer.ln_2, layer.mlp.c_fc, None,
                    layer.mlp.c_proj, None, None)
        if self.family == "gpt_neox":
            return (layer.input_layernorm, layer.attention, layer.attention.dense,
                    layer.post_attention_layernorm, layer.mlp.dense_h_to_4h, None,
                    layer.mlp.dense_4h_to_h, None, None)
        attention, mlp = layer.self_attn, layer.mlp
        if self.family in ("gemma2", "gemma3_text"):
            return (layer.input_layernorm, attention, attention.o_proj, layer.pre_feedforward_layernorm,
                    mlp.gate_proj, mlp.up_proj, mlp.down_proj, layer.post_attention_layernorm,
                    layer.post_feedforward_layernorm)
        return (layer.input_layernorm, attention, attention.o_proj, layer.post_attention_layernorm,
                mlp.gate_proj, mlp.up_proj, mlp.down_proj, None, None)


class Capture:
    """Records the hook points of one run of one sequence: `[position, width]` or `[head, query, key]`."""

    def __init__(self, model):
        self.model, self.parts, self.values, self.handles = model, Parts(model), {}, []
        self.modeling = importlib.import_module(type(model).__module__)

    def __enter__(self):
        parts = self.parts
        self.on_output(parts.embed, "hook_embed")
        if parts.positions is not None:
            self.on_output(parts.positions, "hook_pos_embed")
        for index, layer in enumerate(parts.layers):
            self.block(index, layer)
        self.norm(parts.final_norm, "ln_final")
        self.attention_function = self.modeling.eager_attention_forward
        self.modeling.eager_attention_forward = self.attention
        return self

    def __exit__(self, *_):
        self.modeling.eager_attention_forward = self.attention_function
        for handle in self.handles:
            handle.remove()

    def block(self, index, layer):
        ln1, attention, o, ln2, pre, up, down, ln1_post, ln2_post = self.parts.block(layer)
        attention.captured_as = name = f"blocks.{index}"
        self.on_input(layer, f"{name}.hook_resid_pre")
        self.norm(ln1, f"{name}.ln1")
        self.projections(attention, f"{name}.attn")
        self.on_input(o, f"{name}.attn.hook_z")
        if ln1_post is not None:
            self.norm(ln1_post, f"{name}.ln1_post")
            self.norm(ln2_post, f"{name}.ln2_post")
        self.on_output(ln1_post or attention, f"{name}.hook_attn_out")
        if not getattr(layer, "use_parallel_residual", False):
            self.on_input(ln2, f"{name}.hook_resid_mid")
        self.norm(ln2, f"{name}.ln2")
        self.on_input(pre, f"{name}.mlp.hook_in")
        self.on_output(pre, f"{name}.mlp.hook_pre")
        if up is not None:
            self.on_output(up, f"{name}.mlp.hook_pre_linear")
        self.on_input(down, f"{name}.mlp.hook_post")
        self.on_output(ln2_post or layer.mlp, f"{name}.hook_mlp_out")
        self.on_output(layer, f"{name}.hook_resid_post")

    def projections(self, attention, name):
        if self.parts.family == "gpt2":
            def keep(_module, _inputs, output):
                for part, values in zip("qkv", output.chunk(3, dim=-1)):
                    self.put(f"{name}.hook_{part}", values)
            self.handles.append(attention.c_attn.register_forward_hook(keep))
        elif self.parts.family == "gpt_neox":
            heads = self.parts.config.num_attention_heads

            def keep(_module, _inputs, output):
                rows = output.unflatten(-1, (heads, 3, -1))
                for part, values in zip("qkv", rows.unbind(-2)):
                    self.put(f"{name}.hook_{part}", values.flatten(-2))
            self.handles.append(attention.query_key_value.register_forward_hook(keep))
        else:
            for part in "qkv":
                self.on_output(getattr(attention, f"{part}_proj"), f"{name}.hook_{part}")

    def attention(self, module, query, key, value, mask, *arguments, **options):
        """Stands in for the modeling file's own eager attention, calls it, and watches."""
        name = f"{module.captured_as}.attn"
        if self.parts.family != "gpt2":
            self.put(f"{name}.hook_rot_q", query.transpose(1, 2).flatten(-2))
            self.put(f"{name}.hook_rot_k", key.transpose(1, 2).flatten(-2))
        softmax = torch.nn.functional.softmax

        def watched(scores, *softmax_arguments, **softmax_options):
            masked = torch.where(scores < MASKED, torch.tensor(float("-inf")), scores)
            self.put(f"{name}.hook_attn_scores", masked)
            return softmax(scores, *softmax_arguments, **softmax_options)

        torch.nn.functional.softmax = watched
        try:
            output, pattern = self.attention_function(module, query, key, value, mask, *arguments, **options)
        finally:
            torch.nn.functional.softmax = softmax
        self.put(f"{name}.hook_pattern", pattern)
        return output, pattern

    def norm(self, module, name):
        bare = copy.deepcopy(module)
        with torch.no_grad():
            offset = 1.0 if "Gemma" in type(module).__name__ else 0.0
            bare.weight.fill_(1.0 - offset)
            if getattr(bare, "bias", None) is not None:
                bare.bias.zero_()

        def keep(_module, inputs, _output):
            x = inputs[0]
            normalized = bare(x)
            centred = x - x.mean(-1, keepdim=True) if isinstance(module, torch.nn.LayerNorm) else x
            ratio = (centred * normalized).sum(-1, keepdim=True) / normalized.square().sum(-1, keepdim=True)
            self.put(f"{name}.hook_normalized", normalized)
            self.put(f"{name}.hook_scale", ratio)
        self.handles.append(module.register_forward_hook(keep))

    def on_output(self, module, name):
        def keep(_module, _inputs, output):
            self.put(name, output[0] if isinstance(output, tuple) else output)
        self.handles.append(module.register_forward_hook(keep))

    def on_input(self, module, name):
        def keep(_module, arguments, options):
            self.put(name, arguments[0] if arguments else options["hidden_states"])
        self.handles.append(module.register_forward_pre_hook(keep, with_kwargs=True))

    def put(self, name, values):
        self.values[name] = values[0].detach().float().clone()
