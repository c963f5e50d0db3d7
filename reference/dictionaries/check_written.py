"""Loads everything in `written/` with the package of its format, and compares with the golden it was made from.

`written/GOLDEN__FORMAT/` is what Glossator wrote when it converted `goldens/GOLDEN` (see
`crates/dictionary/tests/formats.rs`, which holds the files against what it writes today). Latents and reconstructions
must be those of the golden within 1e-5 of its norm.
"""

import json
import os
import sys
from pathlib import Path

# sparsify decodes with Triton kernels unless told otherwise, and those need a GPU.
os.environ["SPARSIFY_DISABLE_TRITON"] = "1"

import numpy as np
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent


def saelens(directory, x):
    from sae_lens import SAE

    sae = SAE.load_from_disk(directory)
    return sae.encode(x), sae(x)


def sparsify(directory, x):
    from sparsify import SparseCoder

    coder = SparseCoder.load_from_disk(directory)
    acts, indices, _ = coder.encode(x)
    return torch.zeros(len(x), coder.num_latents).scatter_(-1, indices, acts), coder(x).sae_out


def dictionary_learning(directory, x):
    from dictionary_learning import dictionary
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    classes = {
        "AutoEncoder": dictionary.AutoEncoder,
        "AutoEncoderNew": dictionary.AutoEncoderNew,
        "GatedAutoEncoder": dictionary.GatedAutoEncoder,
        "JumpReluAutoEncoder": dictionary.JumpReluAutoEncoder,
        "AutoEncoderTopK": AutoEncoderTopK,
        "BatchTopKSAE": BatchTopKSAE,
        "MatryoshkaBatchTopKSAE": MatryoshkaBatchTopKSAE,
    }
    trainer = json.loads((directory / "config.json").read_text())["trainer"]
    path = directory / "ae.pt"
    # Otherwise the package rescales latents by the norms of their decoder rows.
    options = {"normalize_decoder": False} if trainer["dict_class"] == "AutoEncoder" else {}
    loaded = classes[trainer["dict_class"]].from_pretrained(path, **options)
    return loaded.encode(x), loaded(x)


def openai(directory, x):
    state = torch.load(directory / "autoencoder.pt", weights_only=True)
    u, mean, deviation = x, 0.0, 1.0
    if state["activation"] == "TopK":
        mean, deviation = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        u = (x - mean) / (deviation + 1e-5)
    pre = (u - state["pre_bias"]) @ state["encoder.weight"].T + state["latent_bias"]
    latents = pre.relu()
    if state["activation"] == "TopK":
        assert state["activation_state_dict"]["postact_fn"] == "ReLU"
        top = pre.topk(state["activation_state_dict"]["k"])
        latents = torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
    return latents, (latents @ state["decoder.weight"].T + state["pre_bias"]) * deviation + mean


def jumprelu(x, w_enc, w_dec, b_enc, b_dec, threshold, skip=None):
    pre = x @ w_enc + b_enc
    latents = pre * (pre > threshold)
    return latents, latents @ w_dec + b_dec + (0 if skip is None else x @ skip.T)


def gemma_scope(directory, x):
    w = {name: torch.tensor(value) for name, value in np.load(directory / "params.npz").items()}
    return jumprelu(x, w["W_enc"], w["W_dec"], w["b_enc"], w["b_dec"], w["threshold"])


def circuit_tracer(directory, x):
    w = load_file(directory / "layer_3.safetensors")
    threshold = w.get("activation_function.threshold", torch.tensor(0.0))
    return jumprelu(x, w["W_enc"].T, w["W_dec"], w["b_enc"], w["b_dec"], threshold, w.get("W_skip"))


def main():
    loaders = [saelens, sparsify, dictionary_learning, openai, gemma_scope, circuit_tracer]
    loaders = {loader.__name__.replace("_", "-"): loader for loader in loaders}
    failures = 0
    for directory in sorted((HERE / "written").iterdir()):
        name, kind = directory.name.split("__")
        golden = load_file(HERE / "goldens" / name / "golden.safetensors")
        with torch.no_grad():
            latents, reconstruction = loaders[kind](directory, golden["inputs"])
        errors = []
        for got, want in [(latents, golden["latents"]), (reconstruction, golden["reconstruction"])]:
            errors.append(((got - want).norm() / want.norm()).item())
        failures += max(errors) > 1e-5
        print(f"{name:42} {kind:20} latents {errors[0]:.1e}  reconstruction {errors[1]:.1e}")
    print(f"{failures} failures")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
