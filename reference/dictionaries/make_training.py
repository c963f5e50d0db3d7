"""Writes `training.json`: whole training steps of every variant by PyTorch, several in a row.

A step is loss, gradients by autograd (but for JumpReLU's straight-through ones), the constraint on decoder rows, clipping,
`torch.optim.Adam`, and decoder rows of norm 1 again, all in float64. `crates/dictionary/tests/training.rs` makes the same
steps with the same settings.
"""

import json
from pathlib import Path

import torch
from make_gradients import Jump, Step, batch_top, norms, top, variance

ROWS, LATENTS, STEPS, RATE = 10, 12, 4, 0.01
VARIANCE, AUXILIARY, DEAD_AFTER = 0.7, (3, 0.5), 25
GROUPS = [2, 4, 6]
BANDWIDTH = 0.5


class Run:
    """One variant with its recipe."""

    def __init__(self, loss, shape=(5, 5), subtract=True, unit=True, clip=None, beta1=0.9, skip=False):
        self.loss, self.shape, self.subtract, self.unit = loss, shape, subtract, unit
        self.clip, self.beta1, self.skip = clip, beta1, skip

    def project(self, p, u):
        return (u - p["decoder_bias"] if self.subtract else u) @ p["encoder"].T

    def encode(self, p, u):
        return self.project(p, u) + p["encoder_bias"]

    def decode(self, p, f, u):
        return f @ p["decoder"] + p["decoder_bias"] + (u @ p["skip"].T if self.skip else 0)

    def error(self, p, f, u, y):
        return (self.decode(p, f, u) - y).square().sum() / y.numel() / VARIANCE

    def auxiliary(self, p, f, u, y):
        """AuxK among latents that have not fired for `DEAD_AFTER` rows, this batch's included."""
        self.idle = torch.where((f > 0).any(0), 0, self.idle + len(u))
        dead = self.idle >= DEAD_AFTER
        if not dead.any():
            return 0.0
        self.revived = True
        residual = (y - self.decode(p, f, u)).detach()
        z = self.encode(p, u).masked_fill(~dead, -torch.inf)
        k, alpha = AUXILIARY
        f = top(z, min(k, int(dead.sum())))
        return alpha * (f @ p["decoder"] - residual).square().sum() / variance(residual)


def top_k(run, p, u, y):
    f = top(run.encode(p, u), 3)
    return run.error(p, f, u, y) + run.auxiliary(p, f, u, y)


def multi_top_k(run, p, u, y):
    z = run.encode(p, u)
    f = top(z, 2)
    return run.error(p, f, u, y) + run.error(p, top(z, 8), u, y) / 8 + run.auxiliary(p, f, u, y)


def watch(run, f):
    """The running threshold of BatchTopK: its rate falls to 0.01, that of SAELens and dictionary_learning."""
    smallest, rate = f[f > 0].min().item(), max(0.01, 9 / (run.step + 9))
    run.threshold = smallest if run.threshold is None else run.threshold + rate * (smallest - run.threshold)


def batch_top_k(run, p, u, y):
    f = batch_top(run.encode(p, u), 3)
    watch(run, f)
    return run.error(p, f, u, y) + run.auxiliary(p, f, u, y)


def matryoshka(run, p, u, y):
    f = batch_top(run.encode(p, u), 3)
    watch(run, f)
    loss, end = 0.0, 0
    for group in GROUPS:
        end += group
        loss = loss + run.error(p, torch.cat([f[:, :end], torch.zeros_like(f[:, end:])], 1), u, y)
    return loss + run.auxiliary(p, f, u, y)


def l1(by_norm):
    def loss(run, p, u, y):
        f = run.encode(p, u).relu()
        return run.error(p, f, u, y) + 0.1 * (f * (norms(p) if by_norm else 1)).sum(1).mean()

    return loss


def p_annealing(run, p, u, y):
    """Two moves from 1 to 0.4 after the first step."""
    moves = max(run.step - 1, 0) * 2 // (STEPS - 1)
    exponent = lambda moves: 1 - 0.6 * min(moves, 2) / 2
    z = run.encode(p, u)
    total = lambda q: z[z > 0].pow(q).sum()
    if moves > run.moves:
        run.coefficient *= sum(now for now, _ in run.recent) / sum(later for _, later in run.recent)
        run.moves, run.recent = moves, []
    run.recent.append((total(exponent(moves)).item(), total(exponent(moves + 1)).item()))
    return run.error(p, z.relu(), u, y) + run.coefficient * total(exponent(moves)) / len(u)


def jump_relu(penalty, pre_activation=0.0):
    def loss(run, p, u, y):
        z, theta = run.encode(p, u), p["log_threshold"].exp()
        f, on = Jump.apply(z, theta, BANDWIDTH), Step.apply(z, theta, BANDWIDTH)
        cost = {
            "count": lambda: on.sum(1).mean(),
            "tanh": lambda: torch.tanh(4.0 * f * norms(p)).sum(1).mean(),
            "target": lambda: (on.sum(1).mean() / 2.0 - 1).square(),
        }[penalty]()
        below = ((theta - z).relu() * norms(p)).sum(1).mean()
        return run.error(p, f, u, y) + 0.1 * cost + pre_activation * below

    return loss


