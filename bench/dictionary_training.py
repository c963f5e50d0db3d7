"""Times the training step of TopK dictionaries in sparsify, dictionary_learning, SAELens and ours, on the same rows.

Every program trains on the rows of one safetensors file in their order, k = 32, AuxK on, Adam at one constant learning
rate, unit-norm decoder where the program knows one, batch 4096; the last batch is held out. Printed are tokens/s of the
step alone (median over steps, the first two left out), the peak memory of the process, and after all steps the explained
variance 1 - sum |x - x'|^2 / sum |x - mean x|^2 and the L0 on the held-out rows.

Each program runs in a process of its own, one after the other.

Usage: dictionary_training.py ROWS.safetensors OURS [LATENTS...]   where OURS is the built example `training_comparison`
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time

BATCH, K, RATE = 4096, 32, 5e-4
PEERS = ["sparsify", "dictionary_learning", "sae_lens"]


def rows_of(path: str):
    """The rows `[row, d]` of the file's activations, without the tokens beside them."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    (name,) = [name for name in tensors if name not in ("tokens", "logits")]
    return tensors[name].flatten(0, -2).float()


def sparsify_steps(d: int, latents: int, steps: int):
    """SparseCoder with the inner loop of sparsify's Trainer, with Adam."""
    import torch
    from sparsify import SparseCoder, SparseCoderConfig

    coder = SparseCoder(d, SparseCoderConfig(num_latents=latents, k=K), device="cpu", dtype=torch.float32)
    optimizer = torch.optim.Adam(coder.parameters(), lr=RATE)
    idle = torch.zeros(latents, dtype=torch.long)

    def step(x):
        out = coder(x, dead_mask=idle > 10_000_000)
        (out.fvu + out.auxk_loss / 32).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        coder.set_decoder_norm_to_unit_norm()
        fired = torch.zeros(latents, dtype=torch.bool)
        fired[out.latent_indices.flatten()] = True
        idle.add_(len(x))
        idle[fired] = 0

    def reconstruct(x):
        out = coder(x)
        return out.sae_out, (out.latent_acts > 0).sum(1).float().mean()

    return step, reconstruct


def dictionary_learning_steps(d: int, latents: int, steps: int):
    """TopKTrainer.update."""
    from dictionary_learning.trainers.top_k import TopKTrainer

    trainer = TopKTrainer(
        steps=steps, activation_dim=d, dict_size=latents, k=K, layer=0, lm_name="", lr=RATE, warmup_steps=0, device="cpu"
    )
    count = iter(range(10**9))

    def reconstruct(x):
        latents = trainer.ae.encode(x)
        return trainer.ae.decode(latents), (latents > 0).sum(1).float().mean()

    return lambda x: trainer.update(next(count), x), reconstruct


def sae_lens_steps(d: int, latents: int, steps: int):
    """SAETrainer.step."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=d, d_sae=latents, k=K, device="cpu"))
    config = SAETrainerConfig(
        total_training_samples=steps * BATCH, train_batch_size_samples=BATCH, lr=RATE, lr_end=RATE, device="cpu"
    )
    trainer = SAETrainer(config, sae, data_provider=iter(()))

    def step(x):
        trainer.step(x)
        trainer.n_training_steps += 1

    def reconstruct(x):
        active = sae.encode(x)
        dense = active.to_dense() if active.is_sparse else active
        return sae.decode(active), (dense > 0).sum(1).float().mean()

    return step, reconstruct


def run_peer(name: str, path: str, latents: int) -> None:
    """Trains one program and prints what was seen as JSON."""
    import torch

    torch.manual_seed(0)
    rows = rows_of(path)
    batches = rows[: len(rows) // BATCH * BATCH].split(BATCH)
    *training, held_out = batches
    makers = {
        "sparsify": sparsify_steps,
        "dictionary_learning": dictionary_learning_steps,
        "sae_lens": sae_lens_steps,
    }
    step, reconstruct = makers[name](rows.shape[1], latents, len(training))
    seconds = []
    for batch in training:
        start = time.perf_counter()
        step(batch)
        seconds.append(time.perf_counter() - start)
    with torch.no_grad():
        found, l0 = reconstruct(held_out)
        rest = (held_out - found).pow(2).sum() / (held_out - held_out.mean(0)).pow(2).sum()
    report = {
        "tokens_per_second": BATCH / statistics.median(seconds[2:]),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "explained_variance": 1 - float(rest),
        "l0": float(l0),
    }
    print(json.dumps(report))


def report_of(command: list[str]) -> dict:
    """The last line that a program prints, as JSON."""
    # sparsify takes its Triton kernels for granted where the package is there, also on a CPU.
    environment = os.environ | {"SPARSIFY_DISABLE_TRITON": "1"}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(output.stdout.strip().splitlines()[-1])


def main() -> None:
    """The table."""
    path, ours, *sizes = sys.argv[1:]
    for latents in map(int, sizes or ["4096", "16384"]):
        print(f"{latents} latents, k {K}, batch {BATCH}, learning rate {RATE}")
        print(f"{'':<22}{'tokens/s':>10}{'peak MB':>10}{'explained':>11}{'L0':>7}")
        commands = {"ours, bf16 selection": [ours, path, str(latents), str(K), str(RATE), "bf16"]}
        commands["ours, f32"] = [ours, path, str(latents), str(K), str(RATE), "f32"]
        commands |= {peer: [sys.executable, __file__, "--peer", peer, path, str(latents)] for peer in PEERS}
        for name, command in commands.items():
            seen = report_of(command)
            print(
                f"{name:<22}{seen['tokens_per_second']:>10.0f}{seen['peak_megabytes']:>10.0f}"
                f"{seen['explained_variance']:>11.4f}{seen['l0']:>7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1] == "--peer":
        run_peer(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
