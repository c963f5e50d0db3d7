"""Writes `goldens/NAME/`: small dictionaries as their own packages save them, and what they compute.

Beside the package's files stands `golden.safetensors`: `inputs` [rows, d_in], `latents` [rows, latents] and
`reconstruction` [rows, d_out], by the class of the package that loads the files again. Formats without a package
(OpenAI, Gemma Scope, circuit-tracer) are written by hand here, and computed by the equations of their publications.
"""

import json
import os
import shutil
from pathlib import Path

# sparsify decodes with Triton kernels unless told otherwise, and those need a GPU.
os.environ["SPARSIFY_DISABLE_TRITON"] = "1"

import numpy as np
import torch
from safetensors.torch import save_file

GOLDENS = Path(__file__).parent / "goldens"
D_IN, D_OUT, LATENTS, ROWS, K = 12, 10, 32, 24, 4


def randomise(module):
    """Every parameter random, so that no convention can hide behind a zero or a one."""
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape) * (0.3 if parameter.ndim == 2 else 0.2))
            if "threshold" in name:
                parameter.abs_()


def inputs(d_in=D_IN):
    # Not centred and not of unit norm: normalisation and biases must show.
    return torch.randn(ROWS, d_in) * 1.5 + 0.4


def save_golden(directory, x, latents, reconstruction):
    assert (latents != 0).any() and (latents == 0).any(), directory
    tensors = {"inputs": x, "latents": latents, "reconstruction": reconstruction}
    save_file({name: t.detach().float().contiguous() for name, t in tensors.items()}, directory / "golden.safetensors")


def fresh(name):
    directory = GOLDENS / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def saelens(name, architecture, **config):
    from sae_lens import SAE

    directory = fresh(f"saelens_{name}")
    config = {"d_in": D_IN, "d_sae": LATENTS, "dtype": "float32", "device": "cpu", **config}
    metadata = {
        "model_name": "gpt2-small",
        "hook_name": "blocks.3.hook_resid_pre",
        "hook_head_index": None,
        "context_size": 128,
        "prepend_bos": True,
        "dataset_path": "Skylion007/openwebtext",
    }
    sae = SAE.from_dict({"architecture": architecture, "metadata": metadata, **config})
    randomise(sae)
    sae.save_model(directory)
    sae = SAE.load_from_disk(directory)
    x = inputs()
    # `decode` of a normalised dictionary needs the statistics that `encode` has just left behind.
    latents = sae.encode(x)
    save_golden(directory, x, latents, sae(x))


def saelens_before_6():
    """The flat configuration of SAELens 3 to 5, with its older names, around weights of the current class."""
    from sae_lens import SAE

    directory = fresh("saelens_before_6")
    sae = SAE.from_dict({"architecture": "topk", "d_in": D_IN, "d_sae": LATENTS, "k": K, "device": "cpu"})
    randomise(sae)
    sae.save_model(directory)
    config = {
        "architecture": "standard",
        "d_in": D_IN,
        "d_sae": LATENTS,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": K},
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "context_size": 128,
        "model_name": "gpt2-small",
        "hook_point": "blocks.3.hook_resid_pre",
        "hook_point_layer": 3,
        "hook_point_head_index": None,
        "prepend_bos": True,
        "dataset_path": "Skylion007/openwebtext",
        "normalize_activations": "layer_norm",
        "dtype": "torch.float32",
        "device": "cpu",
        "sae_lens_training_version": "3.11.0",
    }
    (directory / "cfg.json").write_text(json.dumps(config))
    sae = SAE.load_from_disk(directory)
    x = inputs()
    latents = sae.encode(x)
    save_golden(directory, x, latents, sae(x))


def saelens_batchtopk():
    """As the trainer saves it for use: a jumprelu dictionary with one threshold."""
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, SAE

    directory = fresh("saelens_batchtopk")
    config = BatchTopKTrainingSAEConfig(d_in=D_IN, d_sae=LATENTS, k=K, rescale_acts_by_decoder_norm=True)
    sae = BatchTopKTrainingSAE(config)
    randomise(sae)
    sae.topk_threshold.fill_(0.6)
    sae.save_inference_model(directory)
    sae = SAE.load_from_disk(directory)
    x = inputs()
    save_golden(directory, x, sae.encode(x), sae(x))