def gated(run, p, u, y):
    projected = run.project(p, u)
    gate = projected + p["encoder_bias"]
    f = (gate > 0) * (p["log_magnitude_scale"].exp() * projected + p["magnitude_bias"]).relu()
    frozen = {**p, "decoder": p["decoder"].detach(), "decoder_bias": p["decoder_bias"].detach()}
    return run.error(p, f, u, y) + run.error(frozen, gate.relu(), u, y) + 0.1 * gate.relu().sum(1).mean()


RUNS = {
    "top_k": Run(top_k),
    "multi_top_k": Run(multi_top_k, clip=0.05),
    "batch_top_k": Run(batch_top_k),
    "matryoshka": Run(matryoshka, clip=0.1),
    "l1": Run(l1(False)),
    "l1_by_norm": Run(l1(True), subtract=False, unit=False, clip=0.05),
    "p_annealing": Run(p_annealing),
    "jump_relu_count": Run(jump_relu("count"), beta1=0.0),
    "jump_relu_tanh": Run(jump_relu("tanh", 0.01), subtract=False, unit=False, clip=0.05),
    "jump_relu_target": Run(jump_relu("target"), beta1=0.0),
    "gated": Run(gated, beta1=0.0),
    "gated_clipped": Run(gated, clip=0.05),
    "transcoder_top_k": Run(top_k, shape=(5, 4), subtract=False),
    "transcoder_l1": Run(l1(False), shape=(5, 4), subtract=False),
    "skip_multi_top_k": Run(multi_top_k, shape=(5, 4), subtract=False, skip=True, clip=0.05),
    "skip_matryoshka": Run(matryoshka, shape=(5, 4), subtract=False, skip=True),
    "skip_l1": Run(l1(False), shape=(5, 4), subtract=False, skip=True, clip=0.05),
    "skip_jump_relu": Run(jump_relu("count"), shape=(5, 4), subtract=False, skip=True, beta1=0.0),
    "skip_gated": Run(gated, shape=(5, 4), subtract=False, skip=True, beta1=0.0),
}


def rounded(tensor):
    """What float32 holds."""
    return tensor.float().double()


def start(shape):
    d_input, d_output = shape
    p = {
        "encoder": torch.randn(LATENTS, d_input) * 0.5,
        "encoder_bias": torch.randn(LATENTS) * 0.2,
        "decoder": torch.nn.functional.normalize(torch.randn(LATENTS, d_output)),
        "decoder_bias": torch.randn(d_output) * 0.3,
        "skip": torch.randn(d_output, d_input) * 0.3,
        "log_threshold": torch.randn(LATENTS) * 0.3 - 1.5,
        "log_magnitude_scale": torch.randn(LATENTS) * 0.2,
        "magnitude_bias": torch.randn(LATENTS) * 0.2,
    }
    # These never fire by themselves.
    p["encoder_bias"][::4] = -6.0
    return {name: rounded(value) for name, value in p.items()}


def train(run, begin, batches):
    p = {name: value.clone().requires_grad_() for name, value in begin.items()}
    adam = torch.optim.Adam(p.values(), lr=RATE, betas=(run.beta1, 0.999), eps=1e-5)
    run.idle, run.threshold, run.revived = torch.zeros(LATENTS), None, False
    run.moves, run.recent, run.coefficient = 0, [], 0.1
    losses = []
    for run.step, (u, y) in enumerate(batches):
        adam.zero_grad()
        loss = run.loss(run, p, u, y if run.shape[0] != run.shape[1] else u)
        loss.backward()
        losses.append(loss.item())
        decoder = p["decoder"]
        if run.unit:
            along = (decoder.grad * decoder.detach()).sum(1, keepdim=True)
            decoder.grad -= along * decoder.detach()
        if run.clip:
            norm = torch.nn.utils.clip_grad_norm_([v for v in p.values() if v.grad is not None], run.clip)
            assert norm > run.clip, "clipping has nothing to do"
        adam.step()
        if run.unit:
            decoder.data = torch.nn.functional.normalize(decoder.data)
    assert run.revived or run.loss not in (top_k, multi_top_k, batch_top_k, matryoshka), "no latent is dead"
    used = {name: value for name, value in p.items() if value.grad is not None}
    return {"losses": losses, "threshold": run.threshold, "end": {name: flat(value) for name, value in used.items()}}


def flat(tensor):
    return [float(f"{value:.9g}") for value in tensor.flatten().tolist()]


def main():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    shapes, runs = {}, {}
    for shape in [(5, 5), (5, 4)]:
        batches = [tuple(rounded(torch.randn(ROWS, width)) for width in shape) for _ in range(STEPS)]
        begin = start(shape)
        name = "x".join(map(str, shape))
        shapes[name] = {
            "start": {key: flat(value) for key, value in begin.items()},
            "batches": [{"inputs": flat(u), "targets": flat(y)} for u, y in batches],
        }
        for key, run in RUNS.items():
            if run.shape == shape:
                runs[key] = {"shape": name, **train(run, begin, batches)}
    golden = {"shapes": shapes, "runs": runs}
    (Path(__file__).parent / "training.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
