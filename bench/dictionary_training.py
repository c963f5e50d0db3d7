"""Times the training steps of dictionaries in sparsify, dictionary_learning, SAELens and ours, on the same rows.

Every program trains on the rows of one safetensors file in their order, without the first position of each window (as
`glossator train` leaves it out: its activations are a hundred times larger), batch 4096, Adam at one constant learning
rate; the last batch is held out. Printed are tokens/s of the step alone (median over steps, the first two left out), the peak
memory of the process, and after all steps the explained variance 1 - sum |x - x'|^2 / sum |x - mean x|^2 and the L0 on
the held-out rows; for ours also the recall of the true top k.

TopK: k = 32, AuxK on, unit-norm decoder where the program knows one.

ReLU + L1: on the first 512 coordinates, from a dictionary that all programs begin with: TopK (k = 64) trained by ours on
the rows once, biases lowered by the threshold it ended with, so that about 64 latents are active. All minimise
|x - x'|^2 + coefficient * sum f; dictionary_learning and ours keep decoder rows at norm 1, SAELens weighs f by their norm.
"random start" is ours and theirs from each program's own initialisation, where half of all latents are active.

Each program runs in a process of its own, one after the other.

Usage: dictionary_training.py ROWS.safetensors OURS [PART...]   where OURS is the built example `training_comparison` and a
part is topk:LATENTS or l1:LATENTS (default: topk:4096 topk:16384 l1:4096 l1:32768)
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

BATCH, K, RATE = 4096, 32, 5e-4
L1_WIDTH, L1_START_K, L1_RATE = 512, 64, 1e-4
# The coefficient as a share of the mean norm of centred rows: what holds L0 near the start's.
L1_SHARE = 0.04
L1_STEPS = {4096: 12, 32768: 6}
PEERS = {"topk": ["sparsify", "dictionary_learning", "sae_lens"], "l1": ["dictionary_learning", "sae_lens"]}


@dataclass
class Task:
    """What one program is to train."""

    kind: str
    path: str
    latents: int
    steps: int
    coefficient: float = 0.0
    start: str = ""


def rows_of(path: str):
    """The rows `[row, d]` of a prepared file."""
    from safetensors.torch import load_file

    return load_file(path)["rows"]


def prepare(path: str, prepared: str) -> None:
    """Writes the activations `[window, position, d]` of a file as rows, without tokens and first positions."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    (name,) = [name for name in tensors if name not in ("tokens", "logits")]
    save_file({"rows": tensors[name][:, 1:].flatten(0, -2).float().contiguous()}, prepared)


def sparsify_steps(task: Task, d: int, start: dict):
    """SparseCoder with the inner loop of sparsify's Trainer, with Adam."""
    import torch
    from sparsify import SparseCoder, SparseCoderConfig

    coder = SparseCoder(d, SparseCoderConfig(num_latents=task.latents, k=K), device="cpu", dtype=torch.float32)
    optimizer = torch.optim.Adam(coder.parameters(), lr=RATE)
    idle = torch.zeros(task.latents, dtype=torch.long)

    def step(x):
        out = coder(x, dead_mask=idle > 10_000_000)
        (out.fvu + out.auxk_loss / 32).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        coder.set_decoder_norm_to_unit_norm()
        fired = torch.zeros(task.latents, dtype=torch.bool)
        fired[out.latent_indices.flatten()] = True
        idle.add_(len(x))
        idle[fired] = 0

    def reconstruct(x):
        out = coder(x)
        return out.sae_out, (out.latent_acts > 0).sum(1).float().mean()

    return step, reconstruct


def dictionary_learning_steps(task: Task, d: int, start: dict):
    """TopKTrainer.update, or StandardTrainer.update."""
    from dictionary_learning.trainers.standard import StandardTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    common = dict(
        steps=task.steps, activation_dim=d, dict_size=task.latents, layer=0, lm_name="", warmup_steps=0, device="cpu"
    )
    if task.kind == "topk":
        trainer = TopKTrainer(k=K, lr=RATE, **common)
    else:
        trainer = StandardTrainer(l1_penalty=task.coefficient, sparsity_warmup_steps=None, lr=L1_RATE, **common)
    if start:
        trainer.ae.encoder.weight.data.copy_(start["encoder"])
        trainer.ae.encoder.bias.data.copy_(start["encoder_bias"])
        trainer.ae.decoder.weight.data.copy_(start["decoder"].T)
        trainer.ae.bias.data.copy_(start["decoder_bias"])
    count = iter(range(10**9))

    def reconstruct(x):
        latents = trainer.ae.encode(x)
        return trainer.ae.decode(latents), (latents > 0).sum(1).float().mean()

    return lambda x: trainer.update(next(count), x), reconstruct