def sparsify(name, **config):
    from sparsify import SparseCoder, SparseCoderConfig

    directory = fresh(f"sparsify_{name}")
    coder = SparseCoder(D_IN, SparseCoderConfig(num_latents=LATENTS, k=K, **config))
    randomise(coder)
    coder.save_to_disk(directory)
    coder = SparseCoder.load_from_disk(directory)
    x = inputs()
    acts, indices, _ = coder.encode(x)
    latents = torch.zeros(ROWS, LATENTS).scatter_(-1, indices, acts)
    save_golden(directory, x, latents, coder(x).sae_out)


def dictionary_learning(name, make, config):
    directory = fresh(f"dictionary_learning_{name}")
    dictionary = make()
    randomise(dictionary)
    if "threshold" in dict(dictionary.named_buffers()) and "Batch" in type(dictionary).__name__:
        dictionary.threshold.fill_(0.5)
    # As the package's `training.py` does.
    torch.save({key: value.cpu() for key, value in dictionary.state_dict().items()}, directory / "ae.pt")
    trainer = {
        "dict_class": type(dictionary).__name__,
        "activation_dim": D_IN,
        "dict_size": LATENTS,
        "layer": 3,
        "lm_name": "EleutherAI/pythia-70m-deduped",
        "submodule_name": "resid_post_layer_3",
        **config,
    }
    (directory / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
    x = inputs()
    save_golden(directory, x, dictionary.encode(x), dictionary(x))


def openai(name, activation, activation_state, extra):
    """github.com/openai/sparse_autoencoder, model.py: a state dictionary of tensors, strings and numbers."""
    directory = fresh(f"openai_{name}")
    state = {
        "pre_bias": torch.randn(D_IN) * 0.2,
        "latent_bias": torch.randn(LATENTS) * 0.2,
        "stats_last_nonzero": torch.randint(0, 9, (LATENTS,)),
        "latents_activation_frequency": torch.rand(LATENTS),
        "latents_mean_square": torch.rand(LATENTS),
        "encoder.weight": torch.randn(LATENTS, D_IN) * 0.3,
        "decoder.weight": torch.randn(D_IN, LATENTS) * 0.3,
        "activation": activation,
        **extra,
    }
    if activation_state is not None:
        state["activation_state_dict"] = activation_state
    torch.save(state, directory / "autoencoder.pt")
    x = inputs()
    u, mean, deviation = x, 0.0, 1.0
    if activation == "TopK":
        mean, deviation = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        u = (x - mean) / (deviation + 1e-5)
    pre = (u - state["pre_bias"]) @ state["encoder.weight"].T + state["latent_bias"]
    latents = pre.relu()
    if activation == "TopK":
        top = pre.topk(K)
        latents = torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
    reconstruction = (latents @ state["decoder.weight"].T + state["pre_bias"]) * deviation + mean
    save_golden(directory, x, latents, reconstruction)


def gemma_scope():
    directory = fresh("gemma_scope")
    weights = {
        "W_enc": torch.randn(D_IN, LATENTS) * 0.3,
        "W_dec": torch.randn(LATENTS, D_IN) * 0.3,
        "b_enc": torch.randn(LATENTS) * 0.2,
        "b_dec": torch.randn(D_IN) * 0.2,
        "threshold": torch.rand(LATENTS),
    }
    np.savez(directory / "params.npz", **{name: weight.numpy() for name, weight in weights.items()})
    x = inputs()
    pre = x @ weights["W_enc"] + weights["b_enc"]
    latents = pre.relu() * (pre > weights["threshold"])
    save_golden(directory, x, latents, latents @ weights["W_dec"] + weights["b_dec"])


def circuit_tracer(name, extra, activation, config=""):
    """github.com/safety-research/circuit-tracer, single_layer_transcoder.py."""
    directory = fresh(f"circuit_tracer_{name}")
    weights = {
        "W_enc": torch.randn(LATENTS, D_IN) * 0.3,
        "W_dec": torch.randn(LATENTS, D_IN) * 0.3,
        "b_enc": torch.randn(LATENTS) * 0.2,
        **extra,
    }
    weights["b_dec"] = torch.randn(D_IN) * 0.2
    save_file(weights, directory / "layer_3.safetensors")
    (directory / "config.yaml").write_text(
        "model_name: google/gemma-2-2b\nmodel_kind: transcoder_set\nfeature_input_hook: ln2.hook_normalized\n"
        f"feature_output_hook: hook_mlp_out\n{config}"
    )
    x = inputs()
    latents = activation(x @ weights["W_enc"].T + weights["b_enc"])
    reconstruction = latents @ weights["W_dec"] + weights["b_dec"]
    if "W_skip" in weights:
        reconstruction = reconstruction + x @ weights["W_skip"].T
    save_golden(directory, x, latents, reconstruction)


def signed_top_k(pre):
    top = pre.topk(K)
    return torch.zeros_like(pre).scatter(-1, top.indices, top.values)


def main():
    torch.manual_seed(0)
    for normalisation in ["none", "layer_norm", "constant_norm_rescale"]:
        saelens(f"standard_{normalisation}", "standard", normalize_activations=normalisation)
    saelens("standard_input_kept", "standard", apply_b_dec_to_input=False)
    saelens("topk", "topk", k=K, normalize_activations="layer_norm")
    saelens("topk_rescaled", "topk", k=K, rescale_acts_by_decoder_norm=True)
    saelens("abstopk", "abstopk", k=K)
    saelens("jumprelu", "jumprelu")
    saelens("gated", "gated", apply_b_dec_to_input=True)
    for kind in ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"]:
        saelens(kind, kind, d_out=D_OUT, apply_b_dec_to_input=False)
    saelens("transcoder_normalised", "transcoder", d_out=D_OUT, apply_b_dec_to_input=False, normalize_activations="layer_norm")
    saelens_before_6()
    saelens_batchtopk()

    sparsify("topk")
    sparsify("groupmax", activation="groupmax")
    sparsify("transcoder", transcode=True)
    sparsify("skip_transcoder", transcode=True, skip_connection=True)

    from dictionary_learning import dictionary
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    groups = [4, 12, 16]
    for name, make, config in [
        ("relu", lambda: dictionary.AutoEncoder(D_IN, LATENTS), {}),
        ("relu_new", lambda: dictionary.AutoEncoderNew(D_IN, LATENTS), {}),
        ("gated", lambda: dictionary.GatedAutoEncoder(D_IN, LATENTS), {}),
        ("jumprelu", lambda: dictionary.JumpReluAutoEncoder(D_IN, LATENTS), {}),
        ("topk", lambda: AutoEncoderTopK(D_IN, LATENTS, K), {"k": K}),
        ("batchtopk", lambda: BatchTopKSAE(D_IN, LATENTS, K), {"k": K}),
        ("matryoshka", lambda: MatryoshkaBatchTopKSAE(D_IN, LATENTS, K, groups), {"k": K, "group_sizes": groups}),
    ]:
        dictionary_learning(name, make, config)

    openai("relu", "ReLU", None, {})
    openai("topk", "TopK", {"k": K, "postact_fn": "ReLU"}, {})
    gemma_scope()
    circuit_tracer("relu", {}, torch.relu)
    circuit_tracer("topk", {}, signed_top_k, f"activation: topk\nk: {K}\n")
    threshold = torch.rand(LATENTS)
    circuit_tracer(
        "jumprelu_skip",
        {"activation_function.threshold": threshold, "W_skip": torch.randn(D_IN, D_IN) * 0.3},
        lambda pre: pre * (pre > threshold),
    )


if __name__ == "__main__":
    main()
