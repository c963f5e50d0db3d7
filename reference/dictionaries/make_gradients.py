"""Writes `gradients.json`: the training losses of `crates/dictionary/src/variants` and their gradients by autograd.

Every variant is written here from its equations, in float64, without any derivative but the straight-through ones of
JumpReLU, which are defined and not derived.
"""

import json
from pathlib import Path

import torch

D_INPUT, D_OUTPUT, LATENTS, ROWS = 4, 4, 8, 6
GROUPS = [2, 2, 4]


def parameters():
    shapes = {
        "encoder": (LATENTS, D_INPUT),
        "encoder_bias": (LATENTS,),
        "decoder": (LATENTS, D_OUTPUT),
        "decoder_bias": (D_OUTPUT,),
        "skip": (D_OUTPUT, D_INPUT),
        "log_threshold": (LATENTS,),
        "log_magnitude_scale": (LATENTS,),
        "magnitude_bias": (LATENTS,),
    }
    p = {name: torch.randn(shape) * 0.5 for name, shape in shapes.items()}
    p["log_threshold"] -= 1.0
    return p


class Jump(torch.autograd.Function):
    """z H(z − θ) with the straight-through derivatives of arXiv 2407.14435."""

    @staticmethod
    def forward(ctx, z, theta, bandwidth):
        ctx.save_for_backward(z, theta)
        ctx.bandwidth = bandwidth
        return z * (z > theta)

    @staticmethod
    def backward(ctx, bar):
        z, theta = ctx.saved_tensors
        near = (((z - theta) / ctx.bandwidth).abs() < 0.5).double()
        return bar * (z > theta), (-(theta / ctx.bandwidth) * near * bar).sum(0), None


class Step(torch.autograd.Function):
    """H(z − θ), likewise."""

    @staticmethod
    def forward(ctx, z, theta, bandwidth):
        ctx.save_for_backward(z, theta)
        ctx.bandwidth = bandwidth
        return (z > theta).double()

    @staticmethod
    def backward(ctx, bar):
        z, theta = ctx.saved_tensors
        near = (((z - theta) / ctx.bandwidth).abs() < 0.5).double()
        return torch.zeros_like(z), (-(1 / ctx.bandwidth) * near * bar).sum(0), None


def project(p, u):
    return (u - p["decoder_bias"]) @ p["encoder"].T


def encode(p, u):
    return project(p, u) + p["encoder_bias"]


def decode(p, f, u):
    return f @ p["decoder"] + p["decoder_bias"] + u @ p["skip"].T


def norms(p):
    return p["decoder"].norm(dim=1)


def top(z, k):
    kept = z.topk(k)
    return torch.zeros_like(z).scatter(-1, kept.indices, kept.values.relu())


def batch_top(z, k):
    return top(z.flatten(), k * len(z)).reshape(z.shape)


def variance(y):
    return (y - y.mean(0)).square().sum()


def auxiliary(p, u, y, f, dead, k, alpha):
    residual = (y - decode(p, f, u)).detach()
    z = encode(p, u)
    masked = torch.full_like(z, -torch.inf)
    masked[:, dead] = z[:, dead]
    return alpha * (top(masked, k) @ p["decoder"] - residual).square().sum() / variance(residual)