def sae_lens_steps(task: Task, d: int, start: dict):
    """SAETrainer.step."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    if task.kind == "topk":
        sae, rate = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=d, d_sae=task.latents, k=K, device="cpu")), RATE
    else:
        config = StandardTrainingSAEConfig(d_in=d, d_sae=task.latents, l1_coefficient=task.coefficient, device="cpu")
        sae, rate = StandardTrainingSAE(config), L1_RATE
    if start:
        sae.W_enc.data.copy_(start["encoder"].T)
        sae.b_enc.data.copy_(start["encoder_bias"])
        sae.W_dec.data.copy_(start["decoder"])
        sae.b_dec.data.copy_(start["decoder_bias"])
    config = SAETrainerConfig(
        total_training_samples=task.steps * BATCH, train_batch_size_samples=BATCH, lr=rate, lr_end=rate, device="cpu"
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


MAKERS = {
    "sparsify": sparsify_steps,
    "dictionary_learning": dictionary_learning_steps,
    "sae_lens": sae_lens_steps,
}


def run_peer(name: str, task: Task) -> None:
    """Trains one program and prints what was seen as JSON."""
    import torch
    from safetensors.torch import load_file

    torch.manual_seed(0)
    rows = rows_of(task.path)
    *training, held_out = rows[: len(rows) // BATCH * BATCH].split(BATCH)
    training = training[: task.steps]
    step, reconstruct = MAKERS[name](task, rows.shape[1], load_file(task.start) if task.start else {})
    seconds = []
    for batch in training:
        begin = time.perf_counter()
        step(batch)
        seconds.append(time.perf_counter() - begin)
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


def compare(title: str, ours: str, task: Task) -> None:
    """Runs every program on one task and prints a table."""
    print(title)
    print(f"{'':<22}{'tokens/s':>10}{'peak MB':>10}{'explained':>11}{'L0':>9}")
    objective, rate = (f"topk:{K}", RATE) if task.kind == "topk" else (f"l1:{task.coefficient}", L1_RATE)
    own = [ours, task.path, str(task.latents), objective, str(rate)]
    rest = [str(task.steps), *([task.start] if task.start else [])]
    commands = {"ours": [*own, "bf16", *rest]}
    if task.kind == "topk" or task.start:
        commands["ours, f32"] = [*own, "f32", *rest]
    for peer in PEERS[task.kind]:
        commands[peer] = [sys.executable, __file__, "--peer", peer, json.dumps(vars(task))]
    speeds = {}
    for name, command in commands.items():
        seen = report_of(command)
        speeds[name] = seen["tokens_per_second"]
        found = f"   recall of the true top k {seen['recall']:.4%}" if seen.get("recall") else ""
        print(
            f"{name:<22}{seen['tokens_per_second']:>10.0f}{seen['peak_megabytes']:>10.0f}"
            f"{seen['explained_variance']:>11.4f}{seen['l0']:>9.1f}{found}",
            flush=True,
        )
    fastest = max(PEERS[task.kind], key=speeds.__getitem__)
    print(f"ours is {speeds['ours'] / speeds[fastest]:.1f} x the fastest peer, {fastest}\n", flush=True)


def compare_l1(ours: str, path: str, latents: int, directory: str) -> None:
    """ReLU + L1 from a sparse start, and from random ones."""
    from safetensors.torch import save_file

    rows = rows_of(path)[:, :L1_WIDTH].contiguous()
    narrow, start = f"{directory}/narrow.safetensors", f"{directory}/start{latents}.safetensors"
    save_file({"rows": rows}, narrow)
    coefficient = round(L1_SHARE * float((rows - rows.mean(0)).norm(dim=1).mean()), 4)
    subprocess.run([ours, "--start", start, narrow, str(latents), str(L1_START_K)], check=True)
    steps = L1_STEPS.get(latents, 6)
    title = f"ReLU + L1, {L1_WIDTH} -> {latents}, coefficient {coefficient}, learning rate {L1_RATE}, {steps} steps"
    compare(f"{title}, sparse start", ours, Task("l1", narrow, latents, steps, coefficient, start))
    compare(f"{title}, random start", ours, Task("l1", narrow, latents, steps, coefficient))


def main() -> None:
    """The tables."""
    path, ours, *parts = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        rows = f"{directory}/rows.safetensors"
        prepare(path, rows)
        for part in parts or ["topk:4096", "topk:16384", "l1:4096", "l1:32768"]:
            kind, latents = part.split(":")
            if kind == "topk":
                steps = len(rows_of(rows)) // BATCH - 1
                title = f"TopK, {latents} latents, k {K}, batch {BATCH}, learning rate {RATE}, {steps} steps"
                compare(title, ours, Task("topk", rows, int(latents), steps))
            else:
                compare_l1(ours, rows, int(latents), directory)


if __name__ == "__main__":
    if sys.argv[1] == "--peer":
        run_peer(sys.argv[2], Task(**json.loads(sys.argv[3])))
    else:
        main()