def losses():
    def relu_l1(p, u, y):
        f = encode(p, u).relu()
        return (decode(p, f, u) - y).square().mean(1).mean() + 0.1 * f.sum(1).mean()

    def decoder_norm_l1(p, u, y):
        f = encode(p, u).relu()
        return ((decode(p, f, u) - y).square().sum(1) + 0.1 * (f * norms(p)).sum(1)).mean()

    def top_k(p, u, y):
        f = top(encode(p, u), 2)
        return (decode(p, f, u) - y).square().sum() / variance(y) + auxiliary(p, u, y, f, [0, 3, 5], 2, 1 / 32)

    def multi_top_k(p, u, y):
        z = encode(p, u)
        loss = lambda f: (decode(p, f, u) - y).square().sum() / variance(y)
        return loss(top(z, 1)) + loss(top(z, 4)) / 8

    def batch_top_k(p, u, y):
        f = batch_top(encode(p, u), 2)
        return (decode(p, f, u) - y).square().sum() / variance(y) + auxiliary(p, u, y, f, [1, 2], 1, 1 / 32)

    def matryoshka(p, u, y):
        f = batch_top(encode(p, u), 2)
        loss, end = 0.0, 0
        for group in GROUPS:
            end += group
            prefix = torch.cat([f[:, :end], torch.zeros_like(f[:, end:])], 1)
            loss = loss + (decode(p, prefix, u) - y).square().sum() / variance(y)
        return loss + auxiliary(p, u, y, f, [1, 2], 1, 1 / 32)

    def jump_relu(penalty):
        def loss(p, u, y):
            z, theta, bandwidth = encode(p, u), p["log_threshold"].exp(), 0.5
            f, on = Jump.apply(z, theta, bandwidth), Step.apply(z, theta, bandwidth)
            cost = {
                "count": lambda: on.sum(1).mean(),
                "tanh": lambda: torch.tanh(4.0 * f * norms(p)).sum(1).mean(),
                "target": lambda: (on.sum(1).mean() / 2.0 - 1).square(),
            }[penalty]()
            below = ((theta - z).relu() * norms(p)).sum(1).mean()
            return (decode(p, f, u) - y).square().sum(1).mean() + 0.1 * cost + 0.01 * below

        return loss

    def gated(p, u, y):
        projected = project(p, u)
        gate = projected + p["encoder_bias"]
        magnitude = p["log_magnitude_scale"].exp() * projected + p["magnitude_bias"]
        f = (gate > 0) * magnitude.relu()
        frozen = {**p, "decoder": p["decoder"].detach(), "decoder_bias": p["decoder_bias"].detach()}
        loss = (decode(p, f, u) - y).square().sum(1) + 0.1 * gate.relu().sum(1)
        return (loss + (decode(frozen, gate.relu(), u) - y).square().sum(1)).mean()

    def p_annealing(p, u, y):
        z = encode(p, u)
        # Only where it is positive: 0 to a power below 1 has an infinite slope.
        powers = z[z > 0].pow(0.7).sum() / len(z)
        return (decode(p, z.relu(), u) - y).square().sum(1).mean() + 0.1 * powers

    return {
        "relu_l1": relu_l1,
        "decoder_norm_l1": decoder_norm_l1,
        "top_k": top_k,
        "multi_top_k": multi_top_k,
        "batch_top_k": batch_top_k,
        "matryoshka": matryoshka,
        "jump_relu_count": jump_relu("count"),
        "jump_relu_tanh": jump_relu("tanh"),
        "jump_relu_target": jump_relu("target"),
        "gated": gated,
        "p_annealing": p_annealing,
    }


def flat(tensor):
    return [round(value, 12) for value in tensor.flatten().tolist()]


def main():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    # Rounded first, so that the file holds exactly what was computed with.
    start = {name: torch.tensor(flat(value)).reshape(value.shape) for name, value in parameters().items()}
    u, y = (torch.tensor(flat(torch.randn(ROWS, width))).reshape(ROWS, width) for width in (D_INPUT, D_OUTPUT))
    variants = {}
    for name, loss in losses().items():
        p = {key: value.clone().requires_grad_() for key, value in start.items()}
        value = loss(p, u, y)
        value.backward()
        gradient = {key: flat(tensor.grad) for key, tensor in p.items() if tensor.grad is not None}
        variants[name] = {"loss": value.item(), "gradient": gradient}
    golden = {
        "d_input": D_INPUT,
        "d_output": D_OUTPUT,
        "latents": LATENTS,
        "parameters": {name: flat(value) for name, value in start.items()},
        "inputs": flat(u),
        "targets": flat(y),
        "variants": variants,
    }
    (Path(__file__).parent / "gradients.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
